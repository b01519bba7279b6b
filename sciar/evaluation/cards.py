"""Report cards of structures: the picture with the facts that can be read off without an energy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from sciar.errors import RecordError
from sciar.evaluation.pictures import depiction_svg, structure_svg
from sciar.evaluation.report import Card
from sciar.records import Crystal, Molecule, Protein

if TYPE_CHECKING:
    from rdkit.Chem import Mol

_log = logging.getLogger(__name__)
SYMMETRY_PRECISION = 0.1
"""Tolerance of the space group on a card, in angstrom: generated atoms are never quite in place."""


def structure_card(
    structure: Crystal | Molecule | None,
    *,
    record_id: str,
    status: str = "ok",
    message: str = "",
    facts: Mapping[str, str] | None = None,
) -> Card:
    """A card for a structure, or for a failed sample (``structure`` is ``None``).

    Args:
        structure: what to show.
        record_id: identifier of the record or sample.
        status: "ok" or the kind of failure.
        message: why it failed, or a remark.
        facts: further facts, shown first.
    """
    if structure is None:
        return Card("no structure", record_id, "", status, message, facts or {})
    extra = dict(facts or {})
    try:
        picture = structure_svg(structure)
    except RecordError as error:  # too large, or no coordinates: the card says so instead
        picture, message = "", message or error.reason
    match structure:
        case Crystal():
            formula = structure.to_pymatgen().composition.reduced_formula
            extra |= crystal_facts(structure)
            return Card(formula, record_id, picture, status, message, extra)
        case Molecule():
            extra |= molecule_facts(structure)
            known = structure.mol is not None or structure.smiles
            more = depiction_svg(structure, height=170) if known else ""
            return Card(_hill(structure), record_id, picture, status, message, extra, more)
        case Protein():
            title = record_id or "protein"
            return Card(title, record_id, "", status, message, extra | _protein_facts(structure))
        case _:
            assert_never(structure)


def _protein_facts(protein: Protein) -> dict[str, str]:
    lengths = " + ".join(str(len(chain)) for chain in protein.chains)
    return {"residues": lengths, "sequence": " ".join(protein.chains)[:80]}


def crystal_facts(crystal: Crystal) -> dict[str, str]:
    """Space group, density, cell and shortest distance of a crystal, as text."""
    import numpy as np

    structure = crystal.to_pymatgen()
    distances = structure.distance_matrix + np.diag([np.inf] * len(structure))
    shortest = min(float(distances.min()), *map(float, structure.lattice.abc))
    return {
        "space group": _space_group(crystal),
        "density": f"{structure.density:.2f} g/cm³",
        "a, b, c": ", ".join(f"{v:.3f}" for v in structure.lattice.abc) + " Å",
        "α, β, γ": ", ".join(f"{v:.1f}" for v in structure.lattice.angles) + "°",
        "atoms, volume": f"{len(crystal)}, {crystal.volume:.1f} Å³",
        "shortest distance": f"{shortest:.2f} Å",
    }


def molecule_facts(molecule: Molecule) -> dict[str, str]:
    """SMILES, formula, mass and size of a molecule, as text."""
    facts = {"SMILES": molecule.smiles} if molecule.smiles else {}
    facts |= {"mass": f"{_mass(molecule):.2f} u", "atoms": str(len(molecule))}
    if molecule.charge:
        facts["charge"] = f"{molecule.charge:+d}"
    return facts


def _mass(molecule: Molecule) -> float:
    """In atomic mass units, with the hydrogens that a graph implies."""
    if molecule.mol is not None:
        from rdkit.Chem import Descriptors

        return float(Descriptors.MolWt(_ready(molecule.mol)))  # type: ignore[attr-defined]
    from ase.data import atomic_masses, atomic_numbers

    return sum(float(atomic_masses[atomic_numbers[s]]) for s in molecule.symbols)


def _ready(mol: Mol) -> Mol:
    """A copy whose implied hydrogens are counted, whether or not the valences make sense."""
    from rdkit import Chem

    copy = Chem.Mol(mol)
    copy.UpdatePropertyCache(strict=False)
    return copy


def _space_group(crystal: Crystal) -> str:
    import spglib

    numbers = {symbol: i for i, symbol in enumerate(sorted(set(crystal.species)), start=1)}
    types = [numbers[symbol] for symbol in crystal.species]
    try:
        found = spglib.get_spacegroup(
            (crystal.lattice.tolist(), crystal.frac.tolist(), types), symprec=SYMMETRY_PRECISION
        )
    except spglib.SpglibError as error:
        _log.debug("no space group: %s", error)
        found = None
    return found or "not found"


def _hill(molecule: Molecule) -> str:
    """Formula in Hill's order: carbon, hydrogen, then the alphabet."""
    if molecule.mol is not None:
        from rdkit.Chem.rdMolDescriptors import CalcMolFormula

        return str(CalcMolFormula(_ready(molecule.mol)))
    counts: dict[str, int] = {}
    for symbol in molecule.symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    first = [s for s in ("C", "H") if s in counts] if "C" in counts else []
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in order)
