"""FASTA: ``>id description``, then the sequence; a colon in it separates the chains of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sciar.datasets.formats.entry import Entry
from sciar.datasets.formats.rows import physical_lines
from sciar.datasets.formats.text import decode
from sciar.errors import RecordError
from sciar.records import Protein, Record

_MARK = b"\xef\xbb\xbf"


def read(path: Path) -> Iterator[Entry]:
    """One entry per header; lines that begin with ``;`` are comments."""
    header: bytes | None = None
    body: list[bytes] = []
    for line in physical_lines(path):
        bare = line.removeprefix(_MARK).strip()
        if bare.startswith(b">"):
            if header is not None or body:
                yield _entry(header, body)
            header, body = bare[1:], []
        elif bare and not bare.startswith(b";"):
            body.append(bare)
    if header is not None or body:
        yield _entry(header, body)


def _entry(header: bytes | None, body: list[bytes]) -> Entry:
    if header is None:
        return Entry.failed(RecordError("there is text before the first header line '>'"))
    words = header.decode("utf-8", "replace").split(None, 1)
    return Entry(words[0] if words else None, partial(_build, header, body))


def _build(header: bytes, body: list[bytes]) -> tuple[Protein, dict[str, Any]]:
    words = _text(header, "header").split(None, 1)
    chains = _text(b"".join(body), "sequence").split(":")
    if len(chains) > 2:
        raise RecordError(f"{len(chains)} chains; a record has one or two", field="sequence")
    return Protein.from_text(*chains), {"description": words[1]} if len(words) > 1 else {}


def _text(raw: bytes, field: str) -> str:
    try:
        return decode(raw)
    except RecordError as error:
        raise RecordError(error.reason, field=field) from error


def dump(record: Record) -> str:
    """One entry with its description, lines of 60 residues.

    Raises:
        RecordError: no protein, or an id that is not one word.
    """
    protein = record.structure
    if not isinstance(protein, Protein):
        raise RecordError("FASTA holds sequences of proteins", record=record.id)
    if len(record.id.split()) != 1:
        raise RecordError("an id of a FASTA file is one word", record=record.id, field="id")
    described = " ".join(str(record.properties.get("description", "")).split())
    body = ":".join(protein.chains)
    lines = [body[i : i + 60] for i in range(0, len(body), 60)]
    return "\n".join([f">{record.id} {described}".rstrip(), *lines]) + "\n"
