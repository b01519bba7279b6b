"""CIF: files of one or more ``data_`` blocks, folders of them, and the ``cif`` column of tables.

Parsed and written by pymatgen; blocks without symmetry are built in ``cif_p1``. A check of our own:
a block whose atoms do not add up to its declared formula is reported as truncated. Written blocks
are P 1, keep the order of the atoms, hold the id as ``_sciar_id`` and the properties as
``_sciar_*`` items; orientation is lost, as CIF has cell lengths and angles only (IUCr core
dictionary 2.4).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sciar.datasets.formats.cif_p1 import crystal_of_block
from sciar.datasets.formats.elements import checked_symbols
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.text import decode, open_bytes, plain, value
from sciar.errors import RecordError
from sciar.records import Crystal, Record

_BLOCK = re.compile(rb"^(?=data_)", re.IGNORECASE | re.MULTILINE)
_OWN = "_sciar_"


def read(path: Path) -> Iterator[Entry]:
    """One entry per ``data_`` block that holds atoms or a cell."""
    with open_bytes(path) as stream:
        pieces = _BLOCK.split(stream.read())
    blocks = [piece for piece in pieces if piece[:5].lower() == b"data_"]
    if not blocks:
        yield Entry.failed(RecordError("no data_ block; is this a CIF file?"))
        return
    structural = [block for block in blocks if b"_cell_length_a" in block or b"_atom_" in block]
    for block in structural or blocks:
        name = block[5:].split(None, 1)[0].decode("utf-8", "replace") if block[5:].strip() else ""
        yield Entry(_own_id(block) or name or None, partial(_build, block))


def _own_id(block: bytes) -> str | None:
    found = re.search(rb"^_sciar_id[ \t]+(.+)$", block, re.MULTILINE)
    return _unquote(found.group(1).decode("utf-8", "replace").strip()) if found else None


def _unquote(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _build(block: bytes) -> Built:
    text = decode(block)
    return crystal_from_cif(text), _own_properties(text)


def _own_properties(text: str) -> dict[str, Any]:
    found = re.findall(rf"^{_OWN}(\S+)[ \t]+(.+)$", text, re.MULTILINE)
    items = {name: item.strip() for name, item in found if name != "id"}
    return {
        name: value(item) if item == _unquote(item) else _unquote(item)
        for name, item in items.items()
    }


def crystal_from_cif(text: str) -> Crystal:
    """The structure of one CIF block, symmetry expanded, cell as given.

    Raises:
        RecordError: truncated or malformed, partial occupancy, unknown element, no coordinates.
    """
    if "_atom_site_" not in text:
        raise RecordError("coordinates missing: no atom sites (truncated?)", field="cif")
    crystal = _parsed(text)
    checked_symbols(crystal.species, "cif")
    _check_formula(text, crystal)
    return crystal


def _parsed(text: str) -> Crystal:
    from pymatgen.io.cif import CifFile, CifParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            blocks = list(CifFile.from_str(text).data.values())
            crystal = crystal_of_block(blocks[0].data)
            if crystal is not None:
                return crystal
            parser = CifParser.from_str(text, check_cif=False)
            structures = parser.parse_structures(primitive=False, on_error="raise")
        except RecordError:
            raise
        except Exception as error:  # pymatgen's type depends on where the text is cut
            raise RecordError(_reason(error, caught), field="cif") from error
    if not structures:
        raise RecordError("the block holds no structure (truncated?)", field="cif")
    structure = structures[0]
    if not structure.is_ordered:
        raise RecordError(
            "partial occupancy; use an ordered approximation of the structure", field="cif"
        )
    return Crystal.from_pymatgen(structure)


def _reason(error: Exception, caught: list[warnings.WarningMessage]) -> str:
    hint = next((str(w.message) for w in caught if "occupanc" in str(w.message).lower()), "")
    if hint:
        return f"partial occupancy or overlapping sites: {hint}"
    detail = str(error) or type(error).__name__
    return f"the CIF does not parse, it may be truncated ({detail.splitlines()[0][:200]})"


def _check_formula(text: str, crystal: Crystal) -> None:
    """Compare with ``_chemical_formula_sum`` times Z; hydrogens may be missing in experiments."""
    found = re.search(r"^_chemical_formula_sum[ \t]+(.+)$", text, re.MULTILINE)
    formula = _unquote(found.group(1).strip()) if found else ""
    parts = re.findall(r"([A-Z][a-z]?)(\d*)(?![\d.a-z])", formula)
    if not parts or re.search(r"\d\.\d|\?", formula):
        return
    declared = {symbol: int(count or 1) for symbol, count in parts if symbol not in ("H", "D")}
    actual = {s: n for s, n in crystal.composition.items() if s not in ("H", "D")}
    units = re.search(r"^_cell_formula_units_Z[ \t]+(\d+)", text, re.MULTILINE)
    ratios = {actual.get(symbol, 0) / count for symbol, count in declared.items() if count}
    wrong = set(actual) != set(declared) or len(ratios) > 1
    # The dictionary counts the sum per formula unit (times Z), pymatgen writes that of the cell.
    if wrong or (units and ratios and not ratios <= {1.0, float(units.group(1))}):
        raise RecordError(
            f"the atoms add up to {dict(crystal.composition)} but the formula says {formula!r}"
            f"{' x ' + units.group(1) if units else ''}; the atom list may be truncated",
            field="cif",
        )


def dump(record: Record) -> str:
    """One ``data_`` block, line end included; only crystals have one."""
    from pymatgen.io.cif import CifWriter

    if not isinstance(record.structure, Crystal):
        raise RecordError("what has no cell, as a molecule, is no CIF", record=record.id)
    body = str(CifWriter(record.structure.to_pymatgen(), significant_figures=10))
    cell = body[body.index("\n", body.index("data_")) + 1 :].rstrip("\n")
    own = {"id": record.id, **record.properties}
    items = [f"{_OWN}{_name(key)}   {_quote(plain(item))}" for key, item in own.items()]
    return "\n".join([f"data_{block_name(record.id)}", *items, cell]) + "\n"


def block_name(id: str) -> str:
    """``id`` as a CIF block name: printable ASCII without blanks, at most 75 characters."""
    return re.sub(r"[^\x21-\x7e]", "_", id)[:75] or "structure"


def _name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", key)


def _quote(item: Any) -> str:
    if isinstance(item, int | float) and not isinstance(item, bool):
        return repr(item)
    text = " ".join(str(item).split())
    return f'"{text}"' if "'" in text and '"' not in text else "'" + text.replace("'", "’") + "'"
