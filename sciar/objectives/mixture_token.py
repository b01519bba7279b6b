"""Mixture-token objective: random, next and next-all prediction of slots (TokenUnify, 2405.16847).

All three are real: next and next-all are taken from one causal pass with a target at every
position, random from a pass in both directions whose input lacks the targets. With a Gaussian of
unit variance on standardised payloads, -log p is half the squared error, which is the loss of a
slot, averaged over its numbers.

Shape letters: T tokens of a pack, B sequences, K slots, S splits, L longest, V numbers of a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.inputs import Surroundings
from sciar.nn.patches import PatchReadout
from sciar.nn.perceiver import NextAll
from sciar.nn.streams import derive, uniform
from sciar.objectives.both_ways import both_ways, hidden_slots
from sciar.objectives.next_token import NextTokenObjective, position_keys, select
from sciar.objectives.schedule import OBJECTIVES, MixtureSchedule
from sciar.tokenization.packing import Pack

SLOT = 1
"""Number of the slot kind that is predicted: the first."""
Losses = dict[str, tuple[Tensor, Tensor]]
MEASURED = "_mse"
"""How the names of parts end that are measured, not trained."""


@dataclass(frozen=True)
class MixtureTokenObjective(NextTokenObjective):
    """Losses of ``random``, ``next`` and ``next_all``, one or several in a step.

    Where nothing is chosen (validation), all three are taken, and squared errors in the unit of the
    payloads are measured beside them: ``next_mse``, ``random_mse``, ``next_all_mse``, and those of
    two predictors that have learnt nothing, ``copy_mse`` (the nearest slot before) and ``mean_mse``
    (the mean of the training data).

    Attributes:
        schedule: what is trained when.
        weights: of random, next and next-all in a step that has several.
        mask: share of the slots that random prediction hides.
        splits: prefixes of each sequence from which next-all predicts what follows.
        patchwise: targets are standardised by the mean and deviation of their own slot.
        word: token that stands for a hidden slot.
        chosen: objectives of this step, put here by the schedule.
        word_weight, slot_weight, noise: as in the next-token objective.
    """

    schedule: MixtureSchedule = field(default_factory=MixtureSchedule)
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mask: float = 0.4
    splits: int = 4
    patchwise: bool = False
    word: str = "<mask>"
    chosen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.mask < 1 or self.splits < 1:
            raise UsageError(f"mask {self.mask} must lie in (0, 1), splits {self.splits} above 0")

    def at(self, step: int, total: int) -> MixtureTokenObjective:
        """The objectives that the schedule has for a step."""
        return replace(self, chosen=self.schedule.choose(step, total))

    def losses(self, model: AutoregressiveModel, pack: Pack, salt: int) -> Losses:
        """Objective -> (sum over slots, number of slots)."""
        kinds, measure = self.chosen or OBJECTIVES, not self.chosen
        found: Losses = {}
        if "random" in kinds:
            found |= self._random(model, pack, salt, measure)
        if "next" in kinds or "next_all" in kinds:
            noisy = self._noisy(model, pack, salt) if self.noise > 0 and self.chosen else None
            hidden, inputs = model(pack, noisy)
            if "next" in kinds:
                found |= self._next(model, pack, hidden, inputs.next, salt, measure)
            if "next_all" in kinds:
                found |= self._next_all(model, pack, hidden, salt, measure)
        return found

    def total(self, losses: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The weighted sum of the means of the objectives."""
        scale = dict(zip(OBJECTIVES, self.weights, strict=True))
        parts = [
            (s / w.clamp_min(1e-9) * scale[k], w) for k, (s, w) in losses.items() if k in scale
        ]
        return torch.stack([v for v, _ in parts]).sum(), torch.stack([w for _, w in parts]).sum()

    def _random(self, model: AutoregressiveModel, pack: Pack, salt: int, measure: bool) -> Losses:
        readout = model.extra("random", PatchReadout, "random-token prediction")
        where = random_slots(pack, self.mask, salt)
        states = both_ways(model, hidden_slots(pack, where, model.vocabulary.id(self.word)))
        return self._parts("random", model, pack, readout(states[where]), where, measure)

    def _next(
        self,
        model: AutoregressiveModel,
        pack: Pack,
        hidden: Tensor,
        after: Surroundings,
        salt: int,
        measure: bool,
    ) -> Losses:
        where = (pack.kinds == SLOT) & (pack.weights > 0)
        at = where.nonzero().squeeze(1)
        source = self._source(model, pack)[at]
        near = select(after, source)
        head, condition = model.head(SLOT), model.condition(hidden[source], near)
        keys = derive(derive(position_keys(pack)[at], salt), SLOT)
        loss = head.loss(condition, self._target(model, pack, where), keys)
        found: Losses = {"next": (loss.sum(), _count(loss))}
        if measure:
            with torch.no_grad():
                drawn = head.sample(condition, keys)
            found |= self._measured("next", model, pack, drawn, where)
            found |= _untaught(model, pack, where)
        return found

    def _next_all(
        self, model: AutoregressiveModel, pack: Pack, hidden: Tensor, salt: int, measure: bool
    ) -> Losses:
        module = model.extra("next_all", NextAll, "next-all prediction")
        rows_BL, valid_BL = padded(pack.lengths)
        prefix_BS = split_points(pack, self.splits, salt)
        place_L = torch.arange(rows_BL.shape[1], device=rows_BL.device)
        seen_BSL = place_L <= prefix_BS[..., None]
        ends = pack.positions[rows_BL.gather(1, prefix_BS)]
        predicted = module(hidden[rows_BL], seen_BSL, pack.places[rows_BL], ends)
        wanted = ~seen_BSL & (valid_BL & (pack.kinds[rows_BL] == SLOT))[:, None]
        flat = rows_BL[:, None].expand_as(wanted)[wanted]
        return self._parts("next_all", model, pack, predicted[wanted], flat, measure)

    def _parts(
        self,
        name: str,
        model: AutoregressiveModel,
        pack: Pack,
        predicted: Tensor,
        where: Tensor,
        measure: bool,
    ) -> Losses:
        loss = 0.5 * (predicted - self._target(model, pack, where)).square().mean(-1)
        found: Losses = {name: (loss.sum(), _count(loss))}
        return found | (self._measured(name, model, pack, predicted, where) if measure else {})

    def _target(self, model: AutoregressiveModel, pack: Pack, where: Tensor) -> Tensor:
        """(N, V) standardised payloads of some positions."""
        encoder = model.embedding.encoder(SLOT)
        target = (pack.values[where, : encoder.slot.width] - encoder.mean) / encoder.std
        if not self.patchwise:
            return target
        mean, deviation = _own(target)
        return (target - mean) / deviation

    def _measured(
        self, name: str, model: AutoregressiveModel, pack: Pack, predicted: Tensor, where: Tensor
    ) -> Losses:
        """Squared error in the unit of the payloads."""
        encoder = model.embedding.encoder(SLOT)
        truth = pack.values[where, : encoder.slot.width]
        if self.patchwise:
            mean, deviation = _own((truth - encoder.mean) / encoder.std)
            predicted = predicted * deviation + mean
        raw = predicted.detach() * encoder.std + encoder.mean
        return {name + MEASURED: _squared(raw, truth)}


def _own(target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each row."""
    return target.mean(-1, keepdim=True), target.std(-1, correction=0, keepdim=True) + 1e-6


def _count(loss: Tensor) -> Tensor:
    return torch.as_tensor(float(len(loss)), device=loss.device)


def _squared(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    error = (predicted - truth).square().mean(-1)
    return error.sum(), _count(error)


def _untaught(model: AutoregressiveModel, pack: Pack, where: Tensor) -> Losses:
    """Errors of predictors that have learnt nothing."""
    encoder = model.embedding.encoder(SLOT)
    truth = pack.values[where, : encoder.slot.width]
    mean = encoder.mean.expand_as(truth)
    copied = nearest_before(pack)
    found = pack.values[copied.clamp_min(0), : encoder.slot.width]
    copy = torch.where((copied >= 0)[:, None], found, encoder.mean)[where]
    return {"copy" + MEASURED: _squared(copy, truth), "mean" + MEASURED: _squared(mean, truth)}


def nearest_before(pack: Pack) -> Tensor:
    """(T,) the slot before each token that is nearest in space, the latest of equals; -1: none."""
    rows_BL, valid_BL = padded(pack.lengths)
    slot_BL = valid_BL & (pack.kinds[rows_BL] == SLOT)
    places = pack.places[rows_BL].double()
    distance_BLL = torch.cdist(places, places)
    length = rows_BL.shape[1]
    # Among equals the later one wins: a tiny bonus in units that no distance has.
    order = torch.arange(length, device=rows_BL.device, dtype=torch.float64)
    distance_BLL = distance_BLL.round(decimals=3) - 1e-6 * order
    later = torch.ones(length, length, dtype=torch.bool, device=rows_BL.device).triu()
    distance_BLL = distance_BLL.masked_fill(later | ~slot_BL[:, None], float("inf"))
    best, index = distance_BLL.min(-1)
    found_BL = torch.where(best.isfinite(), rows_BL.gather(1, index), -1)
    out = torch.full_like(pack.ids, -1)
    return out.index_copy(0, rows_BL[valid_BL], found_BL[valid_BL])


def random_slots(pack: Pack, share: float, salt: int) -> Tensor:
    """(T,) which slots are hidden: exactly the share of each sequence, rounded down."""
    at = (pack.kinds == SLOT).nonzero().squeeze(1)
    owner = torch.arange(len(pack.lengths), device=at.device).repeat_interleave(pack.lengths)[at]
    chance = uniform(derive(position_keys(pack)[at], salt), 1)[:, 0]
    order = (owner + chance).argsort()
    counts = torch.bincount(owner, minlength=len(pack.lengths))
    first = (counts.cumsum(0) - counts)[owner[order]]
    rank = torch.arange(len(at), device=at.device) - first
    chosen = order[rank < (share * counts[owner[order]].double() + 1e-9).floor()]
    where = torch.zeros(len(pack), dtype=torch.bool, device=at.device)
    where[at[chosen]] = True
    return where


def split_points(pack: Pack, splits: int, salt: int) -> Tensor:
    """(B, S) place of the last token of each prefix: one slot at least, and not the last.

    Raises:
        UsageError: a sequence has a single slot.
    """
    if int(pack.lengths.min()) < 3:
        raise UsageError("a prefix and what follows it take at least two patches in a crop")
    chance = uniform(derive(pack.keys, salt + 17), splits)
    slots = (pack.lengths - 1)[:, None]
    return 1 + (chance * (slots - 1)).long().minimum(slots - 2)


def padded(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L) flat index of each place of each sequence, and which places there are."""
    inside = torch.arange(int(lengths.max()), device=lengths.device)
    starts = lengths.cumsum(0) - lengths
    rows = (starts[:, None] + inside).clamp_max(int(lengths.sum()) - 1)
    return rows, inside < lengths[:, None]
