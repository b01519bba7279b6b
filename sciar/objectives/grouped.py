"""Next token for batches of many tasks: every task counts the same, however long its answers are.

L = mean over the groups of a batch of the mean over their sequences of sum_t w_t l_t, where the
loss weights w_t of a sequence sum to the weight of its group, as its tokenizer sees to. A sequence
says its group by a token, such as the task that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.inputs import Inputs
from sciar.nn.streams import derive, uniform
from sciar.objectives.next_token import NextTokenObjective, position_keys, select, sequence_of
from sciar.tokenization.packing import Pack
from sciar.tokenization.sequence import ARRAYS
from sciar.tokenization.vocabulary import Vocabulary

READOUT = " at once"


@dataclass(frozen=True)
class GroupedObjective(NextTokenObjective):
    """Losses by group, each the mean over its sequences; options also as for the next token.

    Attributes:
        prefix: how the names of the tokens begin that say a sequence's group.
        readout: weight of predicting words at once: a word at the place of a slot of the prompt is
            also predicted from the state of that slot, by the same output rows; 0: not.
        alone: share of the steps that train answers which are read at once in this way only: they
            are not fed, so that such a step reads the prompts alone.
        hide: share of the payloads that are only read (geometry ``given``) which become ``blank``,
            chosen anew in every step by record and position; 0.05 in Prot2Token.
        blank: such a payload; for residues the id of ``<mask>``.
    """

    prefix: str = "<task_"
    readout: float = 0.0
    alone: float = 0.0
    hide: float = 0.0
    blank: float = 32.0

    def losses(
        self, model: AutoregressiveModel, pack: Pack, salt: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Group -> (sum over its sequences of their mean losses, number of sequences).

        Groups are called by what follows the prefix, with `` at once`` for the readout. Every group
        of the vocabulary has an entry, so that processes agree about them.
        """
        once = _once(pack) if self.readout > 0 else None
        if once is not None and salt >= 0 and self.alone > 0:
            key = torch.tensor([salt], device=pack.ids.device)
            if float(uniform(derive(key, 29), 1)) < self.alone:
                pack, once = _prompts(pack, once)
        noisy = self._noisy(model, pack, salt) if self.noise > 0 else None
        if self.hide > 0 and salt >= 0:
            noisy = self._hidden(model, pack, pack.values if noisy is None else noisy, salt)
        source = self._source(model, pack)
        hidden, inputs = model(self._fed(pack, salt), noisy)
        weight = torch.where(source >= 0, pack.weights, 0.0)
        each = self._each(model, pack, hidden, inputs, source, weight, salt)
        owner = sequence_of(pack)
        names, group = self._groups(model.vocabulary, pack, owner)
        found = dict(_by_group(names, group, *_sums(each, weight, owner, len(pack.lengths))))
        if once is not None:
            loss = model.words.loss(hidden[once.slot], once.ids) if len(once.ids) else each[:0]
            value, count = each.new_zeros(2, len(pack.lengths))
            value = value.index_add(0, once.owner, loss.to(each.dtype) * once.weight)
            count = count.index_add(0, once.owner, once.weight)
            sums = value, (count > 0).to(each.dtype)
            found |= {k + READOUT: v for k, v in _by_group(names, group, *sums)}
        return found

    def total(self, losses: dict[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The mean over the groups that are present, plus the readout's."""
        value = None
        counts = torch.stack([w for _, w in losses.values()])
        for once, scale in ((False, 1.0), (True, self.readout)):
            chosen = [(s, w) for k, (s, w) in losses.items() if k.endswith(READOUT) == once]
            if not chosen:
                continue
            sums, weights = (torch.stack(list(x)) for x in zip(*chosen, strict=True))
            present = (weights > 0).sum().clamp_min(1)
            part = scale * (sums / weights.clamp_min(1)).sum() / present
            value = part if value is None else value + part
        assert value is not None
        return value, counts.sum()

    def _each(
        self,
        model: AutoregressiveModel,
        pack: Pack,
        hidden: Tensor,
        inputs: Inputs,
        source: Tensor,
        weight: Tensor,
        salt: int,
    ) -> Tensor:
        """(T,) loss of each position that counts, zero elsewhere."""
        each = hidden.new_zeros(len(pack)).float() + hidden.sum() * 0.0
        words = ((pack.kinds == 0) & (weight > 0)).nonzero().squeeze(1)
        if len(words):
            loss = model.words.loss(hidden[source[words]], pack.ids[words])
            each = each.index_copy(0, words, self.word_weight * loss)
        for number in range(1, len(model.vocabulary.slots) + 1):
            at = ((pack.kinds == number) & (weight > 0)).nonzero().squeeze(1)
            if not len(at):
                continue
            near = select(inputs.next, source[at])
            target = model.target(number, pack.values[at], near)
            keys = derive(derive(position_keys(pack)[at], salt), number)
            loss = model.head(number).loss(model.condition(hidden[source[at]], near), target, keys)
            each = each.index_copy(0, at, self.slot_weight * loss)
        return each

    def _hidden(self, model: AutoregressiveModel, pack: Pack, values: Tensor, salt: int) -> Tensor:
        """Payloads with some of the given ones hidden; none in validation (negative salts)."""
        given = [i + 1 for i, s in enumerate(model.vocabulary.slots) if s.role == "given"]
        read = torch.isin(pack.kinds, pack.kinds.new_tensor(given))
        chance = uniform(derive(position_keys(pack), salt + 17), 1)[:, 0]
        return torch.where((read & (chance < self.hide))[:, None], self.blank, values)

    def _groups(
        self, vocabulary: Vocabulary, pack: Pack, owner: Tensor
    ) -> tuple[list[str], Tensor]:
        """Names of all groups, and the (B,) group of each sequence."""
        names = [n for n in vocabulary.names if n.startswith(self.prefix)]
        table = torch.full((len(vocabulary),), -1, device=pack.ids.device)
        ids = torch.from_numpy(vocabulary.ids(names)).long().to(table.device)
        table[ids] = torch.arange(len(names), device=table.device)
        number = torch.where(pack.kinds == 0, table[pack.ids], -1)
        group = torch.full((len(pack.lengths),), -1, device=table.device)
        group = group.scatter_reduce(0, owner, number, "amax")
        if bool((group < 0).any()):
            raise UsageError(f"a sequence has no token that begins with {self.prefix!r}")
        return [n.removeprefix(self.prefix).rstrip(">") for n in names], group


@dataclass(frozen=True, eq=False)
class _Once:
    """Words with loss that are read at once.

    Attributes:
        slot: flat position of the slot that each is read from.
        ids: the words.
        weight: their loss weights.
        owner: sequence of each.
    """

    slot: Tensor
    ids: Tensor
    weight: Tensor
    owner: Tensor


def _once(pack: Pack) -> _Once:
    owner = sequence_of(pack)
    slot = slots_of_words(pack, owner)
    at = ((slot >= 0) & (pack.weights > 0)).nonzero().squeeze(1)
    return _Once(slot[at], pack.ids[at], pack.weights[at], owner[at])


def _prompts(pack: Pack, once: _Once) -> tuple[Pack, _Once]:
    """The pack without the answers that are read at once."""
    owner = sequence_of(pack)
    cut = torch.zeros_like(pack.lengths, dtype=torch.bool).index_fill(0, once.owner, True)
    starts = pack.lengths.cumsum(0) - pack.lengths
    inside = torch.arange(len(pack), device=owner.device) - starts[owner]
    kept = ~cut[owner] | (inside < pack.contexts[owner])
    moved = kept.cumsum(0) - 1
    parts = {name: getattr(pack, name)[kept] for name in ARRAYS}
    parts["references"] = torch.where(
        parts["references"] >= 0, moved[parts["references"].clamp_min(0)], -1
    )
    lengths = torch.where(cut, pack.contexts, pack.lengths)
    return replace(pack, **parts, lengths=lengths), replace(once, slot=moved[once.slot])


def slots_of_words(pack: Pack, owner: Tensor) -> Tensor:
    """(T,) for each word at the place of a slot of the prompt, the position of this slot; -1: none.

    Labelled slots are left out: their places repeat those of the others (a second chain).
    """
    none = torch.full_like(pack.ids, -1)
    if pack.positions.shape[1] < 2 or not len(pack):
        return none
    inside = torch.arange(len(pack), device=owner.device)
    starts = (pack.lengths.cumsum(0) - pack.lengths)[owner]
    prompt = inside - starts < pack.contexts[owner]
    slots = (pack.kinds > 0) & prompt & (pack.labels < 0)
    # Places of words that go step by step have a second coordinate; those of slots do not.
    level = (pack.positions[:, 0] > 0) & (pack.positions[:, 1:] == 0).all(1)
    words = (pack.kinds == 0) & ~prompt & level
    width = int(pack.positions[:, 0].max()) + 1
    place = owner * width + pack.positions[:, 0].long().clamp_min(0)
    table = torch.full((len(pack.lengths) * width,), -1, device=owner.device)
    table[place[slots]] = inside[slots]
    return torch.where(words, table[place], none)


def slots_of_prompt(pack: Pack, span: slice) -> Tensor:
    """Positions of the unlabelled slots in one sequence of a pack, which answers are read from."""
    found = (pack.kinds[span] > 0) & (pack.labels[span] < 0)
    return found.nonzero().squeeze(1) + span.start


def _sums(each: Tensor, weight: Tensor, owner: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B,) weighted sum of the losses of each sequence, and (B,) whether it has any weight."""
    total = each.new_zeros(count).index_add(0, owner, weight.to(each.dtype))
    value = each.new_zeros(count).index_add(0, owner, each * weight)
    return value, (total > 0).to(each.dtype)


def _by_group(
    names: list[str], group: Tensor, value: Tensor, present: Tensor
) -> list[tuple[str, tuple[Tensor, Tensor]]]:
    sums = value.new_zeros(len(names)).index_add(0, group, value)
    counts = value.new_zeros(len(names)).index_add(0, group, present)
    return [(name, (sums[i], counts[i])) for i, name in enumerate(names)]
