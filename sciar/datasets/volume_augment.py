"""What happens to sections of tissue under a microscope, imitated on crops that are trained on.

All of it hangs on one generator. Labels go where their voxels go, by the nearest neighbour; they
stay where a section is missing, because the objects go on through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sciar.errors import UsageError

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class VolumeAugmentation:
    """How much, and how often. Numbers are shares of the crops unless they say otherwise.

    Attributes:
        flips: along every axis, and y with x where the crop and its voxels are square.
        contrast: largest change of contrast and of brightness, and of the exponent of gamma.
        section: standard deviation of the brightness of single sections.
        missing: crops with one to three black sections.
        misaligned: crops in which sections are shifted: one, or all from one on.
        shift: largest of these shifts, voxels.
        elastic: crops that are warped within sections, alike in neighbouring ones.
        warp: standard deviation of that warp, voxels.
        blurred: crops with a section out of focus.
        noise: largest standard deviation of noise.
    """

    flips: bool = True
    contrast: float = 0.2
    section: float = 0.02
    missing: float = 0.05
    misaligned: float = 0.1
    shift: int = 4
    elastic: float = 0.2
    warp: float = 1.5
    blurred: float = 0.1
    noise: float = 0.03

    def __post_init__(self) -> None:
        shares = (self.missing, self.misaligned, self.elastic, self.blurred)
        if not all(0 <= s <= 1 for s in shares):
            raise UsageError(f"shares of augmented crops lie between 0 and 1: {self}")
        if min(self.contrast, self.section, self.shift, self.warp, self.noise) < 0:
            raise UsageError(f"sizes of augmentations are not below zero: {self}")

    @property
    def margin(self) -> int:
        """Voxels along y and x around a crop from which sections may be moved in."""
        return max(self.shift if self.misaligned else 0, round(3 * self.warp * (self.elastic > 0)))

    def geometry(
        self,
        raw: np.ndarray,
        labels: np.ndarray | None,
        square: bool,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A block with its margin along y and x -> the crop, moved and flipped.

        Args:
            raw: (Z, Y + 2 margin, X + 2 margin).
            labels: likewise, or ``None``.
            square: y may become x.
            rng: one of the sample.
        """
        shifts = self._shifts(raw.shape[0], rng)
        field = self._field(raw.shape, rng)
        size = tuple(n - 2 * self.margin for n in raw.shape[1:])
        moved = [_moved(raw, shifts, field, size, self.margin, order=1)]
        if labels is not None:
            moved.append(_moved(labels, shifts, field, size, self.margin, order=0))
        if self.flips:
            turned = tuple(a for a in range(3) if rng.random() < 0.5)
            swap = bool(rng.random() < 0.5) and square
            moved = [np.flip(m, turned) for m in moved]
            moved = [m.transpose(0, 2, 1) if swap else m for m in moved]
        out = [np.ascontiguousarray(m) for m in moved]
        return out[0], out[1] if labels is not None else None

    def intensity(self, raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(Z, Y, X) float32 intensities in [0, 1] -> the same with other contrast and faults."""
        contrast, brightness, gamma = 1 + self.contrast * rng.uniform(-1, 1, 3)
        out = (raw - 0.5) * contrast + 0.5 * brightness
        out = np.clip(out, 0, 1) ** gamma
        out = out + rng.normal(0, self.section, (len(raw), 1, 1))
        if rng.random() < self.blurred:
            z = rng.integers(len(raw))
            out[z] = ndimage.gaussian_filter(out[z], rng.uniform(0.5, 2.0))
        out = out + rng.normal(0, self.noise * rng.random(), raw.shape)
        if rng.random() < self.missing:
            first = rng.integers(len(raw))
            out[first : first + rng.integers(1, 4)] = 0.0
        return np.clip(out, 0, 1).astype(np.float32)

    def _shifts(self, sections: int, rng: np.random.Generator) -> np.ndarray:
        """(Z, 2) whole voxels along y and x."""
        shifts = np.zeros((sections, 2), dtype=np.int64)
        if rng.random() < self.misaligned and sections > 1:
            by = rng.integers(-self.shift, self.shift + 1, 2)
            first = rng.integers(1, sections)
            end = sections if rng.random() < 0.5 else first + 1
            shifts[first:end] = by
        return shifts

    def _field(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
        """(2, Z, Y, X) displacements along y and x in voxels, or ``None``."""
        if rng.random() >= self.elastic:
            return None
        coarse = [max(2, n // step + 1) for n, step in zip(shape, (8, 16, 16), strict=True)]
        knots = rng.normal(0, self.warp, (2, *coarse))
        zoom = [1.0, *(n / c for n, c in zip(shape, coarse, strict=True))]
        return ndimage.zoom(knots, zoom, order=1, mode="nearest", grid_mode=True)


def _moved(
    block: np.ndarray,
    shifts: np.ndarray,
    field: np.ndarray | None,
    size: tuple[int, ...],
    margin: int,
    order: int,
) -> np.ndarray:
    """The middle of a block after its sections were shifted and warped."""
    out = np.empty((len(block), *size), block.dtype)
    grid = np.indices(size).astype(np.float64) + margin
    for z, section in enumerate(block):
        dy, dx = shifts[z].tolist()
        if field is None:
            y, x = margin + dy, margin + dx
            out[z] = section[y : y + size[0], x : x + size[1]]
            continue
        inner = field[:, z, margin : margin + size[0], margin : margin + size[1]]
        where = grid + inner + shifts[z][:, None, None]
        if order == 0:
            # Rounded here: interpolation of labels in floating point would lose large ids.
            y, x = (np.rint(w).astype(np.int64) for w in where)
            out[z] = section[y.clip(0, section.shape[0] - 1), x.clip(0, section.shape[1] - 1)]
        else:
            out[z] = ndimage.map_coordinates(section, where, order=order, mode="nearest")
    return out


NOTHING = VolumeAugmentation(
    False, contrast=0, section=0, missing=0, misaligned=0, elastic=0, blurred=0, noise=0
)
"""Crops as they are."""
