"""Artificial tissue: drifting tubes with dark membranes between them, and noise.

Each section is a Voronoi diagram of points that wander from section to section. It looks like
neurites cut across, has exact labels, and needs no data (spec of TokenUnify, acceptance test 8).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from sciar.datasets.volumes import Volume, Voxel


def tubes(
    shape: tuple[int, int, int],
    seed: int = 0,
    spacing: float = 16.0,
    drift: float = 0.7,
    membrane: float = 1.6,
    noise: float = 0.08,
    first: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Raw voxels (uint8) and labels (uint32, from 1) of a block; both hang on the seed alone.

    Args:
        shape: voxels along z, y, x.
        seed: of everything.
        spacing: mean distance of the axes of the tubes, voxels.
        drift: standard deviation of the step of an axis from one section to the next, voxels.
        membrane: half the thickness of a membrane, voxels.
        noise: standard deviation of the noise, as a share of the range of intensities.
        first: number of the first section; sections before it are passed over, so that parts of a
            long volume can be made one by one.
    """
    rng = np.random.default_rng((seed, 0))
    height, width = shape[1:]
    # Points beyond the edges too, so that tubes come in and go out.
    border = 2 * spacing
    count = max(2, round((height + 2 * border) * (width + 2 * border) / spacing**2))
    points = rng.uniform((-border, -border), (height + border, width + border), (count, 2))
    grey = rng.uniform(0.6, 0.85, count)
    pixels = np.indices((height, width)).reshape(2, -1).T.astype(np.float64)
    raw, labels = np.empty(shape, np.uint8), np.empty(shape, np.uint32)
    speed = np.zeros_like(points)
    for z in range(first + shape[0]):
        # Steps are correlated, so that tubes lean instead of trembling.
        speed = 0.8 * speed + 0.6 * rng.normal(0.0, drift, points.shape)
        points = points + speed
        if z < first:
            continue
        distance, owner = cKDTree(points).query(pixels, k=2)
        # Half the difference of the two distances is about that to the membrane.
        wall = 0.5 * (distance[:, 1] - distance[:, 0])
        shade = grey[owner[:, 0]] * (1 - 0.75 * np.exp(-0.5 * (wall / membrane) ** 2))
        section = np.random.default_rng((seed, 1 + z)).normal(0.0, noise, (height, width))
        section = ndimage.gaussian_filter(section, 0.6) * 1.6 + shade.reshape(height, width)
        raw[z - first] = (255 * section.clip(0, 1)).astype(np.uint8)
        labels[z - first] = owner[:, 0].reshape(height, width) + 1
    return raw, labels


SHAPE = (32, 96, 96)
VOXEL: Voxel = (10.0, 10.0, 10.0)


def tube_volumes(seed: int) -> tuple[Volume, Volume]:
    """The volume of a seed that trials use: raw, and labels."""
    raw, labels = tubes(SHAPE, seed)
    name = f"tubes:{seed}"
    return Volume(raw, VOXEL, name), Volume(labels, VOXEL, f"{name} labels")
