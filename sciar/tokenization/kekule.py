"""Molecule graphs -> Kekule SMILES without stereo, with the order in which it lists the atoms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from sciar.errors import RecordError

if TYPE_CHECKING:
    from rdkit.Chem import Atom, Mol

_SOURCE = "_sciar_index"


def atoms_of(mol: Mol) -> list[Atom]:
    """The atoms of a molecule; RDKit's own sequence takes its length anew at every step."""
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def heavy_graph(mol: Mol) -> tuple[Mol, list[int]]:
    """The graph without hydrogens and stereo, and the index of each of its atoms in ``mol``.

    Raises:
        RecordError: isotopes, radicals, several fragments, or no heavy atom.
    """
    from rdkit import Chem, rdBase

    mol = Chem.Mol(mol)
    for atom in atoms_of(mol):
        if atom.GetIsotope():
            raise RecordError(
                f"atom {atom.GetIdx()} is an isotope; this tokenizer has no isotopes", field="mol"
            )
        atom.SetAtomMapNum(0)
        atom.SetIntProp(_SOURCE, atom.GetIdx())
    with rdBase.BlockLogs():
        heavy = Chem.RemoveAllHs(mol)
    Chem.RemoveStereochemistry(heavy)
    if not heavy.GetNumAtoms() or any(a.GetAtomicNum() < 2 for a in atoms_of(heavy)):
        raise RecordError("the molecule has no heavy atom", field="mol")
    if any(a.GetNumRadicalElectrons() for a in atoms_of(heavy)):
        raise RecordError("the molecule has unpaired electrons", field="mol")
    if len(Chem.GetMolFrags(heavy)) > 1:
        raise RecordError(
            "the molecule has several fragments; give one molecule at a time", field="mol"
        )
    return heavy, [a.GetIntProp(_SOURCE) for a in atoms_of(heavy)]


def kekule_smiles(heavy: Mol, augment: np.random.Generator | None = None) -> tuple[str, list[int]]:
    """Kekule SMILES of a graph without hydrogens and stereo, and the order of its atoms.

    Without ``augment`` it is canonical: a pure function of the graph, whatever the order of the
    atoms (the Kekule form is chosen on the parsed canonical SMILES). With it, the atoms are
    numbered at random and written in the order of a depth-first walk by these numbers.

    Returns:
        SMILES, and for each atom of the SMILES its index in ``heavy``.
    """
    from rdkit import Chem

    if augment is None:
        canonical = Chem.MolToSmiles(heavy, isomericSmiles=False)
        order = _output_order(heavy)
        mol = Chem.MolFromSmiles(canonical)
        if mol is None:
            raise RecordError(f"RDKit cannot read its own SMILES {canonical!r} again", field="mol")
    else:
        order = augment.permutation(heavy.GetNumAtoms()).tolist()
        mol = Chem.RenumberAtoms(heavy, order)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    smiles = Chem.MolToSmiles(
        mol, isomericSmiles=False, kekuleSmiles=True, canonical=augment is None
    )
    return smiles, [order[i] for i in _output_order(mol)]


def parse(smiles: str) -> Mol:
    """Sanitised graph of a SMILES, with stereo, without hydrogens.

    Raises:
        RecordError: RDKit refuses it; the message names the SMILES and RDKit's reason.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None:
            raise RecordError(f"{smiles!r} is no SMILES that RDKit can read", field="smiles")
        problems = Chem.DetectChemistryProblems(mol)
        if problems:
            reason = problems[0].Message().splitlines()[0]
            raise RecordError(f"{smiles!r} is chemically impossible: {reason}", field="smiles")
        parsed = Chem.MolFromSmiles(smiles)
    if parsed is None or not parsed.GetNumAtoms():
        raise RecordError(f"{smiles!r} is no molecule that RDKit accepts", field="smiles")
    return parsed


def _output_order(mol: Mol) -> list[int]:
    """Order of the atoms in the SMILES that was just written."""
    text = mol.GetProp("_smilesAtomOutputOrder")
    return json.loads(text.replace(",]", "]"))
