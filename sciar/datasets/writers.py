"""Write records to files: ``write`` for a batch, ``open_writer`` for one record at a time.

Files are written under a temporary name and renamed when complete. If the work is interrupted
(exception, Ctrl-C) the finished records are kept: the file is closed and renamed. If the file
itself cannot be written (no space, no permission) nothing is left behind and a UsageError names it.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

from sciar.datasets.formats import cif, fasta, jsonl, poscar, sdf, smiles, table, xyz
from sciar.errors import RecordError, UsageError
from sciar.records import Record, Structure, kind_of

_DUMPS: dict[str, Callable[[Record], str]] = {
    "jsonl": lambda record: jsonl.dump(record) + "\n",
    "cif": cif.dump,
    "poscar": poscar.dump,
    "xyz": xyz.dump,
    "sdf": sdf.dump,
    "smiles": smiles.dump,
    "fasta": fasta.dump,
}
FORMATS = (*_DUMPS, "csv")
_EXTENSIONS = {
    ".jsonl": "jsonl", ".json": "jsonl", ".cif": "cif", ".vasp": "poscar", ".xyz": "xyz",
    ".extxyz": "xyz", ".sdf": "sdf", ".smi": "smiles", ".smiles": "smiles", ".txt": "smiles",
    ".csv": "csv", ".fasta": "fasta", ".fa": "fasta", ".faa": "fasta",
}  # fmt: skip
HOLDS = {
    "cif": ("crystals",), "poscar": ("crystals",), "sdf": ("molecules",), "smiles": ("molecules",),
    "xyz": ("crystals", "molecules"), "fasta": ("proteins",),
}  # fmt: skip
"""Kinds of structures that a format holds; those that are not named hold every kind."""
WITHOUT_PROPERTIES = ("poscar", "smiles", "fasta")
"""Formats that have no place for the properties of a record."""
NATURAL = {"crystals": "cif", "molecules": "sdf", "proteins": "fasta"}
"""The format of each kind of structure in a folder, unless another is asked for."""
_FOLDER_SUFFIX = {
    "cif": ".cif", "poscar": ".vasp", "xyz": ".xyz", "sdf": ".sdf", "fasta": ".fasta",
}  # fmt: skip


class Writer(Protocol):
    """What :func:`open_writer` hands out."""

    def add(self, item: Record | Structure) -> None:
        """Write one record; :class:`RecordError` if the format cannot hold it."""


def write(
    items: Iterable[Record | Structure], path: str | Path, *, format: str | None = None
) -> int:
    """Write records or bare structures; returns how many.

    Args:
        items: records; a bare structure gets its position as id.
        path: the extension chooses the format (``.gz`` compresses); a folder, a name ending
            in ``/`` or one without extension gets one file per structure, in the ``NATURAL``
            format of its kind unless ``format`` says otherwise.
        format: one of ``FORMATS``, if the extension does not say.

    Raises:
        UsageError: unknown format, or the file cannot be written.
        RecordError: the format cannot hold a record; those before it are kept.
    """
    count = 0
    with open_writer(path, format=format) as writer:
        for item in items:
            writer.add(item)
            count += 1
    return count


@contextmanager
def open_writer(path: str | Path, *, format: str | None = None) -> Iterator[Writer]:
    """A context whose ``add(record)`` writes one record; see :func:`write` for the arguments."""
    folder = is_folder(path, format)
    name = format_of(path, format)
    path = Path(path)
    writer: _FolderWriter | _FileWriter | _TableWriter
    try:
        if folder:
            writer = _FolderWriter(path, name)
        else:
            assert name is not None
            writer = _TableWriter(path) if name == "csv" else _FileWriter(path, _DUMPS[name])
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield writer
    except UsageError as error:
        if isinstance(error.__cause__, OSError):
            writer.discard()
        else:
            writer.close()
        raise
    except BaseException:
        writer.close()
        raise
    writer.close()


def is_folder(path: str | Path, format: str | None = None) -> bool:
    """Whether :func:`write` makes a folder of this path."""
    slash = str(path).endswith(("/", os.sep))
    return slash or Path(path).is_dir() or (not Path(path).suffix and format is None)


def format_of(path: str | Path, format: str | None = None) -> str | None:
    """The format that :func:`write` uses for a path; ``None``: that of each structure's kind.

    Raises:
        UsageError: none is known for it.
    """
    folder = is_folder(path, format)
    suffix = Path(Path(path).name.lower().removesuffix(".gz")).suffix
    name = format or (None if folder else _EXTENSIONS.get(suffix))
    known = _FOLDER_SUFFIX if folder else FORMATS
    if (name is None and not folder) or (name is not None and name not in known):
        raise UsageError(
            f"{path}: cannot write {format or suffix or 'a file without extension'}; "
            f"known formats: {', '.join(known)}"
        )
    return name


def check_format(path: str | Path, kinds: Iterable[str], status: bool = False) -> None:
    """Refuse a path whose format cannot hold what is to be written, before anything is made.

    Args:
        path: as for :func:`write`.
        kinds: names in :data:`sciar.records.KINDS`.
        status: the records' properties matter, so the format must have a place for them.

    Raises:
        UsageError: unknown format, or one that is not for a kind, or has no place for the status.
    """
    name = format_of(path)
    if name is None:
        return
    suffix = Path(str(path).lower().removesuffix(".gz")).suffix
    for kind in kinds:
        if kind not in (held := HOLDS.get(name, (kind,))):
            fits = [e for e, f in _EXTENSIONS.items() if kind in HOLDS.get(f, (kind,))]
            raise UsageError(
                f"{path}: {suffix} holds {' and '.join(held)}; {kind} go to {', '.join(fits)}"
            )
    if status and name in WITHOUT_PROPERTIES:
        raise UsageError(f"{path}: {suffix} has no place for the status; give .extxyz or .jsonl")


def _unwritable(path: Path, error: OSError) -> UsageError:
    reason = error.strerror or str(error)
    return UsageError(f"{path}: cannot be written ({reason}); free space or choose another place")


def _as_record(item: Record | Structure, index: int) -> Record:
    return item if isinstance(item, Record) else Record(f"structure_{index}", item, index=index)


class _FileWriter:
    """Appends text to a temporary file beside the target."""

    def __init__(self, path: Path, dump: Callable[[Record], str]) -> None:
        self._path, self._dump, self._count = path, dump, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._raw = self._temporary.open("wb")
        self._stream = cast("IO[bytes]", self._raw)
        if path.suffix == ".gz":  # mtime 0: the same records give the same bytes
            self._stream = cast(
                "IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)
            )

    def add(self, item: Record | Structure) -> None:
        text = self._dump(_as_record(item, self._count))
        self._count += 1
        self.put(text)

    def put(self, text: str) -> None:
        try:
            self._stream.write(text.encode("utf-8"))
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        try:
            self._stream.close()
            self._raw.close()
            os.replace(self._temporary, self._path)
        except OSError as error:
            self.discard()
            raise _unwritable(self._path, error) from error

    def discard(self) -> None:
        for stream in (self._stream, self._raw):
            try:
                stream.close()
            except OSError:
                continue  # the disk is full: what the buffer holds is thrown away with the file
        self._temporary.unlink(missing_ok=True)


class _TableWriter:
    """Keeps rows until the end, as the columns are known only then."""

    def __init__(self, path: Path) -> None:
        self._file = _FileWriter(path, lambda record: "")
        self._rows: list[dict[str, Any]] = []

    def add(self, item: Record | Structure) -> None:
        self._rows.append(table.row_of(_as_record(item, len(self._rows))))

    def close(self) -> None:
        try:
            if self._rows:
                self._file.put(table.dump_table(self._rows))
        except UsageError:
            self._file.discard()
            raise
        self._file.close()

    def discard(self) -> None:
        self._file.discard()


class _FolderWriter:
    """One file per structure, named after the id; ``name`` is the format, ``None``: the natural."""

    def __init__(self, folder: Path, name: str | None) -> None:
        self._folder, self._name, self._count = folder, name, 0
        self._taken: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, item: Record | Structure) -> None:
        record = _as_record(item, self._count)
        kind = kind_of(record.structure)
        if kind not in NATURAL:
            raise RecordError(f"no file format holds {kind}")
        name = self._name or NATURAL[kind]
        text = _DUMPS[name](record)
        self._count += 1
        target = self._folder / self._free_name(record.id, _FOLDER_SUFFIX[name])
        file = _FileWriter(target, _DUMPS[name])
        try:
            file.put(text)
        except UsageError:
            file.discard()
            raise
        file.close()

    def _free_name(self, id: str, suffix: str) -> str:
        stem = re.sub(r"[^\w.+-]", "_", id).strip(".")[:100] or "structure"
        name, number = stem, 2
        while name.lower() in self._taken:  # some file systems ignore case
            name, number = f"{stem}-{number}", number + 1
        self._taken.add(name.lower())
        return name + suffix

    def close(self) -> None:
        """Every file is complete already."""

    def discard(self) -> None:
        """Files written before the failure are complete and stay."""
