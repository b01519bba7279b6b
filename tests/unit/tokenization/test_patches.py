"""Patches of crops: nothing is lost, and everything is where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.tokenization.patches import PatchGrid

TRIPLES = st.tuples(*[st.integers(1, 4)] * 3)
VOXELS = st.tuples(*[st.floats(0.5, 100)] * 3)


@st.composite
def grids(draw: st.DrawFn) -> PatchGrid:
    counts, patch = draw(TRIPLES), draw(TRIPLES)
    crop = tuple(c * p for c, p in zip(counts, patch, strict=True))
    return PatchGrid(crop, patch, draw(VOXELS))


@settings(max_examples=40, deadline=None)
@given(grid=grids())
def test_joining_undoes_cutting(grid: PatchGrid) -> None:
    crop = np.random.default_rng(0).integers(0, 256, grid.crop).astype(np.uint8)
    patches = grid.cut(crop)
    assert patches.shape == (len(grid), grid.width) and patches.dtype == crop.dtype
    np.testing.assert_array_equal(grid.join(patches), crop)


@settings(max_examples=40, deadline=None)
@given(grid=grids(), corner=st.tuples(*[st.floats(-1e4, 1e4)] * 3))
def test_patches_stand_in_raster_order_at_their_centres(
    grid: PatchGrid, corner: tuple[float, float, float]
) -> None:
    """Every voxel knows where it is; the mean over a patch is its centre."""
    (nz, ny, nx), (pz, py, px) = grid.counts, grid.patch
    where = np.indices(grid.crop) + 0.5
    axes = [corner[i] + where[i] * grid.voxel[i] for i in range(3)]
    means = np.stack([grid.cut(axis).mean(1) for axis in axes], 1)
    np.testing.assert_allclose(grid.centres(corner), means, rtol=1e-9, atol=1e-7)
    number = np.arange(np.prod(grid.crop)).reshape(grid.crop)
    patches = grid.cut(number)
    for k in range(len(grid)):
        iz, iy, ix = k // (ny * nx), k // nx % ny, k % nx
        own = number[iz * pz : (iz + 1) * pz, iy * py : (iy + 1) * py, ix * px : (ix + 1) * px]
        np.testing.assert_array_equal(patches[k], own.ravel())
    assert nz * ny * nx == len(grid)


def test_the_published_crop_has_400_patches_that_are_nearly_cubic() -> None:
    grid = PatchGrid((16, 160, 160), (4, 16, 16), (35.0, 8.0, 8.0))
    assert (len(grid), grid.width, grid.counts) == (400, 1024, (4, 10, 10))
    first, second = grid.centres()[:2]
    assert first.tolist() == [70.0, 64.0, 64.0] and second.tolist() == [70.0, 64.0, 192.0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no multiple .* fits is \(16, 160, 160\)"):
        PatchGrid((18, 160, 170), (4, 16, 16), (35.0, 8.0, 8.0))
    with pytest.raises(UsageError, match="voxel"):
        PatchGrid((4, 4, 4), (2, 2, 2), (35.0, 0.0, 8.0))
    with pytest.raises(UsageError, match="voxel"):
        PatchGrid((4, 4, 4), (2, 2, 2), (35.0, float("nan"), 8.0))
    with pytest.raises(UsageError, match="patch"):
        PatchGrid((4, 4, 4), (2, 2), (35.0, 8.0, 8.0))  # type: ignore[arg-type]
    grid = PatchGrid((4, 4, 4), (2, 2, 2), (1.0, 1.0, 1.0))
    with pytest.raises(UsageError, match=r"shape \(4, 4\)"):
        grid.cut(np.zeros((4, 4)))
    with pytest.raises(UsageError, match=r"\(8, 7\), where \(8, 8\)"):
        grid.join(np.zeros((8, 7)))
