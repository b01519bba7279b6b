"""Read structures from files: ``read`` yields records and failures, ``read_all`` collects them.

A bad record becomes one :class:`RecordFailure` and the reading goes on. Formats are chosen by name,
else by extension (``.gz`` ignored), else by the first lines of the file. Some formats take an
argument: ``calpha:6`` reads C-alpha atoms, those within 6 angstrom of a ligand as its pocket.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from sciar.datasets.formats import (
    arrays,
    cif,
    jsonl,
    poscar,
    protein_points,
    qm9_raw,
    sdf,
    smiles,
    table,
    xyz,
)
from sciar.datasets.formats.entry import Entry, Reader
from sciar.datasets.formats.text import open_bytes
from sciar.errors import RecordError, UsageError
from sciar.records import Record, kind_of

Kind = Literal["crystal", "molecule", "protein"]

_DISTANCES: dict[str, Callable[..., Iterator[Entry]]] = {
    "calpha": protein_points.calpha,
    "heavy-atoms": protein_points.heavy,
}
"""Formats that take a distance in angstrom behind a colon."""

FORMATS: dict[str, Reader] = {
    "jsonl": jsonl.read,
    "unigenx-prediction": jsonl.read_predictions,
    "csv": table.read,
    "cif": cif.read,
    "poscar": poscar.read,
    "xyz": xyz.read,
    "sdf": sdf.read,
    "smiles": smiles.read,
    "npz": arrays.read,
    "qm9-raw": qm9_raw.read,
    **_DISTANCES,
}
_EXTENSIONS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".cif": "cif",
    ".vasp": "poscar", ".poscar": "poscar", ".contcar": "poscar", ".xyz": "xyz", ".extxyz": "xyz",
    ".sdf": "sdf", ".sd": "sdf", ".mol": "sdf", ".smi": "smiles", ".smiles": "smiles",
    ".txt": "smiles", ".npz": "npz",
}  # fmt: skip
_FOLDER_FORMATS = ("cif", "poscar", "xyz", "sdf")
_ASKED_ENDINGS = dict.fromkeys(_DISTANCES, protein_points.ENDINGS)
"""Endings of the files of a folder for formats that no ending means by itself."""


class DuplicateIdWarning(UserWarning):
    """Two records of one source had the same id; the later one got a suffix."""


@dataclass(frozen=True)
class RecordFailure:
    """A record that could not be read.

    Attributes:
        id: identifier as far as known.
        source: file it came from.
        index: position in that source, from 0.
        error: what is wrong, with file and record filled in.
    """

    id: str
    source: str
    index: int
    error: RecordError


def read(
    path: str | Path, *, format: str | None = None, kind: Kind | None = None
) -> Iterator[Record | RecordFailure]:
    """Records and failures of a file or folder, in order, one at a time.

    Args:
        path: file (plain or gzip) or folder of structure files.
        format: one of ``FORMATS``; recognised from name or content if not given. ``calpha`` and
            ``heavy-atoms`` make labelled points of PDB and mmCIF files, with their binding pockets;
            a distance may follow, as in ``calpha:6``.
        kind: ask for crystals or molecules only; the other kind becomes a failure. ``protein``
            reads sequences (:func:`sciar.datasets.proteins.read_proteins`), as do formats and
            extensions that nothing else has (``fasta``, ``pdb``, ``mmcif``, ``parquet``).

    Raises:
        UsageError: no such path, empty file, unknown format; at the call, before any record.
    """
    path = Path(path)
    if _of_proteins(path, format, kind):
        from sciar.datasets.proteins import read_proteins

        return iter(read_proteins(path, format=format))
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; check the path")
    if kind not in (None, "crystal", "molecule"):
        raise UsageError(f"kind is 'crystal', 'molecule' or 'protein', not {kind!r}")
    try:
        sources = _sources(path, format)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _records(path, sources, kind)


_SEQUENCES = (".fasta", ".fa", ".faa", ".fas", ".fsa", ".pdb", ".ent", ".mmcif", ".parquet")


def _of_proteins(path: Path, format: str | None, kind: str | None) -> bool:
    if kind is not None or format is not None:
        return kind == "protein" or (
            kind is None and format in ("fasta", "pdb", "mmcif", "parquet")
        )
    return path.is_file() and path.name.lower().removesuffix(".gz").endswith(_SEQUENCES)


def read_all(
    path: str | Path, *, format: str | None = None, kind: Kind | None = None, strict: bool = False
) -> tuple[list[Record], list[RecordFailure]]:
    """All of :func:`read` at once: (records, failures).

    Raises:
        RecordError: ``strict`` and a record is bad (the first one).
        UsageError: as for :func:`read`, or the file holds no record at all.
    """
    records: list[Record] = []
    failures: list[RecordFailure] = []
    for item in read(path, format=format, kind=kind):
        if isinstance(item, Record):
            records.append(item)
        elif strict:
            raise item.error
        else:
            failures.append(item)
    if not records and not failures:
        raise UsageError(f"{path}: the file holds no records")
    return records, failures


def recognise(path: Path) -> str:
    """Name of the format of a file, by extension, else by content.

    Raises:
        UsageError: the file is empty or the format unknown.
    """
    if path.stat().st_size == 0:
        raise UsageError(f"{path}: the file is empty")
    name = path.name.lower().removesuffix(".gz")
    if name.startswith(("poscar", "contcar")):
        return "poscar"
    found = _EXTENSIONS.get(Path(name).suffix) or _sniff(path)
    if found is None:
        raise UsageError(
            f"{path}: unknown format; give format= one of {', '.join(FORMATS)}, "
            f"or use an extension such as {', '.join(list(_EXTENSIONS)[:8])}"
        )
    return found


def _sniff(path: Path) -> str | None:
    with open_bytes(path) as stream:
        try:
            head = stream.read(65536)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    first = head.lstrip().split(b"\n", 1)[0].strip()
    if first.startswith(b"{"):
        return "jsonl"
    if head.lstrip().lower().startswith(b"data_") or b"\ndata_" in head:
        return "cif"
    if b"M  END" in head:
        return "sdf"
    return "xyz" if first.isdigit() else None


def _sources(path: Path, format: str | None) -> list[tuple[Path, Reader]]:
    wished = None if format is None else _reader(format)
    if not path.is_dir():
        reader = wished or FORMATS[recognise(path)]
        refuse_empty(path)
        return [(path, reader)]
    if format == "qm9-raw" or (format is None and (path / "gdb9.sdf").exists()):
        if not (path / "gdb9.sdf.csv").exists():
            raise UsageError(f"{path}: gdb9.sdf.csv is missing beside gdb9.sdf")
        return [(path, qm9_raw.read)]
    inside = sorted(p for p in path.iterdir() if p.is_file())
    endings = _ASKED_ENDINGS.get(format.partition(":")[0], ()) if format else ()
    wanted: tuple[str, ...] = endings or ((format,) if format else _FOLDER_FORMATS)
    if wished and endings:
        files = [p for p in inside if p.name.lower().removesuffix(".gz").endswith(endings)]
        sources = [(file, wished) for file in files]
    else:
        names = [(p, name) for p in inside if (name := _by_name(p)) in wanted]
        sources = [(file, FORMATS[name]) for file, name in names if name]
    if not sources:
        raise UsageError(f"{path}: no structure files in this folder ({', '.join(wanted)})")
    return sources


def _reader(format: str) -> Reader:
    """Of a format by name, with its argument if it has one."""
    name, colon, argument = format.partition(":")
    if name not in FORMATS or (colon and name not in _DISTANCES):
        raise UsageError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if not colon:
        return FORMATS[name]
    try:
        distance = float(argument)
    except ValueError:
        distance = -1.0
    if not 0 < distance < 100:
        raise UsageError(f"format {format!r}: {argument!r} is no distance in angstrom")
    return partial(_DISTANCES[name], distance=distance)


def refuse_empty(path: Path) -> None:
    """Raise :class:`UsageError` for an empty file or a damaged gzip header."""
    with open_bytes(path) as stream:
        try:
            if not stream.read(1):
                raise UsageError(f"{path}: the file is empty")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UsageError(f"{path}: the gzip file is damaged ({error})") from error


def _by_name(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    if name.startswith(("poscar", "contcar")):
        return "poscar"
    return _EXTENSIONS.get(Path(name).suffix)


def _records(
    path: Path, sources: list[tuple[Path, Reader]], kind: Kind | None
) -> Iterator[Record | RecordFailure]:
    names = UniqueNames(str(path))
    index = 0
    for file, reader in sources:
        stem = stem_of(file)
        for position, entry in enumerate(entries_of(file, reader)):
            made = stem if len(sources) > 1 and position == 0 else f"{stem}_{position}"
            yield _record(entry, names.claim(entry.id or made), str(file), index, kind)
            index += 1


def stem_of(path: Path) -> str:
    """Name of a file without its extensions, for records that have no id of their own."""
    name = path.name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix else name


def entries_of(file: Path, reader: Reader) -> Iterator[Entry]:
    """The reader's entries; damage in the middle of the file ends them with one failure."""
    try:
        if file.is_file() and file.stat().st_size == 0:
            yield Entry.failed(RecordError("the file is empty"))
            return
        yield from reader(file)
    except (EOFError, zlib.error, OSError) as error:
        yield Entry.failed(RecordError(f"the file is damaged or truncated here ({error})"))


def _record(
    entry: Entry, id: str, source: str, index: int, kind: Kind | None
) -> Record | RecordFailure:
    try:
        structure, properties = entry.build()
        found = kind_of(structure).removesuffix("s")
        if kind is not None and found != kind:
            raise RecordError(f"expected a {kind}, found a {found}")
    except RecordError as error:
        return RecordFailure(id, source, index, error.located(source=source, record=id))
    return Record(id, structure, properties, source, index)


class UniqueNames:
    """Hands out each id once: the second ``x`` becomes ``x-2``; the first clash warns."""

    def __init__(self, source: str) -> None:
        self._source, self._seen = source, set[str]()
        self._next: dict[str, int] = {}

    def claim(self, name: str) -> str:
        """The name, or the name with a number if it was given out before."""
        if name not in self._seen:
            self._seen.add(name)
            return name
        if not self._next:
            warnings.warn(
                f"{self._source}: the id {name!r} occurs more than once; repeated ids get a "
                "suffix such as -2",
                DuplicateIdWarning,
                stacklevel=3,
            )
        number = self._next.get(name, 2)
        while f"{name}-{number}" in self._seen:
            number += 1
        self._next[name] = number + 1
        return self.claim(f"{name}-{number}")
