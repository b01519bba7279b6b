"""Read proteins from files: one record or one failure for every record, in order.

FASTA, CSV, JSON lines, PDB and mmCIF, each also gzipped, and Parquet. Formats are chosen by name,
else by extension, else by the first bytes of the file.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sciar.datasets.formats import fasta, parquet, protein_columns, protein_structure
from sciar.datasets.formats.entry import Entry
from sciar.datasets.formats.protein_columns import Columns
from sciar.datasets.formats.text import open_bytes
from sciar.datasets.readers import RecordFailure, UniqueNames, entries_of, refuse_empty, stem_of
from sciar.errors import RecordError, UsageError
from sciar.records import ProteinRecord

FORMATS = ("fasta", "csv", "parquet", "jsonl", "pdb", "mmcif")
_EXTENSIONS = {
    ".fasta": "fasta", ".fa": "fasta", ".faa": "fasta", ".fas": "fasta", ".fsa": "fasta",
    ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".pdb": "pdb", ".ent": "pdb", ".cif": "mmcif", ".mmcif": "mmcif",
}  # fmt: skip

_BEGINNINGS = {
    b">": "fasta", b"{": "jsonl", b"data_": "mmcif", b"HEADER": "pdb", parquet.MAGIC: "parquet",
}  # fmt: skip


def read_proteins(
    path: str | Path,
    *,
    format: str | None = None,
    columns: Columns | None = None,
    chain: str = "",
) -> Iterator[ProteinRecord | RecordFailure]:
    """Records and failures of a file, or of the structure files of a folder, one at a time.

    Args:
        path: file (plain or gzip), or a folder of PDB and mmCIF files.
        format: one of ``FORMATS``; recognised from name or content if not given.
        columns: columns of CSV, Parquet and JSON lines, where they do not have their usual names.
        chain: the chain of a structure file; all protein chains by default.

    Raises:
        UsageError: no such path, empty file, unknown format; at the call, before any record.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; check the path")
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if _by_name(p) in ("pdb", "mmcif"))
        if not files:
            raise UsageError(f"{path}: no PDB or mmCIF files in this folder")
    else:
        files = [path]
        refuse_empty(path)
    made = [(f, _reader(format or _recognise(f), columns or Columns(), chain)) for f in files]
    return _records(path, made)


def _reader(format: str, columns: Columns, chain: str) -> Callable[[Path], Iterator[Entry]]:
    if format == "fasta":
        return fasta.read
    if format == "csv":
        return partial(protein_columns.read_csv, columns=columns)
    if format == "parquet":
        return partial(protein_columns.read_parquet, columns=columns)
    if format == "jsonl":
        return partial(protein_columns.read_jsonl, columns=columns)
    return partial(protein_structure.read, mmcif=format == "mmcif", chain=chain)


def _records(
    path: Path, sources: list[tuple[Path, Callable[[Path], Iterator[Entry]]]]
) -> Iterator[ProteinRecord | RecordFailure]:
    names = UniqueNames(str(path))
    index = 0
    for file, reader in sources:
        for position, entry in enumerate(entries_of(file, reader)):
            id = names.claim(entry.id or f"{stem_of(file)}_{position}")
            yield _record(entry, id, str(file), index)
            index += 1


def _record(entry: Entry, id: str, source: str, index: int) -> ProteinRecord | RecordFailure:
    try:
        protein, labels = entry.build()
    except RecordError as error:
        return RecordFailure(id, source, index, error.located(source=source, record=id))
    return ProteinRecord(id, protein, labels, source, index)


def _by_name(path: Path) -> str | None:
    return _EXTENSIONS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _recognise(path: Path) -> str:
    found = _by_name(path)
    if found is not None:
        return found
    with open_bytes(path) as stream:
        try:
            head = stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        except (EOFError, zlib.error, gzip.BadGzipFile):
            head = b""
    for start, name in _BEGINNINGS.items():
        if head.startswith(start):
            return name
    raise UsageError(f"{path}: unknown format; give format= one of {', '.join(FORMATS)}")
