"""Crops of volumes as sequences of patches, and back. Axes are always in the order z, y, x.

Patches may be flat: sections of 35 nm with pixels of 8 nm make patches of 4 x 16 x 16 voxels nearly
cubic (TokenUnify, arXiv:2405.16847).

Shape letters: K patches, V voxels of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod

import numpy as np

from sciar.errors import UsageError

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class PatchGrid:
    """How crops of one shape are cut.

    Attributes:
        crop: voxels of a crop along z, y, x.
        patch: voxels of a patch along z, y, x.
        voxel: size of a voxel along z, y, x, nm.

    Raises:
        UsageError: the crop is no multiple of the patch, or a size is not positive.
    """

    crop: Triple
    patch: Triple
    voxel: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name, sizes in (("crop", self.crop), ("patch", self.patch), ("voxel", self.voxel)):
            if len(sizes) != 3 or not all(isfinite(s) and s > 0 for s in sizes):
                raise UsageError(f"{name} {tuple(sizes)}: three positive sizes (z, y, x) are due")
        if any(c % p for c, p in zip(self.crop, self.patch, strict=True)):
            near = tuple(max(1, c // p) * p for c, p in zip(self.crop, self.patch, strict=True))
            raise UsageError(
                f"a crop of {self.crop} voxels is no multiple of patches of {self.patch} (z, y, x);"
                f" the nearest that fits is {near}"
            )

    @property
    def counts(self) -> Triple:
        """Patches along z, y, x."""
        z, y, x = (c // p for c, p in zip(self.crop, self.patch, strict=True))
        return z, y, x

    def __len__(self) -> int:
        """K."""
        return prod(self.counts)

    @property
    def width(self) -> int:
        """V."""
        return prod(self.patch)

    def cut(self, crop: np.ndarray) -> np.ndarray:
        """Crop -> (K, V) patches of the same type; z slowest, x fastest, for both axes.

        Raises:
            UsageError: the crop has another shape.
        """
        if crop.shape != tuple(self.crop):
            raise UsageError(f"a crop of shape {crop.shape}, where {tuple(self.crop)} is due")
        blocks = crop.reshape(*self._split())
        return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(len(self), self.width)

    def join(self, patches: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`cut`.

        Raises:
            UsageError: there are more or fewer patches or voxels.
        """
        if patches.shape != (len(self), self.width):
            raise UsageError(
                f"patches of shape {patches.shape}, where {(len(self), self.width)} is due"
            )
        blocks = patches.reshape(*self.counts, *self.patch)
        return blocks.transpose(0, 3, 1, 4, 2, 5).reshape(self.crop)

    def centres(self, corner: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """(K, 3) float64 centres of the patches along z, y, x, in nm.

        Args:
            corner: outer corner of the first voxel of the crop, nm.
        """
        size = np.multiply(self.patch, self.voxel)
        index = np.indices(self.counts).reshape(3, -1).T
        return np.asarray(corner, dtype=np.float64) + (index + 0.5) * size

    def _split(self) -> tuple[int, ...]:
        """Shape of a crop with patches and the voxels in them on axes of their own."""
        return tuple(n for pair in zip(self.counts, self.patch, strict=True) for n in pair)
