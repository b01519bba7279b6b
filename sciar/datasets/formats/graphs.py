"""Molecular graphs from SMILES or from bond lists, with RDKit's messages kept.

RDKit reports what is wrong through its logger; here the message becomes a :class:`RecordError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciar.errors import RecordError
from sciar.records import Molecule

if TYPE_CHECKING:
    import numpy as np
    from rdkit.Chem import Mol

_ATOM_FIELDS = {
    "formal_charges": "SetFormalCharge",
    "isotopes": "SetIsotope",
    "radicals": "SetNumRadicalElectrons",
}


def sanitized(mol: Mol, field: str) -> Mol:
    """Sanitize in place; RDKit's complaint becomes a :class:`RecordError`."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except ValueError as error:  # every RDKit sanitization error is one
            raise RecordError(f"RDKit rejects the graph: {error}", field=field) from error
    return mol


def mol_from_smiles(smiles: str, *, keep_hydrogens: bool = False) -> Mol:
    """RDKit molecule of a SMILES string, atoms in the order of the string.

    Raises:
        RecordError: the string is empty, does not parse, or breaks valence rules.
    """
    from rdkit import Chem, rdBase

    if not smiles.strip():
        raise RecordError("the SMILES is empty", field="smiles")
    parameters: Any = Chem.SmilesParserParams()
    parameters.removeHs = False
    parameters.sanitize = False
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles, parameters)
    if mol is None or not mol.GetNumAtoms():
        raise RecordError(f"the SMILES {smiles!r} does not parse; check it", field="smiles")
    sanitized(mol, "smiles")
    with rdBase.BlockLogs():
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
        return mol if keep_hydrogens else Chem.RemoveHs(mol)


def molecule_from_smiles(smiles: str) -> Molecule:
    """Graph-only molecule: heavy atoms in the order of the string, no positions."""
    from rdkit import Chem

    mol = mol_from_smiles(smiles)
    symbols = tuple(atom.GetSymbol() for atom in mol.GetAtoms())
    if "*" in symbols:
        raise RecordError("the SMILES holds a wildcard atom '*'", field="smiles")
    return Molecule(symbols, None, smiles, mol, Chem.GetFormalCharge(mol))


def checked_edges(bonds: list[Any], count: int) -> list[tuple[int, int]]:
    """Atom pairs of a bond list; pairs that are repeated or out of range are a bad record."""
    edges: list[tuple[int, int]] = []
    seen: set[frozenset[int]] = set()
    for bond in bonds:
        try:
            i, j = int(bond[0]), int(bond[1])
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            raise RecordError(f"bond {bond!r} is not [i, j, order]", field="bonds") from error
        if not (0 <= i < count and 0 <= j < count and i != j and {i, j} not in seen):
            raise RecordError(
                f"bond {bond!r} is repeated or names atoms outside 0..{count - 1}", field="bonds"
            )
        seen.add(frozenset((i, j)))
        edges.append((i, j))
    return edges


def mol_from_bonds(
    symbols: tuple[str, ...],
    positions: np.ndarray,
    bonds: list[Any],
    atom_fields: dict[str, list[int]] | None = None,
) -> Mol:
    """RDKit molecule from ``bonds`` [i, j, order]; order 1.5 is aromatic.

    Args:
        symbols: n element symbols.
        positions: (n, 3) angstrom; stereochemistry is taken from them.
        bonds: entries [i, j, order] with order 1, 1.5, 2, 3 or 0 (dative or unknown).
        atom_fields: ``formal_charges``, ``isotopes``, ``radicals``: n integers each.
    """
    from rdkit import Chem

    kinds = {
        0.0: Chem.BondType.ZERO,
        1.0: Chem.BondType.SINGLE,
        1.5: Chem.BondType.AROMATIC,
        2.0: Chem.BondType.DOUBLE,
        3.0: Chem.BondType.TRIPLE,
    }
    mol = Chem.RWMol(Molecule(symbols, positions).to_rdkit())
    for (i, j), bond in zip(checked_edges(bonds, len(symbols)), bonds, strict=True):
        try:
            order = kinds[float(bond[2])]
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise RecordError(f"bond {bond!r} has no known order", field="bonds") from error
        mol.AddBond(i, j, order)
        if order == Chem.BondType.AROMATIC:
            for atom in (i, j):
                mol.GetAtomWithIdx(atom).SetIsAromatic(True)
    _set_atom_fields(mol, atom_fields or {})
    result = sanitized(mol.GetMol(), "bonds")
    Chem.AssignStereochemistryFrom3D(result)
    return result


def _set_atom_fields(mol: Mol, atom_fields: dict[str, list[int]]) -> None:
    for name, values in atom_fields.items():
        if len(values) != mol.GetNumAtoms():
            raise RecordError(f"{mol.GetNumAtoms()} atoms but {len(values)} values", field=name)
        for atom, number in zip(mol.GetAtoms(), values, strict=True):
            getattr(atom, _ATOM_FIELDS[name])(int(number))


def bond_fields(mol: Mol) -> dict[str, Any]:
    """The inverse of :func:`mol_from_bonds`: Kekule ``bonds`` and the non-zero atom fields."""
    from rdkit import Chem

    kekule = Chem.Mol(mol)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    fields: dict[str, Any] = {
        "bonds": [
            [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble()]
            for bond in kekule.GetBonds()
        ]
    }
    for name, setter in _ATOM_FIELDS.items():
        values = [getattr(atom, setter.replace("Set", "Get"))() for atom in kekule.GetAtoms()]
        if any(values):
            fields[name] = values
    return fields
