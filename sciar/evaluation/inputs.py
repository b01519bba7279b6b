"""What the metrics accept: SciAR's records, or the chemistry libraries' own objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING, Any, TypeAlias

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from rdkit.Chem import Mol

CrystalLike: TypeAlias = "Crystal | Structure | None"
MoleculeLike: TypeAlias = "Molecule | Mol | None"


def as_crystal(structure: Any) -> Crystal | None:
    """A :class:`Crystal`, or ``None`` if the structure failed or cannot be used.

    A generator's output may be anything, so a disordered or singular structure is a failed
    prediction here, not an error.
    """
    if structure is None or isinstance(structure, Crystal):
        return structure
    try:
        return Crystal.from_pymatgen(structure)
    except RecordError:
        return None


def as_reference(structure: Any, name: str) -> Crystal:
    """A reference structure; it must be usable.

    Raises:
        RecordError: if it is missing, disordered or singular.
    """
    if isinstance(structure, Crystal):
        return structure
    if structure is None:
        raise RecordError("the reference structure is missing", record=name)
    try:
        return Crystal.from_pymatgen(structure)
    except RecordError as error:
        raise error.located(record=name) from error


def as_molecule(molecule: Any) -> Molecule | None:
    """A :class:`Molecule`, or ``None`` if the molecule failed."""
    if molecule is None or isinstance(molecule, Molecule):
        return molecule
    try:
        return Molecule.from_rdkit(molecule)
    except RecordError:
        return None


def packed(mol: Mol) -> bytes:
    """An RDKit molecule as bytes that keep its properties and full-precision coordinates.

    RDKit's own pickles round coordinates to single precision, so results would depend on
    whether another process computed them.
    """
    from rdkit import Chem

    keep = Chem.PropertyPickleOptions
    return bytes(mol.ToBinary(int(keep.AllProps) | int(keep.CoordsAsDouble)))


def unpacked(data: bytes) -> Mol:
    """The molecule of :func:`packed`."""
    from rdkit import Chem

    return Chem.Mol(data)  # type: ignore[call-overload]  # the stubs know text only


def checked_ids(ids: Sequence[str] | None, count: int) -> list[str]:
    """The given identifiers, or the indices as text.

    Raises:
        UsageError: if their number differs from ``count``.
    """
    if ids is None:
        return [str(i) for i in range(count)]
    if len(ids) != count:
        raise UsageError(f"{len(ids)} ids for {count} records; give one id per record")
    return [str(i) for i in ids]


def reduced_composition(crystal: Crystal) -> tuple[tuple[str, int], ...]:
    """Sorted (element, count) pairs divided by their greatest common divisor."""
    counts = sorted(crystal.composition.items())
    divisor = reduce(gcd, (n for _, n in counts))
    return tuple((symbol, n // divisor) for symbol, n in counts)
