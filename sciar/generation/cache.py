"""Key-value caches: one row a sequence in the making.

Shape letters: B rows, K key heads, L positions, N query heads, D head width, M fed positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(eq=False)
class StepPlan:
    """Where the positions fed in one step belong; shared by all layers.

    Attributes:
        row: (M,) cache row.  position: (M,) position in the row.
        slot: (M,) place in the padded (B, n) block of queries.
        n: most positions fed to one row.  rows: B.
        floor: (M,) positions of the row from which on each attends to itself alone; ``None``: all
            attend to everything before them.
        mask: (B, 1, n, longest) additive.  longest: keys in use.
    """

    row: Tensor
    position: Tensor
    slot: Tensor
    n: int
    rows: int
    longest: int
    floor: Tensor | None = None
    mask: Tensor = field(init=False)

    def __post_init__(self) -> None:
        query = torch.zeros(self.rows * self.n, dtype=torch.long, device=self.row.device)
        query[self.slot] = self.position
        key = torch.arange(self.longest, device=self.row.device)
        own = query.view(self.rows, 1, self.n, 1)
        hidden = key > own
        if self.floor is not None:
            floor = torch.full_like(query, self.longest)
            floor[self.slot] = self.floor
            hidden |= (key >= floor.view(self.rows, 1, self.n, 1)) & (key != own)
        self.mask = torch.zeros(hidden.shape, device=self.row.device)
        self.mask.masked_fill_(hidden, float("-inf"))


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
        if plan.n == 1:
            q = q_MND[:, :, None]
        else:
            q = q_MND.new_zeros(plan.rows * plan.n, *q_MND.shape[1:])
            q[plan.slot] = q_MND
            q = q.view(plan.rows, plan.n, *q_MND.shape[1:]).transpose(1, 2)
        out = attend(
            q, keys[:, :, : plan.longest], values[:, :, : plan.longest], plan.mask, causal=False
        )
        if plan.n == 1:
            return out[:, :, 0]
        return out.transpose(1, 2).flatten(0, 1)[plan.slot]
