"""Micrographs of real crystals along zone axes, by the linear model of HAADF-STEM.

Intensity is a sum over atomic columns of n Z^1.7 times a Gaussian (the exponent lies between that
of screened and of bare Rutherford scattering, see Pennycook and Jesson, Ultramicroscopy 37, 14
(1991)). What a microscope adds: counting noise, jitter of the scan lines, a background. Thickness
damps nothing here, and columns do not talk to each other, as they do in multislice simulations.

A column is labelled with its heaviest element, and with the number of all its atoms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.crystals import TRIES, choose
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Crystal, Program
from sciar.tokenization.elements import NUMBER
from sciar.tokenization.programs.structures import columns_of

AXES = {
    (0, 0, 1): ((1, 0, 0), (0, 1, 0)),
    (1, 0, 0): ((0, 1, 0), (0, 0, 1)),
    (0, 1, 0): ((0, 0, 1), (1, 0, 0)),
    (1, 1, 0): ((0, 1, 0), (0, 0, 1)),
    (1, 0, 1): ((0, 1, 0), (1, 0, 0)),
    (0, 1, 1): ((1, 0, 0), (0, 0, 1)),
    (1, 1, 1): ((1, 0, 0), (0, 1, 0)),
}
"""Zone axis -> two vectors that span the lattice together with it."""
POWER = 1.7
MERGE = 0.3
"""Angstrom: atoms that project closer than this are one column."""


class HaadfMaker(Maker):
    """Micrographs in the language ``micrograph``.

    Splits are those of the crystals: ``train``, ``val`` and ``test``.

    Args:
        crystals: data set or file whose crystals are imaged.
        size: height and width in pixels.
        fov: smallest and largest side of the field of view, angstrom.
        sigma: deviation of the Gaussian of a column, angstrom, from and to.
        thickness: from and to, angstrom.
        apart: columns are at least so far from each other, angstrom; orientations in which they
            are not cannot be resolved and are not imaged.
        most: columns in a picture at most.
        dose: electrons in the brightest pixel, from and to; 0: no noise.
        jitter: deviation of the shift of a scan line, pixels.
        background: share of the brightest pixel, at most.
        most_atoms: of the cells that are used.

    Raises:
        UsageError: options that make no picture.
    """

    name, version = "haadf", 1
    splits = ("train", "val", "test")

    def __init__(
        self,
        crystals: str = "sample-crystals",
        size: int = 64,
        fov: tuple[float, float] = (8.0, 16.0),
        sigma: tuple[float, float] = (0.35, 0.5),
        thickness: tuple[float, float] = (20.0, 100.0),
        apart: float = 1.0,
        most: int = 64,
        dose: tuple[float, float] = (50.0, 1000.0),
        jitter: float = 0.2,
        background: float = 0.2,
        most_atoms: int = 20,
    ) -> None:
        if size < 16 or not 1 <= fov[0] <= fov[1] <= 1000 or not 0 < sigma[0] <= sigma[1]:
            raise UsageError(f"size {size}, fov {fov} and sigma {sigma} make no picture")
        if not 1 <= thickness[0] <= thickness[1] or min(*dose, jitter, background) < 0:
            raise UsageError("thickness is at least 1; dose, jitter and background not negative")
        if apart < MERGE or most < 1 or most_atoms < 1:
            raise UsageError(f"apart is at least {MERGE}, most and most_atoms at least 1")
        self.crystals, self.size = crystals, size
        self.fov, self.sigma, self.thickness = _pair(fov), _pair(sigma), _pair(thickness)
        self.apart, self.most, self.dose = apart, most, _pair(dose)
        self.jitter, self.background, self.most_atoms = jitter, background, most_atoms

    def options(self) -> dict[str, Any]:
        return {
            "crystals": self.crystals,
            "size": self.size,
            "fov": list(self.fov),
            "sigma": list(self.sigma),
            "thickness": list(self.thickness),
            "apart": self.apart,
            "most": self.most,
            "dose": list(self.dose),
            "jitter": self.jitter,
            "background": self.background,
            "most_atoms": self.most_atoms,
        }

    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """A crystal of the split along a random zone axis, turned and shifted in the plane.

        Raises:
            RecordError: no crystal could be resolved.
        """
        self.check_split(split)
        for _ in range(TRIES):
            name, crystal = choose(self.crystals, split, self.most_atoms, rng)
            axis = tuple(AXES)[int(rng.integers(len(AXES)))]
            thickness = float(np.exp(rng.uniform(*np.log(self.thickness))))
            fov = float(rng.uniform(*self.fov))
            cell = project(crystal, axis, thickness)
            if cell is None or self._crowded(cell, fov):
                continue
            places, numbers, counts = _spread(*cell, fov, rng)
            if not 1 <= len(places) <= self.most or closest(places) < self.apart:
                continue
            sigma = float(rng.uniform(*self.sigma))
            clean = linear_model(places, numbers, counts, fov, self.size, sigma)
            image = self._measured(clean, rng)
            if image.min() == image.max():
                continue
            columns = [
                Call("col", {"Z": int(z), "xy": tuple(xy), "n": int(min(n, 200))})
                for xy, z, n in zip(places.tolist(), numbers, counts, strict=True)
            ]
            view = Call("view", {"fov": (fov,), "thickness": (thickness,)})
            details = {"crystal": name, "axis": list(axis), "sigma": sigma}
            return Picture(image, Program((view, *columns)), details)
        raise RecordError(
            f"{split}: {TRIES} orientations of {self.crystals} were tried, and none has 1 to "
            f"{self.most} columns that are {self.apart} angstrom apart"
        )

    def _crowded(self, cell: tuple[np.ndarray, ...], fov: float) -> bool:
        """Whether there are certainly too many columns, before they are placed one by one."""
        area = abs(np.linalg.det(cell[0]))
        return bool(len(cell[1]) * fov**2 / area > 2 * self.most + 10)

    def redraw(self, program: Program) -> np.ndarray:
        """Without noise, columns of the mean width."""
        view = next((call for call in program.calls if call.name == "view"), None)
        if view is None:
            raise RecordError("the program has no view(), so its scale is not known", field="view")
        fov = view.arguments["fov"]
        assert isinstance(fov, tuple)
        columns = columns_of(program)
        clean = linear_model(*columns, fov[0], self.size, float(np.mean(self.sigma)))
        return _to_bytes(clean)

    def _measured(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        top = clean.max()
        clean = clean + self.background * rng.random() * top
        shifts = self.jitter * rng.standard_normal(self.size)
        x = np.arange(self.size)
        lines = [np.interp(x + s, x, row) for s, row in zip(shifts, clean, strict=True)]
        clean = np.stack(lines)
        if self.dose[1] > 0:
            dose = float(np.exp(rng.uniform(*np.log(np.maximum(self.dose, 1e-3)))))
            clean = rng.poisson(clean / top * dose).astype(float)
        return _to_bytes(clean)


def project(
    crystal: Crystal, axis: tuple[int, int, int], thickness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """The columns of one projected cell.

    Returns:
        (2, 2) rows that span the projected lattice and (n, 2) places, angstrom; (n,) atomic number
        of the heaviest element and (n,) atoms of each column. ``None``: the crystal is thinner than
        one repeat along the axis.
    """
    basis = np.array([*AXES[axis], axis])
    rows = basis @ crystal.lattice
    repeat = float(np.linalg.norm(rows[2]))
    if thickness < repeat:
        return None
    along = rows[2] / repeat
    flat = rows[:2] - np.outer(rows[:2] @ along, along)
    first = flat[0] / np.linalg.norm(flat[0])
    plane = np.stack([first, np.cross(along, first)], axis=1)
    lattice = flat @ plane
    frac = (crystal.frac @ np.linalg.inv(basis))[:, :2] % 1.0
    places: list[np.ndarray] = []
    members: list[list[int]] = []
    for f, symbol in zip(frac, crystal.species, strict=True):
        for known, own in zip(places, members, strict=True):
            gap = f - known
            if np.linalg.norm((gap - np.round(gap)) @ lattice) < MERGE:
                own.append(NUMBER[symbol])
                break
        else:
            places.append(f)
            members.append([NUMBER[symbol]])
    numbers = np.array([max(own) for own in members])
    counts = np.array([round(len(own) * thickness / repeat) for own in members])
    return lattice, np.array(places) @ lattice, numbers, counts


def _spread(
    lattice: np.ndarray,
    places: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray,
    fov: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All columns inside a turned and shifted square of this side."""
    reach = fov * np.sqrt(0.5)
    shift = rng.random(2) @ lattice
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # Cells that a circle of this radius can touch, by the distance between lattice lines.
    heights = abs(np.linalg.det(lattice)) / np.linalg.norm(lattice[::-1], axis=1)
    n = np.ceil(reach / heights).astype(int) + 2
    i, j = np.mgrid[-n[0] : n[0] + 1, -n[1] : n[1] + 1]
    cells = np.stack([i.ravel(), j.ravel()], axis=1) @ lattice
    every = ((cells[:, None] + places + shift).reshape(-1, 2)) @ turn + fov / 2
    inside = ((every >= 0) & (every < fov)).all(1)
    which = np.tile(np.arange(len(places)), len(cells))[inside]
    return every[inside], numbers[which], counts[which]


def linear_model(
    places: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray,
    fov: float,
    size: int,
    sigma: float,
) -> np.ndarray:
    """(size, size) intensities; x to the right, y downwards, pixel centres at (i + 1/2)."""
    middle = (np.arange(size) + 0.5) * fov / size
    across = np.exp(-0.5 * ((middle - places[:, :1]) / sigma) ** 2)
    down = np.exp(-0.5 * ((middle - places[:, 1:]) / sigma) ** 2)
    strength = counts * numbers.astype(float) ** POWER
    return np.einsum("n,ny,nx->yx", strength, down, across)


def closest(places: np.ndarray) -> float:
    """Smallest distance between two of (n, 2) places; infinite for one."""
    if len(places) < 2:
        return np.inf
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)
    return float(gaps[np.triu_indices(len(places), 1)].min())


def _to_bytes(intensity: np.ndarray) -> np.ndarray:
    low, high = intensity.min(), intensity.max()
    return np.rint(255 * (intensity - low) / max(high - low, 1e-12)).astype(np.uint8)[..., None]


def _pair(values: tuple[float, float]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)
