"""Properties that follow from a structure alone, so that no data set needs a column of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Structure

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True)
class Computed:
    """A function of a structure, and its unit.

    The function raises :class:`~sciar.errors.RecordError` for a structure that has no such
    property.
    """

    of: Callable[[Structure], float]
    unit: str = ""


def density(structure: Structure) -> float:
    """Mass of the cell over its volume, in g/cm^3, as pymatgen computes it."""
    return float(_crystal(structure).to_pymatgen().density)


def volume_per_atom(structure: Structure) -> float:
    """In cubic angstrom."""
    crystal = _crystal(structure)
    return crystal.volume / len(crystal)


def atoms(structure: Structure) -> float:
    """How many there are, with hydrogens where these are known."""
    return float(len(structure))


def qed(structure: Structure) -> float:
    """Quantitative estimate of drug-likeness (Bickerton et al., Nat. Chem. 4, 90, 2012), 0 to 1."""
    from rdkit.Chem import QED

    return float(QED.qed(_molecule(structure)))


def logp(structure: Structure) -> float:
    """Octanol-water partition coefficient by atoms (Wildman and Crippen, JCICS 39, 868, 1999)."""
    from rdkit.Chem import Crippen

    return float(Crippen.MolLogP(_molecule(structure)))  # type: ignore[attr-defined]


def weight(structure: Structure) -> float:
    """Average molecular weight in g/mol."""
    from rdkit.Chem import Descriptors

    return float(Descriptors.MolWt(_molecule(structure)))  # type: ignore[attr-defined]


def _crystal(structure: Structure) -> Crystal:
    if not isinstance(structure, Crystal):
        raise RecordError("only a crystal has a cell")
    return structure


def _molecule(structure: Structure) -> Mol:
    """The sanitised molecule with implicit hydrogens, as atom contributions count them."""
    from rdkit import Chem

    if not isinstance(structure, Molecule) or structure.mol is None:
        raise RecordError("only a molecule with bonds has such a property")
    try:
        mol = Chem.RemoveHs(Chem.Mol(structure.mol))
        Chem.SanitizeMol(mol)
    except ValueError as error:
        raise RecordError(f"the molecule cannot be sanitised: {error}") from error
    return mol


COMPUTED: dict[str, Computed] = {
    "density": Computed(density, "g/cm^3"),
    "volume_per_atom": Computed(volume_per_atom, "angstrom^3"),
    "atoms": Computed(atoms),
    "qed": Computed(qed),
    "logp": Computed(logp),
    "weight": Computed(weight, "g/mol"),
}
"""By name."""
