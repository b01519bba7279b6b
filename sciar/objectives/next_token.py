"""Next-token objective: every position answers for the one after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.inputs import Surroundings
from sciar.nn.questions import feed
from sciar.nn.streams import derive, normal, uniform
from sciar.objectives.sources import answering
from sciar.tokenization.packing import Pack


@dataclass(frozen=True)
class NextTokenObjective:
    """Cross-entropy of words and the heads' own loss of slots.

    Attributes:
        word_weight: weight of the words' loss.
        slot_weight: weight of the slots' losses.
        noise: standard deviation of the noise on input payloads, in standard deviations of their
            slot kind (cells, on the torus), drawn uniformly from [0, noise] for each sequence; it
            makes the model robust against its own errors (spec 8.2, exposure bias). Targets stay
            clean.
        forget: largest share of the answered words that are fed back wrongly in training: each
            sequence draws its share uniformly from [0, forget], and such a word is replaced by one
            that was answered before it in the same sequence. A model that learns from its own true
            past alone goes on as it began, and repeats its own errors. Targets stay right.
    """

    word_weight: float = 1.0
    slot_weight: float = 1.0
    noise: float = 0.0
    forget: float = 0.0

    def at(self, step: int, total: int) -> NextTokenObjective:
        """What is trained in one step of so many; always the same unless an objective says more."""
        return self

    def losses(
        self, model: AutoregressiveModel, pack: Pack, salt: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Part -> (weighted sum of losses, sum of weights); ``word`` and each slot name.

        ``salt`` (the training step) changes the random numbers; with the pack's keys it fixes them,
        so a loss does not depend on how sequences are batched or spread over processes.
        """
        noisy = self._noisy(model, pack, salt) if self.noise > 0 else None
        source = self._source(model, pack)
        hidden, inputs = model(self._fed(pack, salt), noisy, self._blind(model, pack, salt))
        weight = torch.where(source >= 0, pack.weights, 0.0)
        return {
            "word": self._words(model, pack, hidden, source, weight),
            **{
                slot.name: self._slots(
                    model, pack, hidden, inputs.next, source, weight, i + 1, salt
                )
                for i, slot in enumerate(model.vocabulary.slots)
            },
        }

    def _blind(self, model: AutoregressiveModel, pack: Pack, salt: int) -> Tensor | None:
        """(B,) sequences whose questions are put many at once; ``None``: no such."""
        return None

    def _source(self, model: AutoregressiveModel, pack: Pack) -> Tensor:
        """(T,) fed position whose state predicts each position; -1: none does."""
        if model.config.questions:
            raise UsageError("the network is asked questions: train it by masked next token")
        return answering(model, pack)

    def total(self, losses: dict[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """One (sum, weight) over all parts: the mean over words plus the mean over slots' parts."""
        value = torch.stack(
            [s / w.clamp_min(1e-9) * self._scale(k) for k, (s, w) in losses.items()]
        )
        return value.sum(), torch.stack([w for _, w in losses.values()]).sum()

    def _scale(self, part: str) -> float:
        return self.word_weight if part == "word" else self.slot_weight

    @staticmethod
    def _words(
        model: AutoregressiveModel, pack: Pack, hidden: Tensor, source: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        at = ((pack.kinds == 0) & (weight > 0)).nonzero().squeeze(1)
        if not len(at):
            return hidden.sum() * 0.0, weight.new_zeros(())
        loss = model.words.loss(hidden[source[at]], pack.ids[at])
        return (loss * weight[at]).sum(), weight[at].sum()

    @staticmethod
    def _slots(
        model: AutoregressiveModel,
        pack: Pack,
        hidden: Tensor,
        after: Surroundings,
        source: Tensor,
        weight: Tensor,
        number: int,
        salt: int,
    ) -> tuple[Tensor, Tensor]:
        at = ((pack.kinds == number) & (weight > 0)).nonzero().squeeze(1)
        if not len(at):
            return hidden.sum() * 0.0, weight.new_zeros(())
        # A slot is announced right before it, wherever its answer is read off.
        near = select(after, feed(pack, model.config.questions).source[at])
        target = model.target(number, pack.values[at], near)
        keys = derive(derive(position_keys(pack)[at], salt), number)
        loss = model.head(number).loss(model.condition(hidden[source[at]], near), target, keys)
        return (loss * weight[at]).sum(), weight[at].sum()

    def _fed(self, pack: Pack, salt: int) -> Pack:
        """The pack with some answered words forgotten; none in validation (negative salts)."""
        if self.forget <= 0 or salt < 0:
            return pack
        words = ((pack.kinds == 0) & (pack.weights > 0)).nonzero().squeeze(1)
        counts = torch.bincount(sequence_of(pack)[words], minlength=len(pack.lengths))
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        before = torch.arange(len(words), device=words.device) - first  # answered in its sequence
        chance, which = uniform(derive(position_keys(pack)[words], salt + 19), 2).T
        share = self.forget * uniform(derive(pack.keys, salt + 23), 1)[:, 0]
        lost = (before > 0) & (chance < share.repeat_interleave(counts))
        stale = words[first + torch.minimum((which * before).long(), (before - 1).clamp_min(0))]
        ids = torch.where(lost, pack.ids[stale], pack.ids[words])
        return replace(pack, ids=pack.ids.index_copy(0, words, ids))

    def _noisy(self, model: AutoregressiveModel, pack: Pack, salt: int) -> Tensor:
        """Payloads with noise, except where the payload is pinned (no weight, hence no doubt)."""
        width = pack.values.shape[1]
        scale = pack.values.new_zeros(len(model.vocabulary.slots) + 1, width)
        for i, slot in enumerate(model.vocabulary.slots):
            scale[i + 1, : slot.width] = torch.tensor(slot.std, device=scale.device)
        keys = derive(position_keys(pack), salt + 7)
        level = self.noise * uniform(derive(pack.keys, salt + 11), 1).float()
        level = level.repeat_interleave(pack.lengths, 0)
        doubtful = ((pack.kinds > 0) & (pack.weights > 0))[:, None]
        noise = level * normal(keys, width) * scale[pack.kinds]
        return pack.values + torch.where(doubtful, noise, 0.0)


def sequence_of(pack: Pack) -> Tensor:
    """(T,) sequence of each position."""
    index = torch.arange(len(pack.lengths), device=pack.ids.device)
    return index.repeat_interleave(pack.lengths)


def position_keys(pack: Pack) -> Tensor:
    """(T,) key of each position: from its sequence's key and its place in the sequence."""
    starts = pack.lengths.cumsum(0) - pack.lengths
    place = torch.arange(len(pack), device=pack.ids.device)
    place = place - starts.repeat_interleave(pack.lengths)
    return derive(pack.keys.repeat_interleave(pack.lengths), place)


def select(after: Surroundings, at: Tensor) -> Surroundings:
    """Surroundings of some positions only."""
    return Surroundings(**{name: getattr(after, name)[at] for name in vars(after)})
