"""SDF (MDL V2000 and V3000), any number of records, read and written by RDKit.

Records are cut at ``$$$$`` here, so that a malformed one costs one record. Data items become
properties; ``id`` is the title line. A graph that breaks valence rules is an error, unless
``lenient``: then the coordinates are kept and the graph is left to be perceived.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciar.datasets.formats.elements import checked_symbols
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.graphs import sanitized
from sciar.datasets.formats.text import decode, lines, plain, value
from sciar.errors import RecordError
from sciar.records import Molecule, Record

if TYPE_CHECKING:
    from rdkit.Chem import Mol

_ITEM = re.compile(r"^>[^\n]*<([^>\n]+)>[^\n]*\n(.*?)(?:\n\n|\n?\Z)", re.MULTILINE | re.DOTALL)
_OWN = ("smiles", "charge")


def read(path: Path, *, lenient: bool = False) -> Iterator[Entry]:
    """One entry per record; see the module for ``lenient``."""
    for raw in _blocks(path):
        title = raw.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        yield Entry(title or None, partial(_build, raw, lenient))


def _blocks(path: Path) -> Iterator[bytes]:
    block: list[bytes] = []
    for line in lines(path):
        line = line.rstrip(b"\r\n") + b"\n"
        if line.startswith(b"$$$$"):
            yield b"".join(block)
            block = []
        else:
            block.append(line)
    if any(line.strip() for line in block):
        yield b"".join(block)


def _build(raw: bytes, lenient: bool) -> Built:
    text = decode(raw)
    head, end, tail = text.partition("M  END")
    mol = _mol(head + end, lenient)
    properties = {name: value(item) for name, item in _ITEM.findall(tail)}
    smiles = properties.pop("smiles", None)
    molecule = _molecule(mol, None if smiles is None else str(smiles))
    return molecule, {k: item for k, item in properties.items() if k != "charge"}


def _mol(block: str, lenient: bool) -> Mol:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
    if mol is None or "M  END" not in block:
        raise RecordError("the mol block does not parse, it may be truncated", field="molblock")
    if not mol.GetNumAtoms():
        raise RecordError("the molecule has no atoms", field="molblock")
    checked_symbols((atom.GetSymbol() for atom in mol.GetAtoms()), "molblock")
    try:
        sanitized(mol, "molblock")
    except RecordError:
        if not lenient:
            raise
        mol.SetBoolProp("_graph_rejected", True)
        return mol
    with rdBase.BlockLogs():
        if mol.GetNumConformers() and mol.GetConformer().Is3D():
            Chem.AssignStereochemistryFrom3D(mol)
        else:
            Chem.AssignChiralTypesFromBondDirs(mol)
            Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol


def _molecule(mol: Mol, smiles: str | None) -> Molecule:
    positions = mol.GetConformer().GetPositions() if mol.GetNumConformers() else None
    if positions is not None and not np.isfinite(positions).all():
        raise RecordError("the coordinates hold NaN or infinite numbers", field="positions")
    depiction = positions is not None and not mol.GetConformer().Is3D()
    if depiction or (positions is not None and len(positions) > 1 and not positions.any()):
        positions = None
    if mol.HasProp("_graph_rejected"):
        if positions is None:
            raise RecordError("neither a valid graph nor 3D coordinates", field="molblock")
        return Molecule(tuple(a.GetSymbol() for a in mol.GetAtoms()), positions, smiles)
    if positions is None:
        mol.RemoveAllConformers()
    return Molecule.from_rdkit(mol, smiles)


def dump(record: Record) -> str:
    """One record with its data items, ``$$$$`` and line end included."""
    from rdkit import Chem

    molecule = record.structure
    if not isinstance(molecule, Molecule):
        raise RecordError(
            "only molecules can be written as SDF; use CIF for crystals", record=record.id
        )
    mol = molecule.to_rdkit()
    mol.SetProp("_Name", " ".join(record.id.split()))
    if molecule.mol is None:
        for atom in mol.GetAtoms():
            atom.SetNoImplicit(True)
    # V2000 has three digits for the number of atoms, and ten characters for a coordinate.
    wide = molecule.positions is not None and np.abs(molecule.positions).max() > 9999.0
    block = Chem.MolToMolBlock(mol, forceV3000=bool(wide) or mol.GetNumAtoms() > 999)
    items = {**({"smiles": molecule.smiles} if molecule.smiles else {}), **record.properties}
    data = [f">  <{_tag(k)}>\n{_text(i)}\n" for k, i in plain(items).items() if i is not None]
    return block + "\n".join(data) + ("\n" if data else "") + "$$$$\n"


def _tag(name: str) -> str:
    return re.sub(r"[<>\s]", "_", name)


def _text(item: Any) -> str:
    """One line that cannot be taken for a record's end or an item's head."""
    text = " ".join(str(item).split())
    return f" {text}" if text.startswith((">", "$$$$")) else text
