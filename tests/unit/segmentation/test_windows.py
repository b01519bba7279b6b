"""Windows and fragments: nothing hangs on how the volume is cut, objects come out whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.datasets.tubes import tubes
from sciar.errors import UsageError
from sciar.segmentation.fragments import Watershed, to_bytes
from sciar.segmentation.windows import Windows

SHAPES = st.tuples(st.integers(1, 9), st.integers(3, 14), st.integers(3, 14))


@settings(max_examples=25)
@given(shape=SHAPES, cut=st.tuples(*[st.integers(1, 8)] * 3), seed=st.integers(0, 99))
def test_blocks_give_the_bits_of_the_whole(shape: Any, cut: Any, seed: int) -> None:
    volume = np.random.default_rng(seed).random(shape).astype(np.float32)
    windows = Windows(shape, (4, 6, 6), (2, 4, 3))

    def predict(window: np.ndarray) -> np.ndarray:
        # Like a network with a norm, it hangs on the whole window.
        return np.stack([window - window.mean(), window * 2])

    def blended(block: Any) -> np.ndarray:
        return windows.blend(block, lambda b: volume[b], predict, 2)

    whole = blended(tuple(slice(0, n) for n in shape))
    assert whole.shape == (2, *shape)
    np.testing.assert_allclose(whole[1], 2 * volume, rtol=1e-5)
    for corner in np.ndindex(*(-(-n // c) for n, c in zip(shape, cut, strict=True))):
        block = tuple(
            slice(i * c, min(n, (i + 1) * c)) for i, c, n in zip(corner, cut, shape, strict=True)
        )
        np.testing.assert_array_equal(blended(block), whole[:, *block])


def test_windows_end_with_the_volume() -> None:
    windows = Windows((10, 16, 5), (4, 8, 8), (3, 8, 4))
    assert [windows.starts(a) for a in range(3)] == [[0, 3, 6], [0, 8], [0]]
    block = (slice(4, 5), slice(0, 16), slice(0, 5))
    assert list(windows.overlapping(block)) == [(3, 0, 0), (3, 8, 0)]
    weights = windows.weights()
    assert weights.min() > 0 and np.unravel_index(weights.argmax(), weights.shape) == (1, 3, 3)
    for step in ((0, 1, 1), (5, 1, 1)):
        with pytest.raises(UsageError, match="gaps"):
            Windows((10, 16, 5), (4, 8, 8), step)


def perfect(labels: np.ndarray) -> np.ndarray:
    """Affinities of labels whose borders were widened, as networks are taught them."""
    thin = np.zeros(labels.shape, bool)
    for axis in (1, 2):
        for by in (-1, 1):
            thin |= np.roll(labels, by, axis) != labels
    labels = np.where(thin, 0, labels)
    found = np.zeros((3, *labels.shape), np.float64)
    for axis in range(3):
        here, before = [slice(None)] * 3, [slice(None)] * 3
        here[axis], before[axis] = slice(1, None), slice(None, -1)
        found[(axis, *here)] = (labels[tuple(here)] == labels[tuple(before)]) & (
            labels[tuple(here)] > 0
        )
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        found[(axis, *first)] = labels[tuple(first)] > 0
    return to_bytes(found)


@pytest.mark.parametrize("flat", [False, True])
def test_fragments_stay_within_objects(flat: bool) -> None:
    pytest.importorskip("skimage")
    _, labels = tubes((6, 40, 40), seed=2, spacing=14)
    found = Watershed(flat=flat)(perfect(labels))
    assert found.min() > 0 and len(np.unique(found)) == found.max()
    # Voxels of a membrane may go to either side.
    sizes = np.array([np.bincount(labels[found == f]).max() for f in range(1, found.max() + 1)])
    assert sizes.sum() > 0.9 * labels.size
    assert len(np.unique(labels)) < found.max() < 12 * len(np.unique(labels))
    if flat:
        assert all(len(np.unique(np.argwhere(found == f)[:, 0])) == 1 for f in (1, found.max()))


def test_where_nothing_was_predicted_there_is_no_fragment() -> None:
    pytest.importorskip("skimage")
    affinities = np.full((3, 4, 6, 6), 200, np.uint8)
    affinities[:, :, :, 3:] = 0
    for flat in (False, True):
        found = Watershed(flat=flat)(affinities)
        assert (found[..., :3] > 0).all() and not found[..., 3:].any()
    assert not Watershed()(np.zeros((3, 2, 2, 2), np.uint8)).any()
    # All boundary, yet predicted.
    assert Watershed()(np.full((3, 2, 2, 2), 9, np.uint8)).tolist() == np.ones((2, 2, 2)).tolist()
