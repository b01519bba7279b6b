"""Pictures of segmentations: sections of the image, its affinities, and its segments over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Volume(Protocol):
    """What sections can be cut from: an array of NumPy or of a store."""

    def __getitem__(self, block: Any, /) -> Any:
        """A block, given as slices."""
        ...


def colours(labels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 colour of each label; the same for the same label everywhere, 0 is black."""
    keys = labels.astype(np.uint64)
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(31)
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    shifts = np.array([8, 24, 40], np.uint64)
    found = 60 + ((mixed[..., None] >> shifts) & np.uint64(255)).astype(np.float64) * 0.76
    return np.where(labels[..., None] > 0, found, 0).astype(np.uint8)


def section_pictures(
    image: np.ndarray, affinities: np.ndarray, segments: np.ndarray, labels: np.ndarray | None
) -> list[np.ndarray]:
    """(Y, X, 3) uint8 pictures of one section: image, affinities, segments, labels if known.

    Args:
        image: (Y, X) intensities from 0 to 1.
        affinities: (3, Y, X) uint8; z is shown red, y green, x blue.
        segments: (Y, X) labels, shown over the image.
        labels: likewise, of the reference.
    """
    grey = np.repeat((255 * image.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)
    shown = [grey, np.ascontiguousarray(affinities.transpose(1, 2, 0))]
    for found in (segments, labels):
        if found is not None:
            shown.append((0.5 * grey + 0.5 * colours(found)).astype(np.uint8))
    return shown


def write_overlays(
    folder: Path,
    image: Volume,
    span: Any,
    affinities: Volume,
    segments: Volume,
    sections: Sequence[int],
    window: tuple[slice, slice],
    labels: Volume | None = None,
) -> list[Path]:
    """One PNG a section, its pictures side by side.

    Args:
        folder: where they go.
        image: raw voxels.
        span: raw voxels -> intensities from 0 to 1.
        affinities: (3, Z, Y, X).
        segments: (Z, Y, X).
        sections: which.
        window: part of a section that is shown.
        labels: of the reference, if known.
    """
    from matplotlib.image import imsave

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for z in sections:
        # Only the section is read, however large the volume is.
        one = (slice(z, z + 1), *window)
        pictures = section_pictures(
            span(np.asarray(image[one]))[0],
            np.asarray(affinities[(slice(None), *one)])[:, 0],
            np.asarray(segments[one])[0],
            None if labels is None else np.asarray(labels[one])[0],
        )
        gap = np.full((pictures[0].shape[0], 4, 3), 255, np.uint8)
        row = [part for picture in pictures for part in (picture, gap)][:-1]
        path = folder / f"section-{z:05d}.png"
        imsave(path, np.concatenate(row, axis=1))
        paths.append(path)
    return paths
