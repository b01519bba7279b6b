"""JSON lines: SciAR's shared layout and UniGenX's, for crystals and molecules.

Shared crystal: ``id, formula, natoms, lattice, species, frac, props``; shared molecule: ``id,
natoms, z, pos, smiles, props`` and optionally ``charge, bonds, formal_charges, isotopes,
radicals``; ``id, smiles`` alone is a graph without coordinates. UniGenX crystal: ``id, lattice,
sites: [{element, fractional_coordinates}]``; molecule: ``id, smi, pos, num``. UniGenX's generated
``prediction`` objects are read in place of the input by :func:`read_predictions`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from sciar.datasets.formats.elements import checked_symbols, number_of, symbols_of
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.graphs import (
    bond_fields,
    checked_edges,
    mol_from_bonds,
    mol_from_smiles,
    molecule_from_smiles,
)
from sciar.datasets.formats.text import array, decode, lines, plain
from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Protein, Record

_STRUCTURAL = frozenset(
    ("id", "formula", "natoms", "lattice", "species", "frac", "props", "z", "pos", "smiles")
    + ("charge", "bonds", "formal_charges", "isotopes", "radicals")
    + ("sites", "smi", "num", "prediction")
)


def read(path: Path) -> Iterator[Entry]:
    """Entries of a JSON-lines file; the layout is recognised record by record."""
    return _entries(path, _build)


def read_predictions(path: Path) -> Iterator[Entry]:
    """Entries of a UniGenX output file: the generated structure instead of the input."""
    return _entries(path, _build_prediction)


def _entries(path: Path, build: Callable[[dict[str, Any]], Built]) -> Iterator[Entry]:
    for raw in lines(path):
        if not raw.strip():
            continue
        try:
            row = json.loads(decode(raw))
            if not isinstance(row, dict):
                raise RecordError(f"expected a JSON object, got {type(row).__name__}")
        except RecordError as error:
            yield Entry.failed(error)
        except json.JSONDecodeError as error:
            yield Entry.failed(RecordError(f"the line is not JSON ({error}); is it truncated?"))
        else:
            identifier = row.get("id")
            made = partial(_guarded, build, row)
            yield Entry(None if identifier is None else str(identifier), made)


def _guarded(build: Callable[[dict[str, Any]], Built], row: dict[str, Any]) -> Built:
    """JSON may hold anything anywhere: a value of the wrong type is a bad record too."""
    try:
        return build(row)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RecordError(f"a field has the wrong type: {error}") from error


def _build(row: dict[str, Any]) -> Built:
    if "sites" in row:
        species, frac = _sites(row)
        return _crystal(row, row.get("lattice"), species, frac), _properties(row)
    if "lattice" in row or "frac" in row:
        return _crystal(row, _need(row, "lattice"), _need(row, "species"), _need(row, "frac")), (
            _properties(row)
        )
    if "smi" in row:
        return _unigenx_molecule(row, _need(row, "pos")), _properties(row)
    if "z" in row or "pos" in row:
        return _molecule(row), _properties(row)
    if row.get("smiles") is not None:
        return molecule_from_smiles(str(row["smiles"])), _properties(row)
    raise RecordError(
        "coordinates missing: expected lattice/species/frac, lattice/sites, z/pos, smi/pos "
        "or smiles"
    )


def _build_prediction(row: dict[str, Any]) -> Built:
    prediction = row.get("prediction")
    if not isinstance(prediction, dict):
        raise RecordError("the record has no prediction object", field="prediction")
    coordinates = _need(prediction, "coordinates")
    if "sites" in row:
        species, _ = _sites(row)
        return _crystal(row, _need(prediction, "lattice"), species, coordinates), _properties(row)
    return _unigenx_molecule(row, coordinates), _properties(row)


def _need(row: dict[str, Any], field: str) -> Any:
    if row.get(field) is None:
        raise RecordError("the field is missing", field=field)
    return row[field]


def _sites(row: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    try:
        return (
            [site["element"] for site in row["sites"]],
            [site["fractional_coordinates"] for site in row["sites"]],
        )
    except (KeyError, TypeError) as error:
        raise RecordError(
            "each site needs element and fractional_coordinates", field="sites"
        ) from error


def _crystal(row: dict[str, Any], lattice: Any, species: Any, frac: Any) -> Crystal:
    symbols = checked_symbols(species)
    if not symbols:
        raise RecordError("the structure has no atoms", field="species")
    _check_count(row, len(symbols))
    return Crystal(array(lattice, (3, 3), "lattice"), symbols, _rows(frac, len(symbols), "frac"))


def _rows(items: Any, count: int, field: str) -> np.ndarray:
    if hasattr(items, "__len__") and len(items) != count:
        raise RecordError(f"{count} atoms but {len(items)} coordinates", field=field)
    return array(items, (count, 3), field)


def _check_count(row: dict[str, Any], count: int) -> None:
    declared = row.get("natoms", row.get("num"))
    if isinstance(declared, int) and declared != count:
        raise RecordError(f"{declared} atoms announced but {count} given", field="natoms")


def _molecule(row: dict[str, Any]) -> Molecule:
    symbols = symbols_of(_need(row, "z"))
    _check_count(row, len(symbols))
    positions = _rows(_need(row, "pos"), len(symbols), "pos")
    if not np.isfinite(positions).all():
        raise RecordError("the coordinates hold NaN or infinite numbers", field="pos")
    smiles = row.get("smiles")
    mol = _graph(row, symbols, positions) if row.get("bonds") is not None else None
    return Molecule(symbols, positions, smiles, mol, int(row.get("charge") or 0))


def _graph(row: dict[str, Any], symbols: tuple[str, ...], positions: np.ndarray) -> Any:
    fields = {
        name: row[name] for name in ("formal_charges", "isotopes", "radicals") if row.get(name)
    }
    if not fields and row.get("smiles"):
        # A bond list without atom charges is ambiguous; the SMILES says where they sit.
        from sciar.datasets.molecule_graph import match_template

        edges = checked_edges(row["bonds"], len(symbols))
        matched = match_template(symbols, positions, edges, str(row["smiles"]))
        if matched is not None:
            return matched
    return mol_from_bonds(symbols, positions, row["bonds"], fields)


def _unigenx_molecule(row: dict[str, Any], pos: Any) -> Molecule:
    from rdkit import Chem

    smiles = str(_need(row, "smi"))
    heavy = mol_from_smiles(smiles)
    candidates = [heavy, mol_from_smiles(smiles, keep_hydrogens=True), Chem.AddHs(heavy)]
    mol = next((mol for mol in candidates if mol.GetNumAtoms() == len(pos)), None)
    if mol is None:
        raise RecordError(
            f"{len(pos)} coordinates fit neither the {heavy.GetNumAtoms()} heavy atoms of the "
            f"SMILES nor its {candidates[2].GetNumAtoms()} atoms with hydrogens",
            field="pos",
        )
    symbols = checked_symbols((atom.GetSymbol() for atom in mol.GetAtoms()), "smi")
    _check_count(row, len(symbols))
    positions = _rows(pos, len(symbols), "pos")
    return Molecule(symbols, positions, smiles, mol, Chem.GetFormalCharge(mol))


def _properties(row: dict[str, Any]) -> dict[str, Any]:
    properties = dict(row.get("props") or {})
    extra = {key: entry for key, entry in row.items() if key not in _STRUCTURAL}
    return {**extra, **properties}


def dump(record: Record) -> str:
    """One line in the shared layout, without the line end."""
    structure = record.structure
    row: dict[str, Any] = {"id": record.id}
    match structure:
        case Crystal():
            row |= _crystal_fields(structure)
        case Molecule():
            row |= _molecule_fields(structure)
        case Protein():
            row |= {"sequence": structure.sequence}
            row |= {"partner": structure.partner} if structure.partner else {}
            # Readers of proteins take every other entry of the line for a label.
            row |= {k: v for k, v in plain(record.properties).items() if k not in row}
            return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        case _:
            assert_never(structure)
    if record.properties:
        row["props"] = plain(record.properties)
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _crystal_fields(crystal: Crystal) -> dict[str, Any]:
    return {
        "formula": "".join(
            f"{symbol}{count if count > 1 else ''}"
            for symbol, count in sorted(crystal.composition.items())
        ),
        "natoms": len(crystal),
        "lattice": crystal.lattice.tolist(),
        "species": list(crystal.species),
        "frac": crystal.frac.tolist(),
    }


def _molecule_fields(molecule: Molecule) -> dict[str, Any]:
    from rdkit import Chem

    smiles = molecule.smiles
    if smiles is None and molecule.mol is not None:
        smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule.mol))
    if molecule.positions is None:
        if smiles is None:
            raise RecordError("the molecule has neither coordinates nor a graph", field="smiles")
        return {"smiles": smiles}
    fields: dict[str, Any] = {
        "natoms": len(molecule),
        "z": [number_of(symbol) for symbol in molecule.symbols],
        "pos": molecule.positions.tolist(),
        "smiles": smiles,
        "charge": molecule.charge,
    }
    return fields if molecule.mol is None else fields | bond_fields(molecule.mol)
