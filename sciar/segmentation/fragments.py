"""Watershed fragments: small pieces that objects are put together from.

Seeds are the maxima of the distance to the nearest boundary; from them the boundary map is flooded
(scikit-image, which ``sciar[volumes]`` brings). In anisotropic volumes each section is cut by
itself, as is usual for serial sections, because axons jump from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from scipy import ndimage

from sciar.errors import UsageError

LEVELS = 255
"""Affinities are stored in bytes; this is one. Zero says that nothing was predicted."""


def to_bytes(affinities: np.ndarray) -> np.ndarray:
    """Affinities between 0 and 1 -> uint8 from 1 to 255."""
    return (1 + np.rint((LEVELS - 1) * affinities.clip(0, 1))).astype(np.uint8)


@dataclass(frozen=True)
class Watershed:
    """How fragments are cut.

    Attributes:
        flat: section by section.
        boundary: mean affinity, as a share, below which a voxel is boundary.
        smooth: standard deviation of the smoothing of the distance before its maxima are taken,
            voxels; larger gives fewer fragments.
    """

    flat: bool = False
    boundary: float = 0.5
    smooth: float = 1.0

    def __call__(self, affinities: np.ndarray) -> np.ndarray:
        """(3, Z, Y, X) uint8 affinities to the neighbours before -> (Z, Y, X) int64 fragments.

        Fragments count from 1; voxels without any affinity (nothing was predicted) are 0.
        """
        if not self.flat:
            return self._cut(affinities.mean(0, dtype=np.float32), affinities)
        mean = affinities[1:].mean(0, dtype=np.float32)
        out, used = np.zeros(mean.shape, np.int64), 0
        for z in range(len(mean)):
            found = self._cut(mean[z], affinities[1:, z])
            out[z] = np.where(found > 0, found + used, 0)
            used += int(found.max(initial=0))
        return out

    def _cut(self, mean: np.ndarray, affinities: np.ndarray) -> np.ndarray:
        known = affinities.any(0)
        inside = mean > self.boundary * LEVELS
        if not inside.any():
            # All boundary: one fragment, so that no voxel that was predicted is without.
            return np.asarray(known, np.int64)
        # A border around the block is no boundary: objects go on there.
        distance = ndimage.distance_transform_edt(inside).astype(np.float32)
        if self.smooth:
            distance = ndimage.gaussian_filter(distance, self.smooth, mode="nearest")
        peaks = (ndimage.maximum_filter(distance, 3, mode="nearest") == distance) & inside
        if not peaks.any():
            peaks = inside
        full = np.ones((3,) * mean.ndim, bool)
        seeds, _ = ndimage.label(peaks, full)
        height = (LEVELS - mean).clip(0, LEVELS).astype(np.uint8)
        found = _watershed()(height, seeds.astype(np.int32))
        return np.where(known, found, 0).astype(np.int64)


def _watershed() -> Callable[..., np.ndarray]:
    try:
        # SciPy's own floods plateaus, such as membranes, from whichever seed comes first.
        found: Callable[..., np.ndarray] = import_module("skimage.segmentation").watershed
    except ImportError as error:
        raise UsageError(
            'fragments are cut by scikit-image: pip install "sciar[volumes]"'
        ) from error
    return found
