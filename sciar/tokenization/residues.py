"""Packs of proteins for an encoder: ids of residues, sequence after sequence."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ResiduePack:
    """S sequences of T tokens in all, back to back.

    Attributes:
        ids: (T,) ids of :mod:`sciar.tokenization.esm_alphabet`.
        lengths: (S,) tokens of each sequence.
        keys: (S,) int64 identity of each sequence, from which its random numbers derive.
    """

    ids: Tensor
    lengths: Tensor
    keys: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> ResiduePack:
        """The same pack on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return ResiduePack(**moved)

    def pin_memory(self) -> ResiduePack:
        """The same pack in pinned memory."""
        return ResiduePack(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})
