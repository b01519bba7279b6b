"""The grid under an octree: its presets, and how points are placed on it.

A point becomes the integer *cell* that holds it and, inside the cell, one *bin* an axis. Lengths
are in angstrom. Constants and order of operations: Uni-3DAR (Lu et al., arXiv:2503.16278) and its
published settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sciar.errors import RecordError, UsageError

MAX_LEVELS = 10
"""Levels that a Morton code holds: 10 bits an axis."""

ANCHORS = ("centre", "corner")
FRAMES = ("given", "principal")


@dataclass(frozen=True)
class OctreeGrid:
    """A cube of ``2^levels`` cells an axis.

    Attributes:
        levels: levels of the octree above its leaf cells, 1 to 10.
        edge: edge of a leaf cell.
        step: distance of two bins inside a cell; a whole number of steps makes an edge.
        rotation: probability that an augmented placing is rotated.
        anchor: where the points go in the box: their mean cell to its ``centre``, as published, or
            their lowest cells to its ``corner``, which needs fewer nodes.
        frame: axes of the box before any random rotation: as ``given``, or the ``principal`` axes
            of the points, the longest along x; of the four proper choices of their directions an
            augmented placing draws one.
    """

    levels: int
    edge: float
    step: float = 0.01
    rotation: float = 1.0
    anchor: str = "centre"
    frame: str = "given"

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= MAX_LEVELS:
            raise UsageError(f"{self.levels} octree levels; 1 to {MAX_LEVELS} are possible")
        if not (self.edge > 0 and self.step > 0):
            raise UsageError(f"cell edge {self.edge} and step {self.step} must be above zero")
        if self.bins < 1 or abs(self.bins * self.step - self.edge) > 1e-9 * self.edge:
            raise UsageError(
                f"a cell edge of {self.edge} is not a whole number of steps of {self.step}"
            )
        if not 0 <= self.rotation <= 1:
            raise UsageError(f"{self.rotation} is no probability of a rotation")
        if self.anchor not in ANCHORS:
            raise UsageError(f"anchor {self.anchor!r} is none of {ANCHORS}")
        if self.frame not in FRAMES:
            raise UsageError(f"frame {self.frame!r} is none of {FRAMES}")

    @property
    def bins(self) -> int:
        """Bins an axis inside a cell."""
        return round(self.edge / self.step)

    @property
    def cells(self) -> int:
        """Cells an axis."""
        return 1 << self.levels

    @property
    def box(self) -> float:
        """Edge of the whole grid."""
        return self.cells * self.edge

    def holding(self, cells: float) -> OctreeGrid:
        """This grid, with as many more levels as ``cells`` an axis ask for.

        Raises:
            RecordError: more than 10 levels would be needed.
        """
        levels = self.levels
        while levels < MAX_LEVELS and (1 << levels) < cells:
            levels += 1
        if (1 << levels) < cells:
            raise self.too_large(cells)
        return replace(self, levels=levels)

    def too_large(self, cells: float) -> RecordError:
        """The error for points that span so many cells, with the limit and what to do."""
        largest = (1 << MAX_LEVELS) * self.edge
        if cells <= 1 << MAX_LEVELS:
            needed = int(np.ceil(np.log2(cells)))
            cure = f"use {needed} levels or let the level grow"
        else:
            cure = f"no octree with this cell edge holds more than {largest:g} angstrom"
        return RecordError(
            f"the points span {cells * self.edge:.6g} angstrom along one axis; an octree of "
            f"{self.levels} levels with cells of {self.edge:g} holds {self.box:g}; {cure}",
            field="positions",
        )


PRESETS: dict[str, OctreeGrid] = {
    "qm9": OctreeGrid(6, 0.24),
    "drug": OctreeGrid(7, 0.24),
    "mp20": OctreeGrid(8, 0.24, rotation=0.5),
    "molecule": OctreeGrid(8, 0.24),
    "protein": OctreeGrid(10, 0.48),
}
"""The published settings for each kind of data."""


def preset(name: str) -> OctreeGrid:
    """A published grid by name.

    Raises:
        UsageError: there is no preset of this name.
    """
    if name not in PRESETS:
        raise UsageError(f"no octree preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True, eq=False)
class Placement:
    """N points on a grid; ``points(cells, bins) @ rotation + origin`` is where they came from.

    Attributes:
        grid: the grid, perhaps with more levels than were asked for.
        exact: (N, 3) the points in the box before they were rounded to bins.
        cells: (N, 3) int64 cell of each point, in ``0 .. grid.cells - 1``.
        bins: (N, 3) int64 place inside the cell, in ``0 .. grid.bins - 1``.
        rotation: (3, 3) and origin: (3,) take grid coordinates back to the input's frame.
    """

    grid: OctreeGrid
    cells: np.ndarray
    bins: np.ndarray
    rotation: np.ndarray
    origin: np.ndarray
    exact: np.ndarray

    def restored(self) -> np.ndarray:
        """(N, 3) the points in the frame of the input, within half a step on each grid axis."""
        return points(self.cells, self.bins, self.grid) @ self.rotation + self.origin


def points(cells: np.ndarray, bins: np.ndarray, grid: OctreeGrid) -> np.ndarray:
    """(N, 3) cells and bins -> (N, 3) coordinates inside the box."""
    return np.asarray(cells) * grid.edge + np.asarray(bins) * grid.step


def place(
    positions: np.ndarray,
    grid: OctreeGrid,
    augment: np.random.Generator | None = None,
    *,
    grow: bool = False,
) -> Placement:
    """Put points on a grid.

    Args:
        positions: (N, 3), N at least 1.
        grid: the grid.
        augment: draws a rotation, a shift of about half a cell and one of up to one cell; without
            it the placing depends on the points alone, and not on their order.
        grow: take as many levels as the points need, up to 10, in place of refusing them.

    Raises:
        RecordError: no points, a number that is not finite, or points outside the grid.
    """
    given = _checked(positions)
    # Sums depend on the order of their terms; in a fixed order they do not depend on the input's.
    mean = given[np.lexsort(given.T[::-1])].mean(0)
    turn, shift = np.eye(3), np.full(3, grid.edge / 2)
    if grid.frame == "principal":
        turn = principal_axes(given - mean, augment)
    if augment is not None:
        if augment.random() < grid.rotation:
            turn = random_rotation(augment) @ turn
        shift = shift + augment.normal(0.0, grid.edge / 2, 3)
    inside = (given - mean) @ turn.T + shift
    extent = float(np.ptp(inside, axis=0).max()) / grid.edge
    # Before numbers become integers, which overflow; one cell more may be needed than this.
    grid = grid.holding(extent) if grow else grid
    if extent > grid.cells:
        raise grid.too_large(extent)
    cells = np.floor(inside / grid.edge).astype(np.int64)
    bins = np.rint((inside - cells * grid.edge) / grid.step).astype(np.int64)
    carry = bins >= grid.bins
    cells, bins = cells + carry, np.where(carry, bins - grid.bins, bins)
    needed = int(np.ptp(cells, axis=0).max()) + 1
    grid = grid.holding(needed) if grow else grid
    if needed > grid.cells:
        raise grid.too_large(needed)
    move = _move(cells, grid, augment)
    origin = mean - (shift + move * grid.edge) @ turn
    return Placement(grid, cells + move, bins, turn, origin, inside + move * grid.edge)


def principal_axes(centred: np.ndarray, augment: np.random.Generator | None = None) -> np.ndarray:
    """(3, 3) rotation onto the principal axes, its rows, by falling extent.

    The directions of the first two are drawn, or else such that the points reach out further the
    positive way (third moments); the last makes a right-handed system.
    """
    ordered = centred[np.lexsort(centred.T[::-1])]
    axes = np.linalg.eigh(ordered.T @ ordered)[1].T[::-1]
    if augment is None:
        signs = np.where(((ordered @ axes.T) ** 3).sum(0) < 0, -1.0, 1.0)
    else:
        signs = np.append(augment.choice((-1.0, 1.0), 2), 1.0)
    axes = axes * signs[:, None]
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) uniformly distributed rotation, from a normalised quaternion of normal numbers."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _move(cells: np.ndarray, grid: OctreeGrid, augment: np.random.Generator | None) -> np.ndarray:
    """(3,) whole cells to add so that the points sit at their anchor, inside the box."""
    low = cells.min(0)
    if grid.anchor == "corner":
        move = -low + (0 if augment is None else augment.integers(0, 2, 3))
    else:
        mean = (cells - low).mean(0).astype(np.float32).astype(np.int64)
        move = grid.cells // 2 - mean - low
        move = move + (0 if augment is None else augment.integers(-1, 2, 3))
    move = move - np.minimum((cells + move).min(0), 0)
    return move - np.maximum((cells + move).max(0) - (grid.cells - 1), 0)


def _checked(positions: np.ndarray) -> np.ndarray:
    given = np.asarray(positions, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 3:
        raise RecordError(
            f"positions of shape {given.shape}; an octree takes (N, 3)", field="positions"
        )
    if not len(given):
        raise RecordError("there are no points to put into an octree", field="positions")
    bad = ~np.isfinite(given).all(1)
    if bad.any():
        row = int(bad.argmax())
        raise RecordError(
            f"point {row} has a coordinate that is not finite: {given[row].tolist()}",
            field="positions",
        )
    return given
