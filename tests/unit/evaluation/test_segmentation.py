"""Segmentation scores against brute force, closed forms and, if installed, scikit-image."""

from __future__ import annotations

import itertools
from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.contingency import Contingency
from sciar.evaluation.segmentation import (
    adapted_rand_error,
    segmentation_scores,
    variation_of_information,
)

VOLUMES = st.tuples(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 6),
)


def labels(spec: tuple[tuple[int, ...], int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Reference (0 among its labels) and segmentation, with ids far apart and of two types."""
    shape, seed, objects, segments = spec
    rng = np.random.default_rng(seed)
    truth = (rng.integers(0, objects, shape) * 70_001).astype(np.uint32)
    return truth, rng.integers(0, segments, shape).astype(np.uint64) * np.uint64(2**40)


def brute_voi(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Entropies by counting, voxels of label 0 left out."""
    pairs = [(int(t), int(f)) for t, f in zip(truth.flat, found.flat, strict=True) if t]
    joint, n = Counter(pairs), len(pairs)
    rows, columns = Counter(t for t, _ in pairs), Counter(f for _, f in pairs)
    split = -sum(c / n * log2(c / rows[t]) for (t, _), c in joint.items())
    return split, -sum(c / n * log2(c / columns[f]) for (_, f), c in joint.items())


def brute_rand(truth: np.ndarray, found: np.ndarray) -> float | None:
    """Over all pairs of different voxels."""
    voxels = [(int(t), int(f)) for t, f in zip(truth.flat, found.flat, strict=True) if t]
    both = first = second = 0
    for a, b in itertools.combinations(voxels, 2):
        both += a == b
        first += a[0] == b[0]
        second += a[1] == b[1]
    return 1 - 2 * both / (first + second) if first + second else None


@settings(max_examples=40, deadline=None)
@given(spec=VOLUMES)
def test_scores_equal_brute_force(spec: tuple) -> None:
    truth, found = labels(spec)
    table = Contingency.of(truth, found)
    assert table.voxels == (truth > 0).sum() and table.ignored == (truth == 0).sum()
    assert adapted_rand_error(table) == pytest.approx(brute_rand(truth, found), abs=1e-12)
    if table.voxels:
        assert variation_of_information(table) == pytest.approx(brute_voi(truth, found), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(spec=VOLUMES, block=st.tuples(*[st.integers(1, 5)] * 3))
def test_any_blocks_give_the_same_table(spec: tuple, block: tuple[int, ...]) -> None:
    truth, found = labels(spec)
    whole, parts = Contingency.of(truth, found), Contingency.of_volumes(truth, found, block)
    for name in ("truth", "found", "count"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert segmentation_scores(parts) == segmentation_scores(whole)


@settings(max_examples=30, deadline=None)
@given(spec=VOLUMES)
def test_names_of_labels_do_not_matter_and_sides_change_places(spec: tuple) -> None:
    truth, found = (x.astype(np.int64) + 1 for x in labels(spec))
    renamed = Contingency.of(1_000_000 - truth, found * 3)
    there, back = Contingency.of(truth, found), Contingency.of(found, truth)
    assert variation_of_information(renamed) == pytest.approx(variation_of_information(there))
    split, merge = variation_of_information(there)
    assert variation_of_information(back) == pytest.approx((merge, split), abs=1e-12)
    assert adapted_rand_error(back) == pytest.approx(adapted_rand_error(there))
    same = Contingency.of(truth, truth)
    assert variation_of_information(same) == (0.0, 0.0)
    assert adapted_rand_error(same, replacement=True) == 0.0


def test_halved_objects_cost_one_bit_of_splits_and_joined_ones_of_merges() -> None:
    truth = np.repeat([1, 2], 8)
    halved, joined = np.repeat([1, 2, 3, 4], 4), np.full(16, 7)
    assert variation_of_information(Contingency.of(truth, halved)) == (1.0, 0.0)
    assert variation_of_information(Contingency.of(truth, joined)) == (0.0, 1.0)
    table = Contingency.of(truth, halved)
    # with replacement: 1 - 2 (4 * 16) / (2 * 64 + 4 * 16)
    assert adapted_rand_error(table, replacement=True) == pytest.approx(1 - 128 / 192)
    scores = segmentation_scores(table)
    assert (scores["objects"], scores["segments"], scores["voi"]) == (2, 4, 1.0)
    assert scores["cremi"] == pytest.approx((1 - 128 / 192) ** 0.5)


def test_large_objects_do_not_overflow() -> None:
    side = np.array([1, 2])
    table = Contingency(side, side, np.array([10**13, 10**13]))
    assert adapted_rand_error(table) == pytest.approx(0.0, abs=1e-12)


def test_nothing_to_compare_gives_no_score() -> None:
    scores = segmentation_scores(Contingency.of(np.zeros(4, int), np.ones(4, int)))
    assert scores["voxels"] == 0 and scores["ignored"] == 4
    assert scores["voi"] is None and scores["adapted_rand"] is None and scores["cremi"] is None
    assert Contingency.merged([]).voxels == 0
    alone = Contingency.of(np.arange(1, 5), np.arange(4))
    assert adapted_rand_error(alone) is None


def test_bad_labels_are_refused() -> None:
    signed = Contingency.of(np.ones(2, np.int64), np.ones(2, np.int64))
    with pytest.raises(UsageError, match="uint64 and int64"):
        Contingency.of(np.ones(2, np.uint64), np.ones(2, np.int64)) + signed
    ones = np.ones((2, 3), int)
    with pytest.raises(UsageError, match=r"shape \(2, 3\), but the segmentation \(3, 2\)"):
        Contingency.of(ones, ones.T)
    with pytest.raises(UsageError, match="segmentation are float64"):
        Contingency.of(ones, ones.astype(float))
    with pytest.raises(UsageError, match=r"block \(2,\)"):
        Contingency.of_volumes(ones, ones, [2])
    with pytest.raises(UsageError, match=r"block \(2, 0\)"):
        Contingency.of_volumes(ones, ones, [2, 0])


@settings(max_examples=20, deadline=None)
@given(spec=VOLUMES)
def test_scores_equal_scikit_image(spec: tuple) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    truth, found = (np.unique(x, return_inverse=True)[1].reshape(x.shape) for x in labels(spec))
    truth = truth + 1
    table = Contingency.of(truth, found)
    expected = metrics.variation_of_information(truth, found)
    assert variation_of_information(table) == pytest.approx(tuple(expected), abs=1e-9)
    if adapted_rand_error(table) is not None:
        theirs = metrics.adapted_rand_error(truth, found)[0]
        assert adapted_rand_error(table) == pytest.approx(theirs, abs=1e-12)
