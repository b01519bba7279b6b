"""How the voxels of a segmentation are shared out over those of a reference.

Tables of blocks add up to the table of the volume exactly, so a volume need never be in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sciar.errors import UsageError
from sciar.merging import merged


class Volume(Protocol):
    """Labels that are read block by block: a NumPy array, or a dataset of HDF5 or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        ...

    def __getitem__(self, block: Any, /) -> Any:
        """The labels of a block, given as slices."""
        ...


@dataclass(frozen=True, eq=False)
class Contingency:
    """Voxels that each pair of labels shares; sorted by the pair, so that equal tables are equal.

    Attributes:
        truth: (n,) reference label of each pair.
        found: (n,) label of the segmentation.
        count: (n,) voxels, int64.
        ignored: voxels left out because of their reference label.
    """

    truth: np.ndarray
    found: np.ndarray
    count: np.ndarray
    ignored: int = 0

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray, ignore: Sequence[int] = (0,)) -> Contingency:
        """The table of two label arrays of one shape.

        Args:
            truth: reference labels, integers.
            found: labels of the segmentation, integers; none of them is special.
            ignore: reference labels whose voxels do not count.

        Raises:
            UsageError: shapes differ, or labels are no integers.
        """
        _check_shapes(truth.shape, found.shape)
        for name, labels in (("reference", truth), ("segmentation", found)):
            if labels.dtype.kind not in "iu":
                raise UsageError(f"labels of the {name} are {labels.dtype}, not integers")
        truth, found = truth.reshape(-1), found.reshape(-1)
        out = np.isin(truth, list(ignore)) if len(ignore) else np.zeros(truth.shape, bool)
        ignored = int(out.sum())
        if ignored:
            truth, found = truth[~out], found[~out]
        rows, row = np.unique(truth, return_inverse=True)
        columns, column = np.unique(found, return_inverse=True)
        pairs = row.astype(np.int64) * max(1, len(columns)) + column
        code, count = np.unique(pairs, return_counts=True)
        row, column = np.divmod(code, max(1, len(columns)))
        return cls(rows[row], columns[column], count.astype(np.int64), ignored)

    @classmethod
    def of_volumes(
        cls, truth: Volume, found: Volume, block: Sequence[int], ignore: Sequence[int] = (0,)
    ) -> Contingency:
        """The table of two volumes that are read block by block.

        In memory at any time: one block of each volume, and one entry a pair of labels that share a
        voxel.

        Args:
            truth: reference labels.
            found: labels of the segmentation.
            block: voxels of a block along each axis; any gives the same table.
            ignore: reference labels whose voxels do not count.

        Raises:
            UsageError: shapes differ, the block has other axes or is empty, or labels are no
                integers.
        """
        _check_shapes(truth.shape, found.shape)
        if len(block) != len(truth.shape) or min(block, default=1) < 1:
            raise UsageError(f"block {tuple(block)} does not fit a volume of shape {truth.shape}")
        return cls.merged(
            cls.of(np.asarray(truth[where]), np.asarray(found[where]), ignore)
            for where in blocks(truth.shape, block)
        )

    @classmethod
    def merged(cls, tables: Iterable[Contingency]) -> Contingency:
        """The table of several disjoint blocks; any order and grouping gives the same."""
        empty = np.zeros(0, np.int64)
        return merged(tables, cls(empty, empty, empty))

    def __add__(self, other: Contingency) -> Contingency:
        """The table of both blocks.

        Raises:
            UsageError: labels are signed in one table and unsigned in the other, which no integer
                type holds together.
        """
        for own, others in ((self.truth, other.truth), (self.found, other.found)):
            if np.result_type(own, others).kind not in "iu":
                raise UsageError(f"labels of blocks are {own.dtype} and {others.dtype}")
        truth = np.concatenate([self.truth, other.truth])
        found = np.concatenate([self.found, other.found])
        count = np.concatenate([self.count, other.count])
        ignored = self.ignored + other.ignored
        if not len(count):
            return Contingency(truth, found, count, ignored)
        order = np.lexsort((found, truth))
        truth, found, count = truth[order], found[order], count[order]
        new = np.ones(len(count), bool)
        new[1:] = (truth[1:] != truth[:-1]) | (found[1:] != found[:-1])
        return Contingency(
            truth[new], found[new], np.add.reduceat(count, new.nonzero()[0]), ignored
        )

    @property
    def voxels(self) -> int:
        """Voxels that count."""
        return int(self.count.sum())

    def truth_sizes(self) -> np.ndarray:
        """Voxels of each reference label, in order of the labels."""
        return _sums(self.truth, self.count)

    def found_sizes(self) -> np.ndarray:
        """Voxels of each label of the segmentation, in order of the labels."""
        return _sums(self.found, self.count)


def blocks(shape: Sequence[int], block: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Disjoint blocks that cover a shape, the last axis fastest."""
    starts = [range(0, n, step) for n, step in zip(shape, block, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(corner, block, shape, strict=True)
        )


def _check_shapes(truth: Sequence[int], found: Sequence[int]) -> None:
    if tuple(truth) != tuple(found):
        raise UsageError(
            f"the reference has shape {tuple(truth)}, but the segmentation {tuple(found)}"
        )


def _sums(labels: np.ndarray, count: np.ndarray) -> np.ndarray:
    _, where = np.unique(labels, return_inverse=True)
    sums = np.zeros(int(where.max()) + 1 if len(where) else 0, np.int64)
    np.add.at(sums, where, count)
    return sums
