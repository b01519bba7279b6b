"""Packed batches: many sequences in one flat row of tokens, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from sciar.tokenization.sequence import ARRAYS, TokenSequence


@dataclass(frozen=True, eq=False)
class Pack:
    """B sequences, T tokens in all, back to back.

    The (T, ...) tensors are those of :class:`~sciar.tokenization.sequence.TokenSequence`, but
    ``references`` hold flat positions of the pack.

    Attributes:
        lengths: (B,) tokens of each sequence.
        contexts: (B,) length of each bidirectional prefix.
        keys: (B,) int64 identity of each sequence, from which its random numbers derive.
    """

    ids: Tensor
    kinds: Tensor
    values: Tensor
    weights: Tensor
    labels: Tensor
    anchors: Tensor
    references: Tensor
    relations: Tensor
    positions: Tensor
    places: Tensor
    lengths: Tensor
    contexts: Tensor
    keys: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Pack:
        """The same pack on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return Pack(**moved)

    def pin_memory(self) -> Pack:
        """The same pack in pinned memory."""
        return Pack(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


def pack(sequences: Sequence[TokenSequence], keys: Sequence[int] | None = None) -> Pack:
    """Pack sequences back to back; ``keys`` default to their index."""
    arrays = {name: np.concatenate([getattr(s, name) for s in sequences]) for name in ARRAYS}
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    contexts = np.array([s.context for s in sequences], dtype=np.int64)
    identity = np.arange(len(sequences)) if keys is None else np.asarray(keys, dtype=np.int64)
    return pack_arrays(arrays, lengths, contexts, identity)


def pack_arrays(
    arrays: dict[str, np.ndarray], lengths: np.ndarray, contexts: np.ndarray, keys: np.ndarray
) -> Pack:
    """Concatenated arrays of several sequences -> pack; shifts the references to flat positions."""
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    references = arrays["references"].astype(np.int64)
    references = np.where(references >= 0, references + starts[:, None], -1)
    wide = {
        name: torch.from_numpy(np.ascontiguousarray(arrays[name])).long()
        for name in ("ids", "kinds", "labels", "anchors", "relations")
    }
    return Pack(
        **wide,
        values=torch.from_numpy(np.ascontiguousarray(arrays["values"])),
        weights=torch.from_numpy(np.ascontiguousarray(arrays["weights"])),
        references=torch.from_numpy(references),
        positions=torch.from_numpy(np.ascontiguousarray(arrays["positions"])),
        places=torch.from_numpy(np.ascontiguousarray(arrays["places"])),
        lengths=torch.from_numpy(lengths.astype(np.int64)),
        contexts=torch.from_numpy(contexts.astype(np.int64)),
        keys=torch.from_numpy(keys.astype(np.int64)),
    )
