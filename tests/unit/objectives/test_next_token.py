"""The next-token objective: brute force, and what a loss must not depend on."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny_models import crystal_tokenizer, encoded, random_crystals, tiny_config, tiny_model

from sciar.model import AutoregressiveModel
from sciar.nn.inputs import inputs_at
from sciar.nn.streams import derive
from sciar.objectives.next_token import NextTokenObjective, position_keys, select
from sciar.tokenization.packing import pack

Losses = dict[str, tuple[torch.Tensor, torch.Tensor]]


def summed(parts: list[Losses]) -> dict[str, tuple[float, float]]:
    """Losses and weights of several batches, added up."""
    names = parts[0]
    return {
        n: (sum(float(p[n][0]) for p in parts), sum(float(p[n][1]) for p in parts)) for n in names
    }


def measure(model: AutoregressiveModel, objective: NextTokenObjective, *args: object) -> Losses:
    with torch.no_grad():
        return objective.losses(model, *args)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["csp", "denovo"])
@pytest.mark.parametrize("head", ["flow", "diffusion"])
def test_every_position_answers_for_the_next(task: str, head: str) -> None:
    """Sums over all positions one by one, from hidden states, heads and cross-entropies."""
    tokenizer = crystal_tokenizer(task)
    model = tiny_model(tokenizer, tiny_config(head))
    batch = encoded(tokenizer, random_crystals(5))
    found = measure(model, NextTokenObjective(), batch, 5)
    with torch.no_grad():
        hidden, inputs = model(batch)
        expected = {name: [0.0, 0.0] for name in ("word", "<lattice>", "<site>")}
        keys = derive(position_keys(batch), 5)
        ends = set((batch.lengths.cumsum(0) - 1).tolist())
        for p in range(len(batch)):
            if p in ends or batch.weights[p + 1] == 0:
                continue
            kind, one = int(batch.kinds[p + 1]), torch.tensor([p])
            if kind == 0:
                name = "word"
                loss = -model.words(hidden[p]).log_softmax(-1)[batch.ids[p + 1]]
            else:
                name = model.vocabulary.slots[kind - 1].name
                near = select(inputs.next, one)
                target = model.target(kind, batch.values[one + 1], near)
                condition = model.condition(hidden[one], near)
                loss = model.head(kind).loss(condition, target, derive(keys[one + 1], kind))[0]
            expected[name][0] += float(loss)
            expected[name][1] += 1.0
    assert set(found) == set(expected)
    for name, (total, weight) in expected.items():
        assert float(found[name][1]) == weight
        assert float(found[name][0]) == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert (expected["word"][1] > 0) == (task == "denovo")


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("size", [1, 3])
def test_losses_do_not_depend_on_how_records_are_batched(noise: float, size: int) -> None:
    tokenizer = crystal_tokenizer("denovo")
    model, objective = tiny_model(tokenizer), NextTokenObjective(noise=noise)
    sequences = [tokenizer.encode(c) for c in random_crystals(9)]
    whole = summed([measure(model, objective, pack(sequences), 3)])
    order = [5, 1, 8, 0, 2, 7, 3, 6, 4]
    groups = [order[i : i + size] for i in range(0, 9, size)]
    parts = [
        measure(model, objective, pack([sequences[i] for i in group], keys=group), 3)
        for group in groups
    ]
    for name, (total, weight) in summed(parts).items():
        assert weight == whole[name][1]
        assert total == pytest.approx(whole[name][0], rel=1e-4, abs=1e-4)


def test_the_step_changes_the_random_numbers() -> None:
    tokenizer = crystal_tokenizer()
    model, batch = tiny_model(tokenizer), encoded(tokenizer, random_crystals(5))
    for objective in (NextTokenObjective(), NextTokenObjective(noise=0.3)):
        first, again, other = (
            float(measure(model, objective, batch, salt)["<site>"][0]) for salt in (1, 1, 2)
        )
        assert first == again != other


def test_total_is_the_sum_of_weighted_means() -> None:
    losses = {
        "word": (torch.tensor(6.0), torch.tensor(3.0)),
        "<a>": (torch.tensor(8.0), torch.tensor(2.0)),
        "<b>": (torch.tensor(0.0), torch.tensor(0.0)),
    }
    value, weight = NextTokenObjective(word_weight=0.5, slot_weight=10.0).total(losses)
    assert float(value) == pytest.approx(0.5 * 2 + 10 * 4)
    assert float(weight) == 5.0


def test_a_batch_without_words_still_has_a_gradient_everywhere() -> None:
    """Every process must reach every parameter it reaches elsewhere: no part is simply left out."""
    tokenizer = crystal_tokenizer("csp")
    model = tiny_model(tokenizer).train()
    losses = NextTokenObjective().losses(model, encoded(tokenizer, random_crystals(3)), 0)
    assert float(losses["word"][1]) == 0.0
    losses["word"][0].backward()
    assert model.decoder.norm.weight.grad is not None
    assert not model.decoder.norm.weight.grad.any()


def test_input_noise_spares_targets_and_pinned_slots() -> None:
    """Noise has the promised size, and neither the origin site nor a given payload gets any."""
    tokenizer = crystal_tokenizer()
    model = tiny_model(tokenizer)
    crystals = [c for c in random_crystals(300, most=8) if len(c) > 1]
    batch = encoded(tokenizer, crystals)
    level = 0.2
    noisy = NextTokenObjective(noise=level)._noisy(model, batch, salt=4)
    change = noisy - batch.values
    pinned = (batch.kinds > 0) & (batch.weights == 0)
    assert pinned.sum() == len(crystals)
    assert not change[pinned].any() and not change[batch.kinds == 0].any()
    for kind, slot in enumerate(tokenizer.vocabulary.slots, start=1):
        at = (batch.kinds == kind) & (batch.weights > 0)
        scaled = change[at][:, : slot.width] / torch.tensor(slot.std)
        # a level uniform in [0, s] gives a second moment of s^2 / 3
        assert float(scaled.std()) == pytest.approx(level / math.sqrt(3), rel=0.15)
        assert not change[at][:, slot.width :].any()


def test_noise_goes_into_the_network_only() -> None:
    tokenizer = crystal_tokenizer()
    model, batch = tiny_model(tokenizer), encoded(tokenizer, random_crystals(4))
    clean, _ = model(batch)
    noisy, inputs = model(batch, batch.values + 0.1)
    assert (clean - noisy).abs().max() > 1e-4
    has_next = torch.ones(len(batch), dtype=torch.bool)
    has_next[batch.lengths.cumsum(0) - 1] = False
    shifted = replace(batch, values=batch.values + 0.1)
    expected = inputs_at(shifted, torch.arange(len(batch)), has_next)
    assert torch.equal(inputs.value, expected.value)


def test_keys_of_positions_restart_in_every_sequence() -> None:
    tokenizer = crystal_tokenizer()
    sequences = [tokenizer.encode(c) for c in random_crystals(3)]
    together = position_keys(pack(sequences, keys=[4, 9, 2]))
    alone = [position_keys(pack([s], keys=[k])) for s, k in zip(sequences, (4, 9, 2), strict=True)]
    assert torch.equal(together, torch.cat(alone))
    assert len(together.unique()) == len(together)
