"""Energies and relaxations by any ASE calculator; one crystal that fails stays one row."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal

CONVERGED, UNCONVERGED, DIVERGED, FAILED = "converged", "not converged", "diverged", "failed"
SINGLE = "single point"
_STRETCH = 4.0
"""A cell that grows or shrinks by more than this factor in volume has diverged."""
_PACKAGES = {"chgnet": ("chgnet.model.dynamics.CHGNetCalculator", "chgnet")}

Calculator = Any
"""Of ASE, which has no types."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """What a potential makes of one crystal.

    Attributes:
        status: ``converged``, ``not converged`` (steps were too few), ``diverged``, ``failed``
            (the potential cannot do it), or ``single point``.
        energy: eV an atom, of the last geometry; ``None`` if there is none that can be trusted.
        crystal: the last geometry; ``None`` if it diverged or failed.
        start: eV an atom before the first step, or ``None``.
        steps: of the optimiser.
        seconds: wall time.
        message: what went wrong.
    """

    status: str
    energy: float | None
    crystal: Crystal | None
    start: float | None = None
    steps: int = 0
    seconds: float = 0.0
    message: str = ""


def potential(name: str, options: Mapping[str, Any] | None = None) -> Callable[[], Calculator]:
    """A maker of calculators.

    Args:
        name: ``chgnet``, or the import path of an ASE calculator such as
            ``ase.calculators.emt.EMT``.
        options: arguments of the calculator.

    Raises:
        UsageError: its package is not installed, or there is no such calculator.
    """
    path, package = _PACKAGES.get(name, (name, ""))
    if package and find_spec(package) is None:
        raise UsageError(
            f"energies by {name} need its package: pip install 'sciar[{package}]'; or name another "
            "ASE calculator by its import path"
        )
    module, _, attribute = path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"no calculator {name!r} ({error}); give chgnet, or the import path of an ASE "
            "calculator such as ase.calculators.emt.EMT"
        ) from error
    return lambda: made(**dict(options or {}))


def relaxed(
    crystal: Crystal,
    calculator: Calculator,
    *,
    steps: int = 200,
    fmax: float = 0.05,
) -> Relaxation:
    """Relax sites and cell (FIRE on ASE's ``FrechetCellFilter``), or take the energy as it is.

    Args:
        crystal: to start from.
        calculator: of ASE.
        steps: at most; 0 takes the energy of the crystal as it is.
        fmax: largest force, in eV per angstrom, where it has converged.
    """
    from ase import Atoms

    begun = time.monotonic()
    atoms = Atoms(
        list(crystal.species), scaled_positions=crystal.frac, cell=crystal.lattice, pbc=True
    )
    atoms.calc = calculator
    progress = _Progress(atoms)
    status, message = SINGLE, ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            progress.measure()
            if steps:
                status = _descend(atoms, progress, steps, fmax)
    except _Diverged as error:
        status, message = DIVERGED, str(error)
    except Exception as error:  # calculators of others raise what they like
        status, message = FAILED, f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - begun
    if status in (DIVERGED, FAILED):
        return Relaxation(status, None, None, progress.start, progress.steps, seconds, message)
    try:
        final = Crystal(np.array(atoms.cell), crystal.species, atoms.get_scaled_positions())
    except RecordError as error:
        why = str(error)
        return Relaxation(DIVERGED, None, None, progress.start, progress.steps, seconds, why)
    return Relaxation(status, progress.energy, final, progress.start, progress.steps, seconds)


class _Diverged(Exception):
    """The geometry or the energy has left what can be meant."""


class _Progress:
    """Energies on the way, and whether it still goes anywhere."""

    def __init__(self, atoms: Any) -> None:
        self._atoms, self._volume = atoms, float(abs(atoms.cell.volume))
        self.start: float | None = None
        self.energy: float | None = None
        self.steps = 0

    def measure(self) -> None:
        """Take the energy of the geometry as it is.

        Raises:
            _Diverged: it is no number, or the cell has changed out of all proportion.
        """
        ratio = float(abs(self._atoms.cell.volume)) / self._volume
        if not np.isfinite(ratio) or not 1 / _STRETCH < ratio < _STRETCH:
            raise _Diverged(f"the cell has {ratio:.3g} times its volume after {self.steps} steps")
        energy = float(self._atoms.get_potential_energy()) / len(self._atoms)
        if not np.isfinite(energy):
            raise _Diverged(f"the energy is {energy} after {self.steps} steps")
        self.energy = energy
        if self.start is None:
            self.start = energy


def _descend(atoms: Any, progress: _Progress, steps: int, fmax: float) -> str:
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    with FIRE(FrechetCellFilter(atoms), logfile=None) as optimiser:
        for converged in optimiser.irun(fmax=fmax, steps=steps):
            progress.steps = int(optimiser.nsteps)
            progress.measure()
            if converged:
                return CONVERGED
    return UNCONVERGED
