"""Answers of a network, trained or not: always well formed, whatever else is in the batch."""

from __future__ import annotations

import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from answer_models import PAIRS, TASKS, network, protein, tokenizer

from sciar.generation.answered import Answered, answer
from sciar.generation.numbers import LEVEL, Estimate
from sciar.generation.settings import GenerationSettings
from sciar.generation.uncertainty import intervals
from sciar.heads.base import SamplerSettings
from sciar.tokenization.packing import pack

TOKENS = tokenizer()
MODEL = network(TOKENS)
COLD = SamplerSettings(temperature=0.0)
GREEDY = GenerationSettings(temperature=0.0, threshold=0.5, payload=COLD, max_tokens=1 << 20)


def asked(name: str, length: int, seed: int = 0) -> object:
    question = {"protein": protein(length, seed, name in PAIRS), "task": name}
    return TOKENS.request(question, f"{name}{length}")


def value_of(request: object, made: Answered) -> object:
    task, seen = request.constraints["task"], request.constraints["protein"]  # type: ignore[attr-defined]
    return task.decode(made.tokens, seen, made.payload)


@pytest.mark.parametrize("length", [1, 2, 50])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_untrained_model_answers_every_question(length: int, at_once: bool) -> None:
    for settings in (GREEDY, GenerationSettings(temperature=1.0, seed=3)):
        requests = [asked(name, length, seed) for name in TASKS for seed in (0, 1)]
        made = answer(MODEL, TOKENS, requests, settings, at_once=at_once)
        assert not [m.failure for m in made if m.failure]
        for request, one in zip(requests, made, strict=True):
            value_of(request, one)


@pytest.mark.slow
def test_an_untrained_model_answers_about_the_longest_sequence() -> None:
    names = [name for name in TASKS if name not in ("string", "copy")]  # as states, but longer
    requests = [asked(name, 1022) for name in names]
    made = answer(MODEL, TOKENS, requests, GREEDY)
    for request, one in zip(requests, made, strict=True):
        value_of(request, one)


def test_answers_do_not_depend_on_their_company() -> None:
    requests = [asked(name, length) for name in TASKS for length in (3, 20)]
    together = answer(MODEL, TOKENS, requests, GREEDY)
    few = replace(GREEDY, batch_size=3)
    for again in (
        answer(MODEL, TOKENS, requests[::-1], GREEDY)[::-1],
        answer(MODEL, TOKENS, requests, few),
        answer(MODEL, TOKENS, requests, GREEDY, budget=40),
        [answer(MODEL, TOKENS, [request], GREEDY)[0] for request in requests],
    ):
        for first, second in zip(together, again, strict=True):
            assert first.tokens == second.tokens
            np.testing.assert_allclose(first.payload, second.payload, atol=1e-5)
            for a, b in zip(first.steps, second.steps, strict=True):
                np.testing.assert_allclose(a.log_p, b.log_p, atol=1e-4)


def test_the_cache_changes_nothing() -> None:
    """Each decision against one pass over the whole sequence."""
    names = ["states", "sites", "heat", "enzyme", "touching"]
    for request in [asked(name, 12) for name in names]:
        (made,) = answer(MODEL, TOKENS, [request], GREEDY, at_once=False)
        cursor = TOKENS.cursor(request)
        for step in made.steps:
            batch = pack([cursor.sequence()])
            hidden, _ = MODEL(batch)
            logits = MODEL.words(hidden[-1:])[0, torch.from_numpy(step.ids)]
            np.testing.assert_allclose(
                logits.log_softmax(-1).detach().numpy(), step.log_p, atol=1e-4
            )
            cursor.push_token(step.token)


def test_at_once_is_the_most_likely_class_of_each_residue() -> None:
    request = asked("states", 15)
    (made,) = answer(MODEL, TOKENS, [request], GREEDY)
    sequence = TOKENS.cursor(request).sequence()
    hidden, _ = MODEL(pack([sequence]))
    ids = TOKENS.vocabulary.ids([f"cls:states:{c}" for c in "HEC"])
    logits = MODEL.words(hidden[1:16])[:, torch.from_numpy(ids).long()]
    best = "".join("HEC"[i] for i in logits.argmax(1).tolist())
    assert value_of(request, made) == best


def test_nothing_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    answer(MODEL, TOKENS, [asked(name, 5) for name in TASKS], GREEDY)


@pytest.mark.parametrize("head", ["numeric.NumericHead", "mixture.MixtureHead"])
def test_a_number_is_what_the_engine_gives_and_lies_in_its_interval(head: str) -> None:
    model = network(TOKENS, head=f"sciar.heads.{head}")
    for parameter in model.head(TOKENS.vocabulary.kind("<number>")).parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    requests = [asked("amount", length) for length in (3, 20, 7)]
    quick = answer(model, TOKENS, requests, GREEDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sciar.generation.answered._numbers", lambda *_: {})
        slow = answer(model, TOKENS, requests, GREEDY)
    for request, a, b in zip(requests, quick, slow, strict=True):
        assert a.tokens == b.tokens and b.estimate is None and a.estimate is not None
        np.testing.assert_allclose(a.payload, b.payload, rtol=1e-4)
        cursor = TOKENS.cursor(request)
        cursor.push_value(np.array(a.payload))
        (ends,) = intervals(model, [cursor.sequence()], LEVEL)
        np.testing.assert_allclose((a.estimate.low, a.estimate.high), ends[-2], rtol=1e-4)
    assert len({a.payload for a in quick}) == 3
    assert Estimate(2.0, 1.0, 4.0).widened(3.0) == Estimate(2.0, -1.0, 8.0)


def test_a_number_that_is_drawn_is_no_estimate() -> None:
    (drawn,) = answer(MODEL, TOKENS, [asked("amount", 5)], GenerationSettings(seed=3))
    (cold,) = answer(MODEL, TOKENS, [asked("amount", 5)], GREEDY)
    assert drawn.estimate is None and drawn.payload != cold.payload
