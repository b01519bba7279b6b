"""Mixture-token prediction: causality, exact masks, no leaks, brute force, and learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_volumes import volume_config, volume_data, volume_model, volume_pack, volume_tokenizer
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.patches import PatchReadout
from sciar.nn.perceiver import NextAll
from sciar.objectives.both_ways import backwards, both_ways, hidden_slots
from sciar.objectives.mixture_token import (
    MixtureTokenObjective,
    nearest_before,
    padded,
    random_slots,
    split_points,
)
from sciar.objectives.prefix_masked import PrefixMaskedObjective
from sciar.objectives.schedule import OBJECTIVES, MixtureSchedule
from sciar.tokenization.packing import Pack

TOKENIZER = volume_tokenizer()
PATTERNS = ("a", "m", "ma")


def model(pattern: str = "ma") -> AutoregressiveModel:
    return volume_model(TOKENIZER, volume_config(pattern))


def changed(pack: Pack, where: Tensor) -> Pack:
    """Other voxels in some slots."""
    return replace(pack, values=torch.where(where[:, None], 1 - pack.values, pack.values))


def place(pack: Pack) -> Tensor:
    return torch.cat([torch.arange(n) for n in pack.lengths.tolist()])


@torch.no_grad()
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("at", [1, 5, 12])
def test_next_hangs_on_what_is_before(pattern: str, at: int) -> None:
    net, batch = model(pattern), volume_pack(TOKENIZER)
    before, after = net(batch)[0], net(changed(batch, place(batch) == at))[0]
    early = place(batch) < at
    torch.testing.assert_close(before[early], after[early], rtol=0, atol=1e-6)
    assert (before[~early] - after[~early]).abs().amax(1).min() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("pattern", PATTERNS)
def test_next_all_hangs_on_the_prefix(pattern: str) -> None:
    net, batch = model(pattern), volume_pack(TOKENIZER)
    module = net.extra("next_all", NextAll, "test")
    rows, _ = padded(batch.lengths)
    prefix = torch.tensor([[2, 7]] * 3)
    seen = torch.arange(rows.shape[1]) <= prefix[..., None]

    def predicted(pack: Pack) -> Tensor:
        ends = pack.positions[rows.gather(1, prefix)]
        return module(net(pack)[0][rows], seen, pack.places[rows], ends)

    before = predicted(batch)
    assert before.shape == (3, 2, 13, 64)
    for i, n in enumerate((2, 7)):
        after = predicted(changed(batch, place(batch) > n))
        torch.testing.assert_close(before[:, i], after[:, i], rtol=0, atol=1e-6)
        inside = predicted(changed(batch, place(batch) == n))
        assert (before[:, i] - inside[:, i]).abs().max() > 1e-5


@torch.no_grad()
@pytest.mark.parametrize("pattern", PATTERNS)
def test_random_sees_no_hidden_slot_and_all_others(pattern: str) -> None:
    net, batch = model(pattern), volume_pack(TOKENIZER)
    where = random_slots(batch, 0.4, 3)
    mask = net.vocabulary.id("<mask>")

    def states(pack: Pack) -> Tensor:
        return both_ways(net, hidden_slots(pack, where, mask))[where]

    before = states(batch)
    torch.testing.assert_close(before, states(changed(batch, where)), rtol=0, atol=0)
    visible = ~where & (batch.kinds == 1)
    for at in (visible.nonzero()[0], visible.nonzero()[-1]):
        one = torch.zeros_like(where)
        one[at] = True
        own = torch.arange(3).repeat_interleave(batch.lengths)[where] == at // 13
        assert (before - states(changed(batch, one)))[own].abs().amax(1).min() > 1e-7


@torch.no_grad()
@pytest.mark.parametrize("fill", ["noise", "zero"])
def test_what_the_prefix_masked_objective_overwrites_does_not_leak(fill: str) -> None:
    """Inputs, with their noise, are the same whatever stood there; targets are not."""
    net, batch = model(), volume_pack(TOKENIZER)
    objective = PrefixMaskedObjective(fill=fill)
    prefix = split_points(batch, 1, 9)[:, 0].repeat_interleave(batch.lengths)
    masked, slots = place(batch) > prefix, batch.kinds == 1
    other = changed(batch, masked)
    found = [objective._filled(p, masked & slots, slots, 9) for p in (batch, other)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    torch.testing.assert_close(found[0][~masked], batch.values[~masked], rtol=0, atol=0)
    if fill == "noise":
        own = masked & (torch.arange(len(batch)) < 13)
        shown = batch.values[1 : int(prefix[0]) + 1]
        assert float(found[0][own].mean()) == pytest.approx(float(shown.mean()), abs=0.1)
    losses = objective.losses(net, batch, 9)
    assert float(losses["visible"][1] + losses["masked"][1]) == 36
    assert float(losses["masked"][1]) == float((masked & slots).sum())
    assert float(losses["next"][1]) == 3
    total = objective.total(losses)[0]
    dense = (losses["visible"][0] + losses["masked"][0]) / 36
    torch.testing.assert_close(total, dense + losses["next"][0] / 3)


def test_exactly_the_share_is_hidden_and_differently_each_time() -> None:
    batch = volume_pack(TOKENIZER, 5)
    for share, count in ((0.4, 4), (0.25, 3), (0.99, 11)):
        where = random_slots(batch, share, 1)
        assert where.view(5, 13).sum(1).tolist() == [count] * 5
        assert not where.view(5, 13)[:, 0].any(), "<bos> is no slot"
    first, second = (random_slots(batch, 0.4, salt).view(5, 13) for salt in (1, 2))
    assert (first != second).any() and (first[0] != first[1]).any()
    alone = random_slots(volume_pack(TOKENIZER, 2), 0.4, 1).view(2, 13)
    torch.testing.assert_close(alone, first[:2], msg="a batch must not matter")


def test_prefixes_leave_something_on_either_side() -> None:
    batch = volume_pack(TOKENIZER, 4)
    found = torch.cat([split_points(batch, 8, salt) for salt in range(40)])
    assert set(found.unique().tolist()) == set(range(1, 12))
    small = volume_tokenizer((4, 4, 4))
    with pytest.raises(UsageError, match="two patches"):
        split_points(volume_pack(small, 1), 1, 0)


def test_reading_backwards_leaves_the_first_token_in_its_place() -> None:
    lengths = torch.tensor([4, 1, 3])
    assert backwards(lengths).tolist() == [0, 3, 2, 1, 4, 5, 7, 6]


@torch.no_grad()
def test_without_recurrent_layers_one_pass_sees_everything() -> None:
    net, batch = model("a"), volume_pack(TOKENIZER)
    whole = net(replace(batch, contexts=batch.lengths))[0]
    torch.testing.assert_close(both_ways(net, batch), whole, rtol=0, atol=0)


@torch.no_grad()
def test_losses_by_brute_force() -> None:
    net, batch = model(), volume_pack(TOKENIZER)
    objective = MixtureTokenObjective(splits=2)
    found = objective.losses(net, batch, 4)
    slot = net.vocabulary.slots[0]
    target = (batch.values - slot.mean[0]) / slot.std[0]
    hidden, inputs = net(batch)
    condition = net.condition(hidden, inputs.next)
    head, keys = net.head(1), torch.zeros(len(batch), dtype=torch.long)
    predicted = head.sample(condition, keys)
    errors = [float((predicted[i - 1] - target[i]).square().mean()) for i in range(39) if i % 13]
    assert float(found["next"][0]) == pytest.approx(0.5 * sum(errors), rel=1e-4)
    assert float(found["next_mse"][0]) == pytest.approx(sum(errors) * slot.std[0] ** 2, rel=1e-4)
    where = random_slots(batch, objective.mask, 4)
    read = net.extra("random", PatchReadout, "test")
    states = both_ways(net, hidden_slots(batch, where, net.vocabulary.id("<mask>")))
    error = 0.5 * (read(states[where]) - target[where]).square().mean(1).sum()
    torch.testing.assert_close(found["random"][0], error)
    prefix = split_points(batch, 2, 4)
    assert float(found["next_all"][1]) == float((12 - prefix).sum())
    means = [found[k][0] / found[k][1] for k in OBJECTIVES]
    torch.testing.assert_close(objective.total(found)[0], torch.stack(means).sum())
    one = replace(objective, chosen=("next",)).losses(net, batch, 4)
    assert list(one) == ["next"]
    torch.testing.assert_close(one["next"][0], found["next"][0])


@torch.no_grad()
def test_errors_in_the_unit_of_the_payload_do_not_hang_on_the_targets() -> None:
    """A readout of zeros is the mean of the patch where targets are by patch."""
    tokenizer = volume_tokenizer()
    net = volume_model(tokenizer)
    for name in ("random", "next_all"):
        readout = net.extras[name] if name == "random" else net.extras[name].readout
        for parameter in readout.out.parameters():
            parameter.zero_()
    batch = volume_pack(tokenizer)
    found = MixtureTokenObjective(patchwise=True).losses(net, batch, 0)
    assert float(found["random"][0] / found["random"][1]) == pytest.approx(0.5, rel=1e-3)
    where = random_slots(batch, 0.4, 0)
    spread = batch.values[where].var(1, correction=0).sum()
    torch.testing.assert_close(found["random_mse"][0], spread, rtol=1e-3, atol=0)


def test_the_nearest_slot_before() -> None:
    batch = volume_pack(TOKENIZER, 2)
    found = nearest_before(batch)
    points = batch.places.double().numpy()
    for begin in (0, 13):
        assert found[begin : begin + 2].tolist() == [-1, -1]
        for i in range(begin + 2, begin + 13):
            gaps = np.linalg.norm(points[begin + 1 : i] - points[i], axis=1).round(6)
            best = begin + 1 + max(np.flatnonzero(gaps == gaps.min()))
            assert int(found[i]) == best


def test_schedules() -> None:
    joint, single = MixtureSchedule("joint"), MixtureSchedule("single", only="random")
    assert joint.choose(3, 10) == OBJECTIVES and single.choose(3, 10) == ("random",)
    turns = [MixtureSchedule("alternate", period=2).choose(s, 10)[0] for s in range(7)]
    assert turns == ["random"] * 2 + ["next"] * 2 + ["next_all"] * 2 + ["random"]
    schedule = MixtureSchedule(seed=3)
    chosen = [schedule.choose(s, 3000)[0] for s in range(3000)]
    assert chosen == [schedule.choose(s, 3000)[0] for s in range(3000)]
    shares = [[chosen[a:b].count(n) / (b - a) for n in OBJECTIVES]
              for a, b in ((0, 900), (900, 1800), (1800, 3000))]  # fmt: skip
    np.testing.assert_allclose(shares, [[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]], atol=0.05)
    for wrong in ({"preset": "x"}, {"only": "x"}, {"period": 0}):
        with pytest.raises(UsageError):
            MixtureSchedule(**wrong)  # type: ignore[arg-type]


def test_a_model_without_the_modules_is_told_so() -> None:
    bare = volume_model(TOKENIZER, volume_config(extras={}))
    with pytest.raises(UsageError, match=r"model\.extras\.random\.type to sciar\.nn\.patches"):
        MixtureTokenObjective().losses(bare, volume_pack(TOKENIZER), 0)


def test_it_learns_more_than_copying_and_the_mean() -> None:
    module = volume_data(batch=8, steps=60)
    tokenizer = module.fitted_tokenizer
    net = volume_model(tokenizer)
    objective = MixtureTokenObjective(schedule=MixtureSchedule("joint"))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for step, batch in enumerate(module.train_dataloader()):
        loss = objective.total(objective.at(step, 60).losses(net, batch, step))[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        batch = next(iter(module.val_dataloader()))
        found = {k: float(s / w) for k, (s, w) in objective.losses(net, batch, -1).items()}
    assert found["next_mse"] < 0.9 * min(found["copy_mse"], found["mean_mse"])
    assert found["random_mse"] < 0.95 * found["mean_mse"]
