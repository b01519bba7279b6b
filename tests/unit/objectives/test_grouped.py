"""Losses by task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from answer_models import EXAMPLES, network, protein, tokenizer
from torch.nn import functional as F

from sciar.errors import UsageError
from sciar.objectives.grouped import READOUT, GroupedObjective, sequence_of, slots_of_words
from sciar.records import Annotation, Protein
from sciar.tokenization.packing import pack

TOKENS = tokenizer()
MODEL = network(TOKENS)
NOTES = [*EXAMPLES, Annotation(Protein("GASTK"), "place", "in"),
         Annotation(Protein("GAS"), "states", "HEC", mask="101")]  # fmt: skip
BATCH = pack([TOKENS.encode(note) for note in NOTES])


def test_losses_are_means_over_sequences_by_task() -> None:
    """Against a loop over sequences, one at a time."""
    losses = GroupedObjective().losses(MODEL, BATCH, 0)
    expected: dict[str, list[float]] = {}
    for note in NOTES:
        one = pack([TOKENS.encode(note)])
        hidden, inputs = MODEL(one)
        total = 0.0
        for t in range(1, len(one)):
            weight = float(one.weights[t])
            if weight == 0:
                continue
            if one.kinds[t] == 0:
                logits = MODEL.words(hidden[t - 1 : t])
                total += weight * float(F.cross_entropy(logits, one.ids[t : t + 1]).detach())
            else:
                near = type(inputs.next)(**{k: v[t - 1 : t] for k, v in vars(inputs.next).items()})
                condition = MODEL.condition(hidden[t - 1 : t], near)
                target = one.values[t : t + 1, :1]
                total -= weight * float(MODEL.head(2).log_prob(condition, target).detach())
        expected.setdefault(note.task, []).append(total)
    for name, values in expected.items():
        value, count = losses[name]
        assert float(count) == len(values)
        assert float(value.detach()) == pytest.approx(sum(values), rel=1e-4)
    present = [np.mean(v) for v in expected.values()]
    total = GroupedObjective().total(losses)[0]
    assert float(total.detach()) == pytest.approx(float(np.mean(present)), rel=1e-4)


def test_a_long_answer_weighs_no_more_than_a_short_one() -> None:
    long = Annotation(Protein("A" * 300), "states", "H" * 300)
    short = Annotation(Protein("A" * 3), "place", "in")
    weights = [TOKENS.encode(note).weights.sum() for note in (long, short)]
    assert weights == pytest.approx([1, 1], rel=1e-5)


def test_prompts_have_no_gradient() -> None:
    """Of the logits at all positions that predict a given one, exactly zero."""
    hidden, _ = MODEL(BATCH)
    logits = MODEL.words(hidden).detach().requires_grad_()
    source = torch.arange(len(BATCH)) - 1
    loss = F.cross_entropy(logits[source.clamp_min(0)], BATCH.ids, reduction="none")
    (loss * BATCH.weights).sum().backward()
    starts = BATCH.lengths.cumsum(0) - BATCH.lengths
    for start, context in zip(starts.tolist(), BATCH.contexts.tolist(), strict=True):
        assert not logits.grad[start : start + context - 1].any()
        assert logits.grad[start + context - 1].any() or BATCH.weights[start + context] == 0


def test_a_weight_moves_its_own_position_only() -> None:
    note = EXAMPLES[8]
    one = pack([TOKENS.encode(note)])
    objective = GroupedObjective()
    base = float(objective.losses(MODEL, one, 0)["states"][0].detach())
    hidden, _ = MODEL(one)
    for t in range(int(one.contexts[0]), len(one) - 1):
        weights = one.weights.clone()
        weights[t] += 1.0
        moved = objective.losses(MODEL, replace(one, weights=weights), 0)["states"][0]
        own = F.cross_entropy(MODEL.words(hidden[t - 1 : t]), one.ids[t : t + 1])
        assert float(moved.detach()) - base == pytest.approx(float(own.detach()), rel=1e-3)


def test_words_are_read_from_the_slots_of_their_residues() -> None:
    slot = slots_of_words(BATCH, sequence_of(BATCH))
    starts = (BATCH.lengths.cumsum(0) - BATCH.lengths).tolist()
    for start, length, context, note in zip(
        starts, BATCH.lengths.tolist(), BATCH.contexts.tolist(), NOTES, strict=True
    ):
        found = slot[start : start + length]
        answer = found[context:-1].tolist()
        if TOKENS.tasks[note.task].codec.parallel:
            assert answer == [start + 1 + i for i in range(len(note.protein))]
        else:
            assert set(answer) <= {-1}
        assert set(found[:context].tolist()) == {-1}


def test_the_readout_is_the_loss_at_the_slots() -> None:
    one = pack([TOKENS.encode(EXAMPLES[8])])
    losses = GroupedObjective(readout=0.5).losses(MODEL, one, 0)
    hidden, _ = MODEL(one)
    direct = F.cross_entropy(MODEL.words(hidden[1:7]), one.ids[-7:-1])
    value, count = losses["states" + READOUT]
    assert float(count) == 1 and float(value.detach()) == pytest.approx(float(direct.detach()))
    both = GroupedObjective(readout=0.5).total(losses)[0].detach()
    assert float(both) == pytest.approx(float((losses["states"][0] + 0.5 * value).detach()))


def test_hidden_payloads_hang_on_record_and_step_only() -> None:
    objective = GroupedObjective(hide=0.4)
    keys = [5, 9]
    both = pack([TOKENS.encode(NOTES[0]), TOKENS.encode(NOTES[8])], keys)
    alone = pack([TOKENS.encode(NOTES[8])], keys[1:])
    first = objective._hidden(MODEL, both, both.values, 3)
    second = objective._hidden(MODEL, alone, alone.values, 3)
    torch.testing.assert_close(first[-len(second) :], second)
    changed = (first != both.values).any(1)
    assert changed.any() and (first[changed] == 32).all()
    assert (both.kinds[changed] == 1).all()
    assert not (objective._hidden(MODEL, both, both.values, 4) == first).all()


def test_a_sequence_without_a_group_is_refused() -> None:
    with pytest.raises(UsageError, match="no token"):
        GroupedObjective(prefix="<eos").losses(
            MODEL, pack([TOKENS.prompt(Protein("MK"), TOKENS.tasks["place"])]), 0
        )


def test_at_once_alone_is_the_readout_without_its_answers() -> None:
    """The same readout; answers one by one have no loss, other tasks the same as ever."""
    together = GroupedObjective(readout=0.5).losses(MODEL, BATCH, 3)
    alone = GroupedObjective(readout=0.5, alone=1.0).losses(MODEL, BATCH, 3)
    assert together.keys() == alone.keys()
    parallel = {t.name for t in TOKENS.tasks if t.codec.parallel}
    assert parallel & {note.task for note in NOTES}
    for name, (value, count) in together.items():
        own, number = alone[name]
        if name in parallel:
            assert float(number) == 0 and float(own.detach()) == 0
        else:
            assert float(number) == float(count)
            torch.testing.assert_close(own, value, rtol=1e-4, atol=1e-5)


def test_at_once_alone_holds_for_a_share_of_the_training_steps() -> None:
    objective = GroupedObjective(readout=1.0, alone=0.5)
    one = pack([TOKENS.encode(EXAMPLES[8])])
    counts = [float(objective.losses(MODEL, one, step)["states"][1]) for step in range(40)]
    assert 8 < sum(counts) < 32
    assert all(float(objective.losses(MODEL, one, -s)["states"][1]) == 1 for s in range(1, 9))


def test_forgotten_words_are_ones_answered_before() -> None:
    rng = np.random.default_rng(0)
    notes = [Annotation(protein(n, n), "states", "".join(rng.choice(list("HEC"), n)))
             for n in (40, 3, 60, 1)]  # fmt: skip
    batch, objective = (
        pack([TOKENS.encode(n) for n in notes], [4, 5, 6, 7]),
        GroupedObjective(forget=1.0),
    )
    fed = objective._fed(batch, 3)
    changed = fed.ids != batch.ids
    starts = (batch.lengths.cumsum(0) - batch.lengths).tolist()
    for start, context, length in zip(
        starts, batch.contexts.tolist(), batch.lengths.tolist(), strict=True
    ):
        first = start + context
        assert not changed[start : first + 1].any(), "the question, and the first word"
        for t in range(first + 1, start + length):
            if changed[t]:
                assert fed.ids[t] in batch.ids[first:t]
    assert 10 < int(changed.sum()) < 80
    for name in ("kinds", "weights", "values", "positions"):
        assert torch.equal(getattr(fed, name), getattr(batch, name))
    alone = objective._fed(pack([TOKENS.encode(notes[2])], [6]), 3)
    assert torch.equal(alone.ids, fed.ids[starts[2] : starts[2] + len(alone.ids)])
    assert not torch.equal(objective._fed(batch, 4).ids, fed.ids), "anew in every step"
    assert objective._fed(batch, -1) is batch and GroupedObjective()._fed(batch, 3) is batch


def test_a_forgetful_loss_has_the_true_targets() -> None:
    rng = np.random.default_rng(1)
    note = Annotation(protein(50), "states", "".join(rng.choice(list("HEC"), 50)))
    one, objective = pack([TOKENS.encode(note)]), GroupedObjective(forget=1.0)
    step = next(s for s in range(20) if not torch.equal(objective._fed(one, s).ids, one.ids))
    fed = objective._fed(one, step)
    hidden, _ = MODEL(fed)
    words = torch.arange(int(one.contexts[0]), len(one) - 1)
    direct = F.cross_entropy(MODEL.words(hidden[words - 1]), one.ids[words]).detach()
    value, _ = objective.losses(MODEL, one, step)["states"]
    assert float(value.detach()) == pytest.approx(float(direct), rel=1e-4)
    plain, _ = GroupedObjective().losses(MODEL, one, step)["states"]
    assert float(plain.detach()) != pytest.approx(float(direct), rel=1e-4)
