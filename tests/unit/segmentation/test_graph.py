"""Region graphs and their agglomeration: brute force, blocks, a queue, and waterz."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.segmentation.agglomerate import agglomerate, sweep
from sciar.segmentation.graph import Edges


def scene(seed: int, shape: tuple[int, int, int] = (4, 7, 6)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fragments = rng.integers(0, 12, shape).astype(np.uint64)
    return rng.integers(0, 256, (3, *shape)).astype(np.uint8), fragments


def slow_edges(affinities: np.ndarray, fragments: np.ndarray) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for axis in range(3):
        for where in np.ndindex(fragments.shape):
            before = list(where)
            before[axis] -= 1
            if before[axis] < 0:
                continue
            a, b = int(fragments[where]), int(fragments[tuple(before)])
            if a != b and a and b:
                entry = found.setdefault((min(a, b), max(a, b)), [0, 0])
                entry[0] += 1
                entry[1] += int(affinities[(axis, *where)])
    return found


def as_dict(edges: Edges) -> dict[tuple[int, int], list[int]]:
    rows = zip(edges.pairs.tolist(), edges.count.tolist(), edges.total.tolist(), strict=True)
    return {(a, b): [n, t] for (a, b), n, t in rows}


def by_queue(edges: Edges, ids: np.ndarray, threshold: float) -> np.ndarray:
    """The textbook way: always the best edge of all, from a queue."""
    owner = {int(i): int(i) for i in ids}
    graph = {int(i): {} for i in ids}
    for (a, b), (n, t) in as_dict(edges).items():
        graph[a][b] = graph[b][a] = (n, t)
    heap = [(1 - t / (255 * n), a, b, n, t) for (a, b), (n, t) in as_dict(edges).items()]
    heapq.heapify(heap)
    while heap:
        score, a, b, n, t = heapq.heappop(heap)
        if score >= threshold:
            break
        if graph.get(a, {}).get(b) != (n, t):
            continue
        for other, (m, s) in graph.pop(b).items():
            del graph[other][b]
            if other == a:
                continue
            m0, s0 = graph[a].get(other, (0, 0))
            m, s = m + m0, s + s0
            graph[a][other] = graph[other][a] = (m, s)
            low, high = min(a, other), max(a, other)
            heapq.heappush(heap, (1 - s / (255 * m), low, high, m, s))
        for i, o in owner.items():
            owner[i] = a if o == b else o
    return np.array([owner[int(i)] for i in ids], np.uint64)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000))
def test_edges_by_brute_force_and_by_blocks(seed: int) -> None:
    affinities, fragments = scene(seed)
    whole = Edges.of(affinities, fragments)
    assert as_dict(whole) == slow_edges(affinities, fragments)
    tables = []
    for z, y, x in itertools.product((0, 2), (0, 3), (0, 4)):
        block, ends = (z, y, x), ((2, 4)[z > 0], (3, 7)[y > 0], (4, 6)[x > 0])
        low = [max(0, b - 1) for b in block]
        cut = tuple(slice(s, e) for s, e in zip(low, ends, strict=True))
        # A block at the edge of the volume has no plane before it: one of nothing stands in.
        lacking = [(int(b == 0), 0) for b in block]
        tables.append(
            Edges.of(
                np.pad(affinities[:, *cut], [(0, 0), *lacking]),
                np.pad(fragments[cut], lacking),
                halo=True,
            )
        )
    for order in (tables, tables[::-1], tables[3:] + tables[:3]):
        found = Edges.merged(order)
        for name in ("pairs", "count", "total"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def random_graph(seed: int, nodes: int = 40) -> tuple[Edges, np.ndarray]:
    """Sums that never tie, so that every way of merging must agree."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(10**12, nodes, replace=False)).astype(np.uint64)
    pairs = np.array([p for p in itertools.combinations(range(nodes), 2) if rng.random() < 0.15])
    count = rng.integers(1, 1000, len(pairs))
    total = (count * 255 * rng.random(len(pairs))).astype(np.int64)
    return Edges(ids[pairs], count, total), ids


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0, 1))
def test_rounds_merge_what_a_queue_merges(seed: int, threshold: float) -> None:
    edges, ids = random_graph(seed)
    np.testing.assert_array_equal(
        _canonical(agglomerate(edges, ids, threshold)), _canonical(by_queue(edges, ids, threshold))
    )


def _canonical(regions: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(regions, return_index=True, return_inverse=True)
    return first[inverse]


def test_a_sweep_goes_on_from_the_threshold_before() -> None:
    edges, ids = random_graph(1)
    thresholds = [0.1, 0.4, 0.5, 0.9]
    for threshold, found in zip(thresholds, sweep(edges, ids, thresholds), strict=True):
        np.testing.assert_array_equal(found, agglomerate(edges, ids, threshold))
        assert (found <= ids).all(), "a region is called by its smallest fragment"
    assert agglomerate(Edges.merged([]), ids, 0.5).tolist() == ids.tolist()
    for wrong in ([0.5, 0.4], [1.5]):
        with pytest.raises(UsageError, match="rise"):
            list(sweep(edges, ids, wrong))


def test_as_waterz_does() -> None:
    """The same partition as its mean-affinity scoring, on the same fragments."""
    waterz = pytest.importorskip("waterz")
    rng = np.random.default_rng(0)
    fragments = rng.permutation(np.arange(1, 6 * 8 * 8 + 1)).reshape(6, 8, 8).astype(np.uint64)
    fragments = fragments.repeat(2, 0).repeat(3, 1).repeat(3, 2)
    affinities = rng.integers(0, 256, (3, *fragments.shape)).astype(np.uint8)
    thresholds = [0.3, 0.45, 0.5, 0.6]
    theirs = waterz.agglomerate(
        (affinities / 255).astype(np.float32),
        thresholds,
        fragments=fragments.copy(),
        scoring_function="OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
    )
    ids = np.unique(fragments)
    ours = sweep(Edges.of(affinities, fragments), ids, thresholds)
    for found, regions in zip(theirs, ours, strict=True):
        mine = regions[np.searchsorted(ids, fragments)]
        pairs = {*zip(found.ravel().tolist(), mine.ravel().tolist(), strict=True)}
        assert len(pairs) == len(np.unique(found)) == len(np.unique(mine))
