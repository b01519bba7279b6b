"""Key-value caches: one row a sequence in the making.

Shape letters: B rows, K key heads, L positions, N query heads, D head width, M fed positions,
R rows of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciar.nn.attention import PackedMemory, attend


@dataclass(eq=False)
class KVCache:
    """Keys and values of every layer: (layers, B, K, L, D) each, allocated once and reused."""

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(
        cls, layers: int, rows: int, heads: int, length: int, width: int, like: Tensor
    ) -> KVCache:
        """A zeroed cache on the device and in the precision of ``like``."""
        shape = (layers, rows, heads, length, width)
        return cls(like.new_zeros(shape), like.new_zeros(shape))

    @property
    def length(self) -> int:
        """Positions that a row can hold."""
        return self.keys.shape[3]

    def grown(self, length: int) -> KVCache:
        """The same content with room for more positions."""
        shape = (*self.keys.shape[:3], length, self.keys.shape[4])
        bigger = KVCache(self.keys.new_zeros(shape), self.values.new_zeros(shape))
        bigger.keys[:, :, :, : self.length] = self.keys
        bigger.values[:, :, :, : self.length] = self.values
        return bigger


@dataclass(eq=False)
class PrefillMemory:
    """Attention inside whole prompts; remembers their keys and values for the cache."""

    packed: PackedMemory
    keys: Tensor | None = None
    values: Tensor | None = None

    def attend(self, q_MND: Tensor, k_MKD: Tensor, v_MKD: Tensor) -> Tensor:
        """As :class:`~sciar.nn.attention.PackedMemory`."""
        self.keys, self.values = k_MKD, v_MKD
        return self.packed.attend(q_MND, k_MKD, v_MKD)


@dataclass(frozen=True, eq=False)
class StepPart:
    """Some rows side by side, whose queries are padded to n each.

    Attributes:
        rows: (R,) cache rows, or ``None``: all B.
        take: (R * n) fed position of each query; the last of a row stands in for padding.
        keep: (K,) queries that count.  at: (K,) their fed positions.
        n: queries of a row.  longest: keys in use.
        mask: (R, 1, n, longest) additive.
    """

    rows: Tensor | None
    take: Tensor
    keep: Tensor
    at: Tensor
    n: int
    longest: int
    mask: Tensor


class StepPlan:
    """Where the positions fed in one step belong; shared by all layers.

    Rows that feed one position and rows that feed many (a prompt, or all questions about a level of
    an octree) attend apart, so that padding does not make up most of the work.

    Args:
        begins: B positions that each row has fed before.
        counts: B positions, at least one, that each row feeds now.
        device: of the cache.
        floor: (M,) positions of the row from which on each attends to itself alone; ``None``: all
            attend to everything before them.

    Attributes:
        rows: B.
        row: (M,) cache row.  inside: (M,) number among those its row feeds.
        position: (M,) position in the row.
        last: (B,) the last fed position of each row.
        parts: of the rows.
    """

    def __init__(
        self,
        begins: Sequence[int],
        counts: Sequence[int],
        device: torch.device,
        floor: Tensor | None = None,
    ) -> None:
        self.rows, self._device, self._floor = len(counts), device, floor
        count, begin = np.array(counts), np.array(begins)
        starts = count.cumsum() - count
        row = np.arange(self.rows).repeat(count)
        inside = np.arange(len(row)) - starts[row]
        self.row, self.position = self._tensor(row), self._tensor(begin[row] + inside)
        self.last = self._tensor(starts + count - 1)
        everyone = np.arange(self.rows)
        if self.rows * count.max() <= 2 * len(row):
            self.parts = [self._part(everyone, everyone, begin, count, starts)]
            return
        # Rows of 1, of 2 to 4, of 5 to 16, .. positions. Those of one are usually most: all rows
        # then run along, because a look at them in place costs less than a copy of the others.
        size = np.ceil(np.log2(count) / 2).astype(int)
        self.parts = []
        for members in (np.flatnonzero(size == s) for s in np.unique(size)):
            whole = 2 * len(members) > self.rows and count[members].max() == 1
            rows = everyone if whole else members
            self.parts.append(self._part(rows, members, begin, count, starts))

    def _part(
        self,
        rows: np.ndarray,
        members: np.ndarray,
        begin: np.ndarray,
        count: np.ndarray,
        starts: np.ndarray,
    ) -> StepPart:
        """The part of some rows, of which only the ``members`` count."""
        n, longest = int(count[members].max()), int((begin + count)[members].max())
        place = np.arange(n)
        inside = np.minimum(place, count[rows, None] - 1)
        real = (place < count[rows, None]) & np.isin(rows, members)[:, None]
        take = self._tensor((starts[rows, None] + inside).ravel())
        keep = self._tensor(np.flatnonzero(real))
        key = torch.arange(longest, device=self._device)
        own = self._tensor(begin[rows, None] + inside)[:, None, :, None]
        hidden = key > own
        if self._floor is not None:
            floor = self._floor[take].view(len(rows), 1, n, 1)
            hidden |= (key >= floor) & (key != own)
        mask = torch.zeros(hidden.shape, device=self._device)
        mask.masked_fill_(hidden, float("-inf"))
        chosen = None if len(rows) == self.rows else self._tensor(rows)
        return StepPart(chosen, take, keep, take[keep], n, longest, mask)

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)


@dataclass(eq=False)
class StepMemory:
    """Attention of new positions to everything cached in their row."""

    cache: KVCache
    layer: int
    plan: StepPlan

    def attend(self, q_MND: Tensor, k_MKD: Tensor, v_MKD: Tensor) -> Tensor:
        """Write the new keys and values, then attend to the whole row."""
        plan = self.plan
        keys, values = self.cache.keys[self.layer], self.cache.values[self.layer]
        keys[plan.row, :, plan.position] = k_MKD
        values[plan.row, :, plan.position] = v_MKD
        if len(q_MND) == plan.rows:
            (part,) = plan.parts
            return _attend_part(part, q_MND, keys, values)
        out = torch.empty_like(q_MND)
        for part in plan.parts:
            out[part.at] = _attend_part(part, q_MND[part.take], keys, values)[part.keep]
        return out


def _attend_part(part: StepPart, q_QND: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(R * n, N, D) of that many queries."""
    rows = slice(None) if part.rows is None else part.rows
    q = q_QND.view(-1, part.n, *q_QND.shape[1:]).transpose(1, 2)
    k, v = keys[rows, :, : part.longest], values[rows, :, : part.longest]
    return attend(q, k, v, part.mask, causal=False).transpose(1, 2).flatten(0, 1)
