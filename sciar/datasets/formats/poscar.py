"""POSCAR / CONTCAR / ``*.vasp``: one crystal per file, species line required (VASP 5)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from sciar.datasets.formats.elements import checked_symbols
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.text import decode, open_bytes
from sciar.errors import RecordError
from sciar.records import Crystal, Record


def read(path: Path) -> Iterator[Entry]:
    """The one entry of the file; its id is the comment line if that is a single word."""
    with open_bytes(path) as stream:
        raw = stream.read()
    words = raw.split(b"\n", 1)[0].decode("utf-8", "replace").split()

    def build() -> Built:
        return crystal_from_poscar(decode(raw)), {}

    yield Entry(words[0] if len(words) == 1 else None, build)


def crystal_from_poscar(text: str) -> Crystal:
    """The structure of a POSCAR; malformed text or missing symbols raise :class:`RecordError`."""
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    fields = text.splitlines()
    if len(fields) > 5 and fields[5].split():
        names = [word.split("_")[0].split("/")[0] for word in fields[5].split()]
        if not names[0].lstrip("-").isdigit():
            checked_symbols(names, "species")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", BadPoscarWarning)
        try:
            structure = Poscar.from_str(text, read_velocities=False).structure
        except BadPoscarWarning as error:
            raise RecordError(
                "element symbols missing; add the species line of VASP 5", field="species"
            ) from error
        except Exception as error:  # pymatgen's type depends on where the text is cut
            raise RecordError(
                f"the POSCAR does not parse, it may be truncated ({error})"
            ) from error
    crystal = Crystal.from_pymatgen(structure)
    checked_symbols(crystal.species)
    return crystal


def dump(record: Record) -> str:
    """POSCAR text; atoms keep their order. Properties have no place in this format."""
    from pymatgen.io.vasp.inputs import Poscar

    if not isinstance(record.structure, Crystal):
        raise RecordError("what has no cell, as molecules, cannot be a POSCAR", record=record.id)
    comment = "_".join(record.id.split()) or "structure"
    return str(
        Poscar(record.structure.to_pymatgen(), comment=comment).get_str(significant_figures=10)
    )
