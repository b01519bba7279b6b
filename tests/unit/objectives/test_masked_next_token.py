"""Masked next token: questions are put in the right places and know nothing too early."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from placed_crystals import placed_tokenizer
from tiny_models import encoded, random_crystals, tiny_config, tiny_model
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.questions import feed
from sciar.nn.streams import derive
from sciar.objectives.masked_next_token import MaskedNextTokenObjective
from sciar.objectives.next_token import NextTokenObjective, position_keys, select
from sciar.tokenization.packing import Pack, pack

PLACES = {"index": {}, "space": {"axes": 3, "unit": 0.5}}


def asked_model(places: str, questions: bool = True) -> AutoregressiveModel:
    config = replace(tiny_config(**PLACES[places]), questions=questions)
    return tiny_model(placed_tokenizer(), config)


def batch_of(count: int) -> Pack:
    crystals = [c for c in random_crystals(4 * count) if len(c) >= 3]
    return encoded(placed_tokenizer(), crystals[:count])


def states(model: AutoregressiveModel, batch: Pack) -> Tensor:
    with torch.no_grad():
        return model(batch)[0]


def test_a_question_stands_before_each_word_that_carries_loss() -> None:
    """Against a loop over the positions."""
    batch = batch_of(3)
    fed = feed(batch, questions=True)
    carries_loss = ((batch.kinds == 0) & (batch.weights > 0)).tolist()
    expected: list[tuple[int, bool, bool, int]] = []
    lengths, source = [], []
    start = 0
    for length in batch.lengths.tolist():
        before = len(expected)
        for p in range(start, start + length):
            if carries_loss[p]:
                source.append(len(expected))
                expected.append((p, True, True, len(expected) - before))
            else:
                source.append(len(expected) - 1 if p > start else -1)
            follows = p + 1 < start + length and not carries_loss[p + 1]
            expected.append((p, False, follows, len(expected) - before))
        lengths.append(len(expected) - before)
        start += length
    found = zip(*(x.tolist() for x in (fed.at, fed.asks, fed.has_next, fed.index)), strict=True)
    assert list(found) == expected
    assert fed.asks.any()
    assert fed.lengths.tolist() == lengths
    assert fed.source.tolist() == source


def test_without_questions_the_feed_is_the_pack() -> None:
    batch = batch_of(3)
    fed = feed(batch, questions=False)
    assert fed.at.tolist() == list(range(len(batch)))
    assert not fed.asks.any()
    assert torch.equal(fed.lengths, batch.lengths)
    first = (batch.lengths.cumsum(0) - batch.lengths).tolist()
    expected = [-1 if p in first else p - 1 for p in range(len(batch))]
    assert fed.source.tolist() == expected
    assert (~fed.has_next).nonzero()[:, 0].tolist() == (batch.lengths.cumsum(0) - 1).tolist()


@pytest.mark.parametrize("places", PLACES)
def test_a_pack_equals_its_sequences_one_by_one(places: str) -> None:
    model, tokenizer = asked_model(places), placed_tokenizer()
    sequences = [tokenizer.encode(c) for c in random_crystals(5)]
    batch = pack(sequences)
    together = states(model, batch).split(feed(batch, True).lengths.tolist())
    for sequence, state in zip(sequences, together, strict=True):
        torch.testing.assert_close(states(model, pack([sequence])), state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("places", PLACES)
def test_a_question_knows_what_is_announced_and_nothing_more(places: str) -> None:
    """Perturbing one position: no state before it changes; its own question knows it in part."""
    model, batch = asked_model(places), batch_of(1)
    before, fed = states(model, batch), feed(batch, True)
    asked = [p for p in range(len(batch)) if fed.asks[fed.source[p].clamp_min(0)]]
    assert len(asked) > 3
    for p in asked:
        question = int(fed.source[p])
        assert int(fed.at[question]) == p
        for name, known in (("ids", False), ("positions", False), ("labels", True),
                            ("anchors", True), ("places", places == "space")):  # fmt: skip
            changed = getattr(batch, name).clone()
            changed[p] = (changed[p] + 1) % len(model.vocabulary)
            change = (states(model, replace(batch, **{name: changed})) - before).abs().amax(1)
            assert change[:question].max() == 0, f"{name} of {p} is seen too early"
            assert (change[question] > 1e-6) == known, f"the question about {p} and its {name}"
            if name == "ids":
                assert change[question + 1] > 1e-6


@pytest.mark.parametrize("places", PLACES)
def test_losses_are_those_of_the_questions(places: str) -> None:
    """One by one from the states: words at their question, slots at the position before them."""
    model, batch = asked_model(places), batch_of(3)
    with torch.no_grad():
        found = MaskedNextTokenObjective().losses(model, batch, 5)
        hidden, inputs = model(batch)
        keys = derive(position_keys(batch), 5)
        expected = {name: [0.0, 0.0] for name in found}
        content = {p: i for i, p in enumerate(feed(batch, True).at.tolist())}
        for p in range(len(batch)):
            if batch.weights[p] == 0:
                continue
            kind, state = int(batch.kinds[p]), content[p] - 1
            if kind == 0:
                name = "word"
                loss = -model.words(hidden[state]).log_softmax(-1)[batch.ids[p]]
            else:
                name = model.vocabulary.slots[kind - 1].name
                near = select(inputs.next, torch.tensor([state]))
                target = model.target(kind, batch.values[[p]], near)
                condition = model.condition(hidden[[state]], near)
                loss = model.head(kind).loss(condition, target, derive(keys[[p]], kind))[0]
            expected[name][0] += float(loss)
            expected[name][1] += float(batch.weights[p])
    for name, (total, weight) in expected.items():
        assert weight > 0
        assert float(found[name][1]) == pytest.approx(weight)
        assert float(found[name][0]) == pytest.approx(total, rel=1e-4, abs=1e-4)


def test_the_question_is_learnt() -> None:
    model, batch = asked_model("space").train(), batch_of(3)
    objective = MaskedNextTokenObjective(noise=0.05)
    loss, _ = objective.total(objective.losses(model, batch, 0))
    loss.backward()
    question = model.embedding.question
    assert question is not None and question.grad is not None
    assert question.grad.abs().sum() > 0


def test_networks_and_objectives_must_agree() -> None:
    batch = batch_of(1)
    plain, asked = asked_model("space", questions=False), asked_model("space")
    assert not [n for n, _ in plain.named_parameters() if "question" in n]
    with pytest.raises(UsageError, match=r"for which model\.questions is set"):
        MaskedNextTokenObjective().losses(plain, batch, 0)
    with pytest.raises(UsageError, match="train it by masked next token"):
        NextTokenObjective().losses(asked, batch, 0)
