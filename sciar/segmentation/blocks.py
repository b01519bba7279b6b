"""What is done to one block of a volume, whatever the arrays are kept in.

Arrays may be NumPy's or those of a store; a block reads around itself but writes only its core, so
blocks can be worked on in any order, by any number of processes, and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.segmentation.fragments import Watershed, to_bytes
from sciar.segmentation.graph import Edges
from sciar.segmentation.windows import Block, Triple, Windows

IDS = 32
"""Bits of a fragment's number inside its block; those above are the number of the block."""


@dataclass(frozen=True)
class Blocks:
    """How a volume is cut into blocks.

    Attributes:
        shape: voxels of the volume.
        size: voxels of the core of a block; those at the ends may be smaller.
        halo: voxels around the core that fragments see.

    Raises:
        UsageError: a size that is not positive.
    """

    shape: Triple
    size: Triple
    halo: Triple

    def __post_init__(self) -> None:
        if min(*self.shape, *self.size) < 1 or min(self.halo) < 0:
            raise UsageError(
                f"blocks of {self.size} with a halo of {self.halo}: sizes are positive"
            )

    @property
    def counts(self) -> Triple:
        """Blocks along z, y, x."""
        z, y, x = (ceil(n / s) for n, s in zip(self.shape, self.size, strict=True))
        return z, y, x

    def __len__(self) -> int:
        return prod(self.counts)

    def order(self) -> list[int]:
        """Numbers of all blocks in Morton order, in which neighbours are near each other."""
        places = np.indices(self.counts).reshape(3, -1).T
        keys = np.zeros(len(places), np.int64)
        for bit in range(20):
            for axis in range(3):
                keys |= (places[:, axis] >> bit & 1) << (3 * bit + 2 - axis)
        return np.argsort(keys, kind="stable").tolist()

    def core(self, index: int) -> Block:
        """The voxels of a block; blocks are numbered with x fastest."""
        place = np.unravel_index(index, self.counts)
        z, y, x = (
            slice(int(i) * s, min((int(i) + 1) * s, n))
            for i, s, n in zip(place, self.size, self.shape, strict=True)
        )
        return z, y, x

    def around(self, core: Block, before: Triple, after: Triple) -> tuple[Block, Block]:
        """A block with its surroundings inside the volume, and where the core is in it."""
        outer, inner = [], []
        for c, b, a, n in zip(core, before, after, self.shape, strict=True):
            start = max(0, c.start - b)
            outer.append(slice(start, min(n, c.stop + a)))
            inner.append(slice(c.start - start, c.stop - start))
        return (outer[0], outer[1], outer[2]), (inner[0], inner[1], inner[2])

    def memory(self, window: Triple) -> dict[str, int]:
        """Bytes that each stage needs in a process, beside Python, libraries and the network.

        Counted from the arrays that are alive together; that of the network is apart, because it
        hangs on one window and not on the volume.
        """
        core = prod(min(s, n) for s, n in zip(self.size, self.shape, strict=True))
        padded = prod(
            min(s + 2 * h, n) for s, h, n in zip(self.size, self.halo, self.shape, strict=True)
        )
        return {
            "predict": 31 * core + 64 * prod(window),
            "fragments": 100 * padded,
            "edges": 70 * core,
            "relabel": 40 * core,
        }


def predicted(
    core: Block,
    windows: Windows,
    read: Callable[[Block], np.ndarray],
    predict: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """(3, core) affinities in bytes."""
    return to_bytes(windows.blend(core, read, predict, 3))


def fragments_of(
    blocks: Blocks, index: int, affinities: Any, watershed: Watershed
) -> tuple[np.ndarray, int]:
    """(core) uint64 ids of the fragments of a block, and how many there are."""
    outer, inner = blocks.around(blocks.core(index), blocks.halo, blocks.halo)
    found = watershed(np.asarray(affinities[:, *outer]))[inner]
    names, local = np.unique(found, return_inverse=True)
    first = int(len(names) > 0 and names[0] == 0)
    local = local.reshape(found.shape) + 1 - first
    if len(names) >= 2**IDS:
        raise UsageError(f"block {index} has {len(names)} fragments; make blocks smaller")
    ids = local.astype(np.uint64) + np.uint64(index << IDS)
    return np.where(found > 0, ids, np.uint64(0)), len(names) - first


def edges_of(
    blocks: Blocks, index: int, affinities: Any, fragments: Any
) -> tuple[Edges, np.ndarray]:
    """The graph of a block with the faces before it, and the ids of its own fragments, rising."""
    core = blocks.core(index)
    outer, inner = blocks.around(core, (1, 1, 1), (0, 0, 0))
    ids, near = np.asarray(fragments[outer]), np.asarray(affinities[:, *outer])
    # At the beginning of the volume there is no face before: one of nothing stands for it.
    lacking = [(1 - s.start, 0) for s in inner]
    edges = Edges.of(np.pad(near, [(0, 0), *lacking]), np.pad(ids, lacking), halo=True)
    own = np.unique(ids[inner])
    return edges, own[own > 0]


def relabelled(ids: np.ndarray, known: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """uint64 segment of each fragment; 0 stays 0.

    Args:
        ids: fragments, any shape.
        known: (n,) ids of all fragments, rising.
        segments: (n,) their segments.
    """
    if not len(known):
        return np.zeros(ids.shape, np.uint64)
    place = np.searchsorted(known, ids.ravel()).clip(0, len(known) - 1)
    return np.where(ids.ravel() > 0, segments[place], np.uint64(0)).reshape(ids.shape)


def numbered(regions: np.ndarray) -> np.ndarray:
    """Regions -> uint64 segments, counted from 1 in the order of their first fragments."""
    _, number = np.unique(regions, return_inverse=True)
    return (number + 1).astype(np.uint64)
