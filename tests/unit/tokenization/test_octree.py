"""Octrees: golden examples of the specification, and properties against a brute-force reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.tokenization import octree
from sciar.tokenization.octree_grid import PRESETS, OctreeGrid, place, preset
from sciar.tokenization.octree_lengths import mean_lengths, octree_lengths

WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])

seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, most: int = 40, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """1 to ``most`` labelled points, some of them close together and some coinciding."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    points = rng.normal(0, spread, (n, 3))
    near = rng.random(n) < 0.2
    points[near] = points[0] + rng.choice([0.0, 0.03, -0.05], (int(near.sum()), 3))
    return points, rng.integers(0, 4, n)


def brute_force(cells: set[tuple[int, int, int]], depth: int) -> list[tuple[int, int, int, int]]:
    """(level, mask, ...) of every inner node by a queue, in the words of the specification."""
    found = []
    queue = [(depth, (0, 0, 0))]
    while queue:
        level, (x, y, z) = queue.pop(0)
        if level == 0:
            continue
        half, mask = 1 << (level - 1), 0
        for b in range(8):
            corner = (x + half * (b & 1), y + half * (b >> 1 & 1), z + half * (b >> 2))
            if any(
                all(lo <= c < lo + half for c, lo in zip(cell, corner, strict=True))
                for cell in cells
            ):
                mask |= 1 << b
                queue.append((level - 1, corner))
        found.append((level, mask, *(v >> level for v in (x, y, z))))
    return found


def test_toy_example_of_the_specification() -> None:
    tree = octree.build(octree.morton(np.array([[2, 2, 3], [1, 2, 0]])), 2)
    assert tree.masks.tolist() == [132, 2, 16]
    assert octree.unmorton(tree.leaves).tolist() == [[1, 2, 0], [2, 2, 3]]
    centres = octree.centres(tree.codes, tree.levels, 0.24)
    np.testing.assert_allclose(centres[:2], [[0.48, 0.48, 0.48], [0.24, 0.72, 0.24]])
    np.testing.assert_allclose(octree.centres(tree.leaves, 0, 0.24)[0], [0.36, 0.60, 0.12])


def test_water_example_of_the_specification() -> None:
    encoded = octree.encode(WATER, ["O", "H", "H"], preset("qm9"))
    masks = [224, 4, 2, 1, 4, 2, 1, 4, 2, 1, 4, 1, 2, 1, 8, 8]
    assert encoded.tree.masks.tolist() == masks
    assert encoded.tree.per_level().tolist() == [1, 3, 3, 3, 3, 3, 3]
    origins = octree.unmorton(encoded.tree.codes) << encoded.tree.levels[:, None]
    assert origins[-3:].tolist() == [[32, 30, 32], [28, 32, 32], [34, 32, 32]]
    assert encoded.labels.tolist() == ["O", "H", "H"]
    assert octree.unmorton(encoded.tree.leaves).tolist() == [
        [32, 30, 32],
        [29, 33, 32],
        [35, 33, 32],
    ]
    assert encoded.bins.tolist() == [[12, 21, 12], [8, 8, 12], [16, 8, 12]]
    bonds = np.linalg.norm(encoded.positions()[1:] - encoded.positions()[0], axis=1)
    np.testing.assert_allclose(bonds, 0.962, atol=5e-4)
    lengths = octree_lengths(encoded)
    assert (lengths.grid, lengths.octree, lengths.compressed) == (262_144, 131, 19)
    assert (lengths.masked, lengths.single) == (40, 20)


def test_presets_are_those_of_the_specification() -> None:
    expected = {
        "qm9": (6, 64, 15.36, 24),
        "drug": (7, 128, 30.72, 24),
        "mp20": (8, 256, 61.44, 24),
        "molecule": (8, 256, 61.44, 24),
        "protein": (10, 1024, 491.52, 48),
    }
    found = {n: (g.levels, g.cells, round(g.box, 9), g.bins) for n, g in PRESETS.items()}
    assert found == expected
    with pytest.raises(UsageError, match="known: qm9, drug"):
        preset("qm10")


@given(
    seeds, st.sampled_from(sorted(PRESETS)), st.booleans(), st.sampled_from(["centre", "corner"])
)
def test_decoding_inverts_encoding_within_half_a_step(
    seed: int, name: str, augment: bool, anchor: str
) -> None:
    points, labels = cloud(seed, spread=0.8)
    base = preset(name)
    grid = OctreeGrid(base.levels, base.edge, base.step, base.rotation, anchor)
    rng = np.random.default_rng(seed) if augment else None
    encoded = octree.encode(points, labels, grid, rng)
    np.testing.assert_array_equal(encoded.labels, labels[encoded.order])
    inside = (points[encoded.order] - encoded.placement.origin) @ encoded.placement.rotation.T
    assert np.abs(encoded.positions() - inside).max() <= grid.step / 2 + 1e-9
    if not augment:
        assert np.abs(encoded.restored() - points[encoded.order]).max() <= grid.step / 2 + 1e-9
    assert sorted(encoded.order) == list(range(len(points))), "a point was lost"
    assert encoded.counts.sum() == len(points)
    assert ((encoded.bins >= 0) & (encoded.bins < grid.bins)).all()


@given(seeds)
def test_the_tree_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 5))
    cells = rng.integers(0, 1 << depth, (int(rng.integers(1, 30)), 3))
    tree = octree.build(octree.morton(cells), depth)
    reference = brute_force({tuple(c) for c in cells.tolist()}, depth)
    nodes = octree.unmorton(tree.codes)
    found = zip(tree.levels.tolist(), tree.masks.tolist(), *nodes.T.tolist(), strict=True)
    assert list(found) == reference
    assert (np.diff(tree.leaves) > 0).all(), "the leaves are not in Morton order"
    again = octree.from_masks(tree.masks, depth)
    for name in ("codes", "levels", "masks", "leaves"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
    # Every node but the root is somebody's child.
    bits = sum(int(m).bit_count() for m in tree.masks)
    assert bits == len(tree.masks) - 1 + len(tree.leaves)
    assert tree.per_level().sum() == bits + 1


@given(seeds)
def test_morton_codes_interleave_bits(seed: int) -> None:
    cells = np.random.default_rng(seed).integers(0, 1024, (20, 3))
    slow = [
        sum(((int(v) >> i) & 1) << (3 * i + axis) for axis, v in enumerate(cell) for i in range(10))
        for cell in cells
    ]
    assert octree.morton(cells).tolist() == slow
    np.testing.assert_array_equal(octree.unmorton(octree.morton(cells)), cells)
    with pytest.raises(UsageError, match="0 to 1023"):
        octree.morton(np.array([[0, 1024, 0]]))


@given(seeds)
def test_the_order_of_the_points_does_not_matter(seed: int) -> None:
    points, labels = cloud(seed)
    shuffled = np.random.default_rng(seed).permutation(len(points))
    first = octree.encode(points, labels, preset("drug"))
    second = octree.encode(points[shuffled], labels[shuffled], preset("drug"))
    np.testing.assert_array_equal(first.tree.masks, second.tree.masks)
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_array_equal(first.bins, second.bins)
    np.testing.assert_array_equal(first.labels, second.labels)


@given(seeds)
def test_an_augmented_placing_is_a_rigid_motion_fixed_by_its_generator(seed: int) -> None:
    points, _ = cloud(seed, spread=0.8)
    placed = place(points, preset("qm9"), np.random.default_rng(seed))
    np.testing.assert_allclose(placed.rotation @ placed.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(placed.rotation) > 0
    again = place(points, preset("qm9"), np.random.default_rng(seed))
    np.testing.assert_array_equal(placed.cells, again.cells)
    # Half a step an axis, in a turned frame.
    assert np.abs(placed.restored() - points).max() <= 3**0.5 * 0.005 + 1e-9


def test_rotations_are_uniform() -> None:
    from sciar.tokenization.octree_grid import random_rotation

    rng = np.random.default_rng(0)
    turned = np.array([random_rotation(rng)[:, 0] for _ in range(4000)])
    assert np.abs(turned.mean(0)).max() < 0.04
    np.testing.assert_allclose((turned**2).mean(0), 1 / 3, atol=0.02)


def test_points_that_share_a_cell_are_all_kept() -> None:
    points = np.array([[0.0, 0, 0], [0.02, 0, 0], [0.02, 0, 0], [2.0, 0, 0]])
    encoded = octree.encode(points, [5, 1, 1, 2], preset("qm9"))
    assert encoded.counts.tolist() == [3, 1]
    assert encoded.labels.tolist() == [5, 1, 1, 2]
    np.testing.assert_allclose(encoded.restored(), points[encoded.order], atol=0.005 + 1e-9)
    lengths = octree_lengths(encoded)
    assert lengths.compressed == len(encoded.tree.masks) + 4 + 2


def test_one_point_is_a_chain() -> None:
    encoded = octree.encode(np.array([[7.0, -3.0, 100.0]]), ["C"], preset("protein"))
    assert encoded.tree.per_level().tolist() == [1] * 11
    np.testing.assert_allclose(encoded.restored(), [[7.0, -3.0, 100.0]], atol=0.005 + 1e-9)


def test_the_corner_costs_fewer_nodes_than_the_centre() -> None:
    grid = preset("qm9")
    corner = OctreeGrid(grid.levels, grid.edge, anchor="corner")
    rng = np.random.default_rng(1)
    clouds = [rng.normal(0, 1.2, (18, 3)) for _ in range(20)]
    many = {g.anchor: [octree.encode(c, [0] * 18, g) for c in clouds] for g in (grid, corner)}
    lengths = {name: mean_lengths(encoded)["compressed"] for name, encoded in many.items()}
    assert lengths["corner"] < 0.95 * lengths["centre"]
    assert mean_lengths([]) == {}


def test_points_outside_the_grid_are_refused_with_the_limit_or_grow_it() -> None:
    far = np.array([[0.0, 0, 0], [20.0, 0, 0]])
    with pytest.raises(RecordError, match=r"span 20 .*holds 15\.36; use 7 levels") as caught:
        octree.encode(far, [0, 1], preset("qm9"))
    assert caught.value.field == "positions"
    grown = octree.encode(far, [0, 1], preset("qm9"), grow=True)
    assert grown.placement.grid.levels == 7
    np.testing.assert_allclose(grown.restored(), far, atol=0.005 + 1e-9)
    with pytest.raises(RecordError, match=r"holds more than 245\.76"):
        octree.encode(far * 1e9, [0, 1], preset("qm9"), grow=True)


@given(st.floats(0, 15.6))
def test_a_span_near_the_limit_fits_or_grows(span: float) -> None:
    ends = np.array([[0.0, 0, 0], [span, 0, 0]])
    encoded = octree.encode(ends, [0, 1], preset("qm9"), grow=True)
    cells = octree.unmorton(encoded.tree.leaves)
    assert cells.max() < encoded.placement.grid.cells
    assert encoded.placement.grid.levels == 6 + (np.ptp(cells[:, 0]) >= 64)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.zeros((0, 3)), [], "no points"),
        (np.array([[0.0, 0, 0], [0, np.nan, 0]]), [0, 0], "point 1 .*not finite"),
        (np.zeros((2, 2)), [0, 0], r"shape \(2, 2\)"),
        (np.zeros((2, 3)), [0], r"2 points but labels of shape \(1,\)"),
    ],
)
def test_bad_points_are_named(points: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        octree.encode(points, labels, preset("qm9"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 11, "edge": 0.24}, "1 to 10"),
        ({"levels": 6, "edge": 0.245}, "whole number of steps"),
        ({"levels": 6, "edge": -1.0}, "above zero"),
        ({"levels": 6, "edge": 0.24, "rotation": 2.0}, "probability"),
        ({"levels": 6, "edge": 0.24, "anchor": "left"}, "anchor 'left'"),
    ],
)
def test_impossible_grids_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OctreeGrid(**options)


def test_masks_that_are_no_tree_are_refused() -> None:
    grid = OctreeGrid(2, 0.24)
    for masks, message in (
        ([0], "between 1 and 255"),
        ([3, 1], "2 nodes but 1 masks"),
        ([1, 1, 1], "1 masks are left over"),
    ):
        with pytest.raises(UsageError, match=message):
            octree.from_masks(np.array(masks), 2)
    with pytest.raises(UsageError, match="do not fit an octree of 1 leaves"):
        octree.decode(np.array([1, 1]), np.array([1, 1]), np.zeros((2, 3)), grid)
    with pytest.raises(UsageError, match="outside a grid of 1 levels"):
        octree.build(np.array([8]), 1)
    with pytest.raises(UsageError, match="at least one"):
        octree.build(np.array([], dtype=int), 1)


@pytest.mark.shared
def test_node_totals_of_generated_molecules_are_those_of_the_specification(
    shared_data: Path,
) -> None:
    with np.load(shared_data / "molecules" / "gschnet_samples" / "gschnet_samples.npz") as file:
        numbers, positions, sizes = file["atomic_numbers"], file["positions"], file["n_atoms"]
    ends = np.cumsum(sizes)
    spans = [slice(int(ends[i] - sizes[i]), int(ends[i])) for i in range(0, len(sizes), 10)]
    rng = np.random.default_rng(0)
    many = [octree.encode(positions[s], numbers[s], preset("qm9"), rng) for s in spans]
    nodes = np.mean([e.tree.per_level() for e in many], axis=0)
    np.testing.assert_allclose(nodes, [1, 7.05, 7.14, 13.3, 18.3, 18.6, 18.6], rtol=0.05)
    lengths = mean_lengths(many)
    np.testing.assert_allclose(lengths["compressed"], 83.9, rtol=0.05)
    np.testing.assert_allclose(lengths["octree"], 542, rtol=0.05)
