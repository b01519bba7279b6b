"""Energies and relaxations by ASE calculators: what they give, and what becomes of failures."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from sciar.errors import UsageError
from sciar.evaluation.potentials import potential, relaxed
from sciar.records import Crystal

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def copper(edge: float = 3.8) -> Crystal:
    return Crystal(edge * FCC, ("Cu",), np.zeros((1, 3)))


class Expanding(Calculator):
    """It pushes the cell apart, or has no number for it."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]
    energy = 0.0

    def calculate(self, *arguments: Any, **options: Any) -> None:
        super().calculate(*arguments, **options)
        n = len(self.atoms)
        self.results = {"energy": self.energy, "forces": np.zeros((n, 3))}
        self.results["stress"] = np.array([-5.0, -5.0, -5.0, 0, 0, 0])


class Unnumbered(Expanding):
    energy = float("nan")


def test_copper_relaxes_to_its_cell() -> None:
    """EMT's own lattice constant of copper: ASE gives 3.59 angstrom and an energy near zero."""
    found = relaxed(copper(), EMT(), fmax=0.01)
    assert found.status == "converged" and found.crystal is not None and found.steps > 0
    assert found.start is not None and found.energy is not None and found.energy < found.start
    assert found.crystal.volume == pytest.approx(3.59**3 / 4, rel=0.01)
    again = relaxed(copper(), EMT(), fmax=0.01)
    assert again.energy == found.energy


def test_too_few_steps_and_none() -> None:
    few = relaxed(copper(), EMT(), steps=2, fmax=1e-6)
    assert few.status == "not converged" and few.energy is not None and few.steps == 2
    none = relaxed(copper(), EMT(), steps=0)
    assert none.status == "single point" and none.energy == none.start == few.start
    assert none.crystal is not None and none.crystal.volume == pytest.approx(copper().volume)


@pytest.mark.parametrize(("calculator", "why"), [(Expanding, "volume"), (Unnumbered, "energy")])
def test_what_diverges_has_no_energy(calculator: type[Expanding], why: str) -> None:
    found = relaxed(copper(), calculator())
    assert found.status == "diverged" and why in found.message
    assert found.energy is None and found.crystal is None


def test_an_element_that_the_potential_lacks_is_a_row() -> None:
    found = relaxed(Crystal(4 * np.eye(3), ("Xe",), np.zeros((1, 3))), EMT())
    assert found.status == "failed" and "EMT" in found.message and found.energy is None


def test_potentials_by_import_path() -> None:
    made = potential("ase.calculators.lj.LennardJones", {"epsilon": 0.1, "sigma": 2.3})()
    assert relaxed(copper(), made, steps=0).energy is not None
    for wrong in ("nowhere.Nothing", "ase.calculators.emt.Nothing", "emt"):
        with pytest.raises(UsageError, match="import path"):
            potential(wrong)


@pytest.mark.skipif(find_spec("chgnet") is not None, reason="chgnet is installed")
def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"pip install 'sciar\[chgnet\]'"):
        potential("chgnet")
