"""XYZ and extended XYZ, any number of frames.

The format is framed here, so that one bad frame costs one record, and extended frames are parsed by
ASE. Three periodic directions make a crystal, none a molecule; two or one is refused. Everything is
written as extended XYZ (https://github.com/libAtoms/extxyz), which plain XYZ readers accept, with
8 decimals.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from sciar.datasets.formats.elements import checked_symbols, symbols_of
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.text import decode, lines, plain, value
from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Protein, Record, no_atoms

if TYPE_CHECKING:
    from ase import Atoms

_ID_KEYS = ("id", "material_id", "name")


def read(path: Path) -> Iterator[Entry]:
    """One entry per frame. After a broken atom count no later frame can be found."""
    stream = lines(path)
    for raw in stream:
        if not raw.strip():
            continue
        try:
            count = int(raw)
        except ValueError:
            shown = raw[:40].decode("utf-8", "replace").strip()
            yield Entry.failed(RecordError(f"expected a number of atoms, got {shown!r}"))
            return
        frame = [line for _, line in zip(range(max(count, 0) + 1), stream, strict=False)]
        yield _entry(count, frame)


def _entry(count: int, frame: list[bytes]) -> Entry:
    try:
        text = [decode(line).rstrip("\r\n") for line in frame]
        if count < 1:
            raise RecordError(f"{count} is not a number of atoms")
        if len(text) != count + 1 or not all(line.strip() for line in text[1:]):
            raise RecordError(
                f"{count} atoms announced, {sum(bool(t.strip()) for t in text[1:])} given "
                "(truncated?)",
                field="positions",
            )
    except RecordError as error:
        return Entry.failed(error)
    comment = text[0]
    if "Properties=" not in comment and "Lattice=" not in comment:
        words = comment.split()
        identifier = words[0] if len(words) == 1 and "=" not in comment else None
        return Entry(identifier, partial(_plain, text))
    from ase.io.extxyz import key_val_str_to_dict

    try:
        info = key_val_str_to_dict(comment)
    except Exception as error:  # ASE's type depends on what is wrong
        return Entry.failed(RecordError(f"the comment line is malformed: {error}"))
    found = next((str(info[key]) for key in _ID_KEYS if key in info), None)
    return Entry(found, partial(_extended, text))


def _plain(text: list[str]) -> Built:
    rows = [line.split() for line in text[1:]]
    names = [row[0] for row in rows]
    numbers = all(name.isdigit() for name in names)
    symbols = symbols_of(names, "symbols") if numbers else checked_symbols(names, "symbols")
    try:
        positions = np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(-1, 3)
    except ValueError as error:
        raise RecordError(
            f"coordinates missing or malformed: {error}", field="positions"
        ) from error
    words = text[0].split()
    comment = {"comment": text[0]} if len(words) > 1 else {}
    return Molecule(symbols, positions), dict(comment)


def _extended(text: list[str]) -> Built:
    from ase.io.extxyz import read_xyz

    frame = "\n".join([str(len(text) - 1), *text]) + "\n"
    try:
        atoms: Atoms = next(iter(read_xyz(io.StringIO(frame), index=0)))
    except KeyError as error:
        raise RecordError(f"unknown element {error}", field="symbols") from error
    except Exception as error:  # ASE's type depends on what is wrong
        raise RecordError(f"the frame does not parse: {error}") from error
    return _structure(atoms), _properties(atoms)


def _structure(atoms: Atoms) -> Crystal | Molecule:
    symbols = checked_symbols(atoms.get_chemical_symbols(), "symbols")
    positions = atoms.get_positions()
    if not np.isfinite(positions).all():
        raise RecordError("the coordinates hold NaN or infinite numbers", field="positions")
    if not atoms.pbc.any():
        smiles = atoms.info.get("smiles")
        charge = int(atoms.info.get("charge", 0))
        return Molecule(symbols, positions, None if smiles is None else str(smiles), charge=charge)
    if not atoms.pbc.all():
        raise RecordError(
            'periodic in some directions only; set pbc="T T T" or "F F F"', field="pbc"
        )
    lattice = np.asarray(atoms.cell)
    crystal_check = Crystal(lattice, symbols, np.zeros((len(symbols), 3)))
    return Crystal(lattice, symbols, np.linalg.solve(crystal_check.lattice.T, positions.T).T)


def _properties(atoms: Atoms) -> dict[str, Any]:
    skipped = {*_ID_KEYS, "smiles", "charge"}
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    scalars = {key: item for key, item in results.items() if np.ndim(item) == 0}
    found = {key: item for key, item in atoms.info.items() if key not in skipped}
    return {key: plain(item) for key, item in {**scalars, **found}.items()}


def dump(record: Record) -> str:
    """One frame, line end included."""
    structure = record.structure
    header: dict[str, Any] = {"id": record.id}
    match structure:
        case Crystal():
            cell = " ".join(f"{x:.10f}" for x in structure.lattice.ravel())
            positions, periodic = structure.frac @ structure.lattice, "T T T"
            symbols, prefix = structure.species, f'Lattice="{cell}" '
        case Molecule():
            if structure.positions is None:
                raise RecordError("the molecule has no coordinates", record=record.id)
            positions, periodic, prefix = structure.positions, "F F F", ""
            symbols = structure.symbols
            header |= {"smiles": structure.smiles} if structure.smiles else {}
            header |= {"charge": structure.charge} if structure.charge else {}
        case Protein():
            raise no_atoms().located(record=record.id)
        case _:
            assert_never(structure)
    header |= {k: item for k, item in plain(record.properties).items() if k not in header}
    info = " ".join(f"{_key(k)}={_info(item)}" for k, item in header.items() if item is not None)
    rows = (
        f"{symbol:<2} {x:16.8f} {y:16.8f} {z:16.8f}"
        for symbol, (x, y, z) in zip(symbols, positions, strict=True)
    )
    comment = f'{prefix}Properties=species:S:1:pos:R:3 {info} pbc="{periodic}"'
    return "\n".join([str(len(symbols)), comment, *rows]) + "\n"


def _key(key: str) -> str:
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in key)


def _info(item: Any) -> str:
    if isinstance(item, bool):
        return "T" if item else "F"
    if isinstance(item, int | float):
        return repr(item)
    if not isinstance(item, str):
        item = json.dumps(item)
    text = " ".join(item.split())
    # Anything ASE would turn into a number, an array or a truth value is marked as JSON text.
    safe = text and not isinstance(value(text), int | float) and text not in ("T", "F")
    if safe and all(c.isalnum() or c in "_-+.()[]=#@/%:" for c in text) and text[0].isalpha():
        return text if not set(text) & set("=[]()") else f'"{text}"'
    return '"_JSON ' + json.dumps(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
