"""Powder patterns of real crystals, roughened as an experiment does, with their cells or atoms."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.crystals import TRIES, choose
from sciar.errors import RecordError, UsageError
from sciar.records import Program
from sciar.tokenization.diffraction import PatternGrid, peaks_of
from sciar.tokenization.programs.structures import (
    crystal_to_program,
    lattice_of,
    program_to_crystal,
)


class PxrdMaker(Maker):
    """Patterns in the language ``cell``, or with ``atoms`` in the language ``crystal``.

    Splits are those of the crystals: ``train``, ``val`` and ``test``. Broadening, shift, texture
    and noise of the grid are drawn for each pattern of any split.

    Args:
        crystals: data set or file whose crystals are measured.
        grid: options of :class:`~sciar.tokenization.diffraction.PatternGrid`.
        atoms: the programs also place the atoms.
        most_atoms: of the cells that are used.

    Raises:
        UsageError: options that make no pattern.
    """

    name, version = "pxrd", 1
    splits = ("train", "val", "test")

    def __init__(
        self,
        crystals: str = "sample-crystals",
        grid: dict[str, Any] | None = None,
        atoms: bool = False,
        most_atoms: int = 20,
    ) -> None:
        self.crystals, self.atoms, self.most_atoms = crystals, atoms, most_atoms
        self.grid = PatternGrid(**(grid or {}))

    def options(self) -> dict[str, Any]:
        return {
            "crystals": self.crystals,
            "grid": self.grid.to_dict(),
            "atoms": self.atoms,
            "most_atoms": self.most_atoms,
        }

    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """The pattern of a crystal of the split.

        Raises:
            RecordError: no crystal gave a pattern.
        """
        self.check_split(split)
        last: RecordError | None = None
        for _ in range(TRIES):
            name, crystal = choose(self.crystals, split, self.most_atoms, rng)
            try:
                program = crystal_to_program(crystal, self.atoms)
                profile = self.grid.profile(peaks_of(crystal, self.grid), rng)
            except RecordError as error:
                last = error
                continue
            return Picture(profile.astype(np.float32), program, {"crystal": name})
        raise RecordError(f"{split}: no pattern of {TRIES} crystals of {self.crystals} ({last})")

    def redraw(self, program: Program) -> np.ndarray:
        """The clean pattern of a program with atoms.

        Raises:
            UsageError: a cell alone has no intensities; see :meth:`difference`.
        """
        if not self.atoms:
            raise UsageError("a cell alone says where peaks may be, not how strong they are")
        peaks = peaks_of(program_to_crystal(program), self.grid)
        return self.grid.profile(peaks).astype(np.float32)

    def difference(self, program: Program, seen: np.ndarray) -> np.ndarray:
        """That of the profiles; of a cell alone, how far each peak is from a reflection.

        Peaks are the maxima of the profile above a tenth of the highest, weighted by it. Distances
        are relative to those that as many reflections at random would have, because a large enough
        cell has a reflection everywhere.
        """
        if self.atoms:
            return super().difference(program, seen)
        peaks, height = _maxima(self.grid, seen)
        lines = reflections(lattice_of(program), self.grid)
        if not len(lines):
            return np.ones_like(peaks)
        gap = np.abs(peaks[:, None] - lines).min(1)
        # Half the mean spacing, were they spread at random.
        chance = 0.5 * (self.grid.stop - self.grid.start) / len(lines)
        weight = np.sqrt(height / height.sum())
        return weight * np.minimum(gap / chance, 2.0) * np.sqrt(len(peaks))


def _maxima(grid: PatternGrid, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles and heights of the local maxima, each at the vertex of a parabola through it."""
    inner = profile[1:-1]
    top = (inner >= profile[:-2]) & (inner > profile[2:]) & (inner > 0.1 * profile.max())
    at = np.flatnonzero(top) + 1
    if not len(at):
        at = np.array([int(profile.argmax())])
    low, top_y, high = (profile[np.clip(at + k, 0, len(profile) - 1)] for k in (-1, 0, 1))
    bend = np.minimum(low - 2.0 * top_y + high, -1e-6)
    vertex = np.clip(0.5 * (low - high) / bend, -0.5, 0.5)
    return grid.angles[at] + vertex * grid.step, profile[at].astype(float)


def reflections(lattice: np.ndarray, grid: PatternGrid) -> np.ndarray:
    """Angles (2-theta, degrees) at which a lattice may diffract within the grid, rising.

    Raises:
        RecordError: there are more than 50,000.
    """
    inverse = np.linalg.inv(lattice)  # columns are the reciprocal vectors, 1/angstrom
    top = 2 * np.sin(np.radians(grid.stop / 2)) / grid.wavelength
    n = np.ceil(top * np.linalg.norm(lattice, axis=1)).astype(int)
    if np.prod(2.0 * n + 1) > 5e5:
        raise RecordError("the cell is so large that it may diffract everywhere", field="cell")
    h = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in n), indexing="ij"), -1).reshape(-1, 3)
    sine = 0.5 * grid.wavelength * np.linalg.norm(h @ inverse.T, axis=1)
    angle = 2 * np.degrees(np.arcsin(np.clip(sine, 0.0, 1.0)))
    inside = (sine <= 1) & (angle >= grid.start) & (angle <= grid.stop)
    return np.unique(np.round(angle[inside], 3))
