"""The one type that all domains share: tokens with payloads."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """One structure as L tokens, some of which are slots that carry numbers.

    Attributes:
        ids: (L,) int32 token ids; at a slot, the id of its slot kind.
        kinds: (L,) int8; 0 for a plain token, ``k`` for the k-th slot kind of the vocabulary.
        values: (L, W) float32 payloads, W the widest slot; zeros where there is none.
        weights: (L,) float32 loss weight of predicting this position; 0 for given positions.
        labels: (L,) int32 id of the token that names what a slot describes (its element); -1: none.
        anchors: (L,) int16 index among the things described (which atom); -1: none. A word and the
            slot that belongs to it share their anchor.
        references: (L, R) int16 earlier positions that this slot or word is placed relative to, the
            closest relation first; -1: none.
        relations: (L, R) int8 code of each relation (for molecules, bonds between); 0: none.
        positions: (L, D) float32 place of each token as its content is known; D is 0 for layouts
            whose tokens have no place but their index.
        places: (L, D) float32 place of each token as it is announced, before its content is known.
        context: the first ``context`` tokens are given and attended to in both directions.
    """

    ids: np.ndarray
    kinds: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    anchors: np.ndarray
    references: np.ndarray
    relations: np.ndarray
    positions: np.ndarray
    places: np.ndarray
    context: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def prefix(self, length: int) -> TokenSequence:
        """The first ``length`` positions."""
        cut = {f.name: getattr(self, f.name)[:length] for f in fields(self) if f.name != "context"}
        return TokenSequence(**cut, context=min(self.context, length))

    def payload(self, kind: int, width: int) -> np.ndarray:
        """(number of slots of this kind, width) payloads in order."""
        return self.values[self.kinds == kind, :width]


ARRAYS: dict[str, np.dtype] = {
    "ids": np.dtype(np.int32),
    "kinds": np.dtype(np.int8),
    "values": np.dtype(np.float32),
    "weights": np.dtype(np.float32),
    "labels": np.dtype(np.int32),
    "anchors": np.dtype(np.int16),
    "references": np.dtype(np.int16),
    "relations": np.dtype(np.int8),
    "positions": np.dtype(np.float32),
    "places": np.dtype(np.float32),
}


def without(sequence: TokenSequence, gone: np.ndarray) -> TokenSequence:
    """The sequence without some positions, and without the references to them.

    Args:
        sequence: L tokens.
        gone: (L,) bool.
    """
    kept = {name: getattr(sequence, name)[~gone] for name in ARRAYS}
    moved = np.where(gone, -1, np.cumsum(~gone) - 1)
    references = kept["references"]
    kept["references"] = np.where(references >= 0, moved[references.clip(0)], -1).astype(
        references.dtype
    )
    return TokenSequence(**kept, context=sequence.context - int(gone[: sequence.context].sum()))
