"""Decisions behind known answers."""

from __future__ import annotations

import numpy as np
import pytest
from answer_models import PAIRS, TASKS, network, protein, tokenizer

from sciar.generation.answered import answer, frequencies
from sciar.generation.decisions import decisions
from sciar.generation.settings import GenerationSettings
from sciar.records import Annotation, Protein

TOKENS = tokenizer()
MODEL = network(TOKENS)
GREEDY = GenerationSettings(temperature=0.0, threshold=0.5, max_tokens=1 << 20)


@pytest.mark.parametrize("at_once", [True, False])
def test_they_are_those_of_generation(at_once: bool) -> None:
    """Of an answer that the model gave itself: the same distributions and chances."""
    names = [name for name in TASKS if name not in ("terms", "copy", "string", "marks")]
    requests = [
        TOKENS.request({"protein": protein(9, 1, name in PAIRS), "task": name}) for name in names
    ]
    made = answer(MODEL, TOKENS, requests, GREEDY, at_once=at_once)
    notes = [
        Annotation(
            r.constraints["protein"], name,
            TOKENS.tasks[name].decode(m.tokens, r.constraints["protein"], m.payload),
        )
        for name, r, m in zip(names, requests, made, strict=True)
    ]  # fmt: skip
    kept = [i for i, m in enumerate(made) if m.steps or m.payload]
    found = decisions(MODEL, TOKENS, [notes[i] for i in kept], at_once=at_once, budget=100)
    for i, steps in zip(kept, found, strict=True):
        assert [s.token for s in steps] == [s.token for s in made[i].steps], names[i]
        for a, b in zip(steps, made[i].steps, strict=True):
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_allclose(a.log_p, b.log_p, atol=1e-4)
            np.testing.assert_array_equal(a.decided, b.decided)
            np.testing.assert_allclose(a.chances, b.chances, atol=1e-4)


@pytest.mark.parametrize("at_once", [True, False])
def test_residues_that_no_site_may_have_are_no_decisions(at_once: bool) -> None:
    subject = Protein("MSGTAYS")
    request = TOKENS.request({"protein": subject, "task": "marks"})
    (made,) = answer(MODEL, TOKENS, [request], GREEDY, at_once=at_once)
    text = TOKENS.tasks["marks"].decode(made.tokens, subject, ())
    assert [text[i] for i in (0, 2, 4)] == ["0"] * 3
    (steps,) = decisions(MODEL, TOKENS, [Annotation(subject, "marks", text)], at_once=at_once)
    assert len(steps) == len(made.steps) == 4
    for a, b in zip(steps, made.steps, strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_allclose(a.log_p, b.log_p, atol=1e-4)


def test_frequencies_are_those_of_the_distribution() -> None:
    request = TOKENS.request({"protein": protein(6), "task": "places"}, "p")
    (found,) = frequencies(MODEL, TOKENS, [request], samples=400)
    (made,) = answer(MODEL, TOKENS, [request], GREEDY)
    first = made.steps[0]
    p = dict(zip((TOKENS.vocabulary.names[i] for i in first.ids), np.exp(first.log_p), strict=True))
    assert found["a"] == pytest.approx(p["cls:places:a"], abs=0.1)
    other = TOKENS.request({"protein": protein(7), "task": "places"}, "q")
    together = frequencies(MODEL, TOKENS, [other, request], samples=400)
    assert together[1] == found
