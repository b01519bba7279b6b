"""Windows that a network sees, on one lattice for the whole volume, and how they are blended.

Where a window lies hangs on the volume and the window alone, so a voxel has the same windows
whatever block it is computed in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sciar.errors import UsageError

Triple = tuple[int, int, int]
Block = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Windows:
    """The lattice of windows over a volume.

    Attributes:
        shape: voxels of the volume.
        size: voxels of a window.
        step: from one window to the next; the last one along an axis is moved back to the end of
            the volume.

    Raises:
        UsageError: a step that is not positive, or leaves gaps.
    """

    shape: Triple
    size: Triple
    step: Triple

    def __post_init__(self) -> None:
        if any(not 0 < s <= n for s, n in zip(self.step, self.size, strict=True)):
            raise UsageError(f"steps {self.step} of windows of {self.size} leave gaps, or are none")

    def starts(self, axis: int) -> list[int]:
        """First voxels of the windows along an axis; a volume smaller than a window has one."""
        last = self.shape[axis] - self.size[axis]
        if last <= 0:
            return [0]
        return [*range(0, last, self.step[axis]), last]

    def overlapping(self, block: Block) -> Iterator[Triple]:
        """First voxels of all windows that overlap a block, in order."""
        axes = [
            [s for s in self.starts(a) if s < b.stop and s + self.size[a] > b.start]
            for a, b in enumerate(block)
        ]
        yield from itertools.product(axes[0], axes[1], axes[2])

    def weights(self) -> np.ndarray:
        """(window) float32 weights of the voxels of a window: highest in the middle, never zero."""
        profiles = []
        for n in self.size:
            place = (np.arange(n) + 0.5) / n * 2 - 1
            profiles.append(np.exp(-0.5 * (place / 0.5) ** 2))
        z, y, x = profiles
        return (z[:, None, None] * y[:, None] * x).astype(np.float32)

    def blend(
        self,
        block: Block,
        read: Callable[[Block], np.ndarray],
        predict: Callable[[np.ndarray], np.ndarray],
        channels: int,
    ) -> np.ndarray:
        """(C, block) float32 weighted mean of the predictions of all windows over a block.

        Windows are predicted one by one and added in one order, so the sums are the same bits in
        whichever block, process or order of blocks.

        Args:
            block: which voxels.
            read: block inside the volume -> float32 voxels.
            predict: (window) voxels -> (C, window) float32.
            channels: C.
        """
        shape = tuple(b.stop - b.start for b in block)
        total = np.zeros((channels, *shape), np.float32)
        weight = np.zeros(shape, np.float32)
        own = self.weights()
        for start in self.overlapping(block):
            found = predict(self._window(start, read))
            inside, target = [], []
            for s, n, b in zip(start, self.size, block, strict=True):
                low, high = max(s, b.start), min(s + n, b.stop)
                inside.append(slice(low - s, high - s))
                target.append(slice(low - b.start, high - b.start))
            part = own[tuple(inside)]
            total[:, *target] += part * found[:, *inside]
            weight[tuple(target)] += part
        return total / weight

    def _window(self, start: Sequence[int], read: Callable[[Block], np.ndarray]) -> np.ndarray:
        """The voxels of a window; beyond the volume its mirror image."""
        ends = [min(s + n, v) for s, n, v in zip(start, self.size, self.shape, strict=True)]
        z, y, x = (slice(s, e) for s, e in zip(start, ends, strict=True))
        found = read((z, y, x))
        lacking = [(0, n - have) for n, have in zip(self.size, found.shape, strict=True)]
        if not any(after for _, after in lacking):
            return found
        return np.pad(found, lacking, mode="symmetric")
