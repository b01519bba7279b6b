"""The shared sets of proteins: their files, and where a record says which split it belongs to."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciar.datasets.proteins import read_proteins
from sciar.datasets.readers import RecordFailure
from sciar.datasets.registry import data_roots
from sciar.errors import RecordError, UsageError
from sciar.records import Protein, ProteinRecord


@dataclass(frozen=True)
class ProteinSet:
    """One file of proteins with labels.

    Attributes:
        name: what the user types.
        file: its path below the folder of proteins.
        split: label that names the split, ``a.b`` for a label inside another one; where it is
            empty no split is named.
        held_out: names of splits that nothing may be trained on.
        parents: the set holds variants of one protein, which are each other's homologues.
    """

    name: str
    file: str
    split: str = "split"
    held_out: tuple[str, ...] = ("test",)
    parents: bool = False


_SETS = (
    ProteinSet("flip_gb1", "flip_gb1/gb1.csv.gz", "sampled", parents=True),
    ProteinSet(
        "flip_secondary_structure", "flip_secondary_structure/records.jsonl.gz", "splits.sampled"
    ),
    ProteinSet("flip_conservation", "flip_conservation/records.jsonl.gz", "splits.sampled"),
    ProteinSet("flip_bind", "flip_bind/records.jsonl.gz", "splits.from_publication"),
    ProteinSet("meltome", "meltome/meltome.csv.gz"),
    ProteinSet("dms_avgfp", "dms_avgfp/avgfp.csv.gz", parents=True),
    ProteinSet("dms_bgl3", "dms_bgl3/bgl3.csv.gz", parents=True),
    ProteinSet("dms_pab1", "dms_pab1/pab1.csv.gz", parents=True),
    ProteinSet("dms_ube4b", "dms_ube4b/ube4b.csv.gz", parents=True),
    ProteinSet("dms_blat", "dms_blat/blat.csv.gz", parents=True),
    ProteinSet("ec_nrpdb", "ec_nrpdb/records.jsonl.gz"),
    ProteinSet("deeploc", "deeploc/records.jsonl.gz", held_out=("test", "hard")),
    ProteinSet("phospho_y", "phospho_y/records.jsonl.gz"),
    ProteinSet("phospho_st", "phospho_st/records.jsonl.gz"),
    ProteinSet("backbones", "backbones/records.jsonl.gz"),
    ProteinSet("sample_proteins", "sample_proteins.jsonl"),
)
PROTEIN_SETS: dict[str, ProteinSet] = {entry.name: entry for entry in _SETS}


def protein_set(name: str) -> ProteinSet:
    """The entry of a set.

    Raises:
        UsageError: unknown name; the message lists the known ones.
    """
    found = PROTEIN_SETS.get(name.lower().replace("-", "_"))
    if found is None:
        raise UsageError(f"unknown set of proteins {name!r}; known: {', '.join(PROTEIN_SETS)}")
    return found


def protein_file(entry: ProteinSet) -> Path:
    """Its file on this machine; the sample ships with the package.

    Raises:
        UsageError: it is not there.
    """
    if entry.name.startswith("sample_"):
        return Path(__file__).resolve().parents[1] / "data" / entry.file
    for root in data_roots():
        path = root / "proteins" / entry.file
        if path.is_file():
            return path
    raise UsageError(
        f"{entry.name} is not on this machine: point SCIAR_DATA to a folder that holds "
        f"proteins/{entry.file}"
    )


def parent_of(entry: ProteinSet) -> str:
    """The wild type of a set of variants, from the ``meta.json`` beside it.

    Raises:
        UsageError: there is no such file, or it names no sequence.
    """
    path = protein_file(entry).with_name("meta.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["wild_type"]
        return Protein.from_text(found).sequence
    except (OSError, ValueError, KeyError, TypeError, RecordError) as error:
        raise UsageError(f"{path}: no wild type of {entry.name} ({error!r})") from error


def split_of(record: ProteinRecord, label: str) -> str | None:
    """The split that a record belongs to by a label, or ``None``."""
    value: Any = record.labels
    for part in label.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def read_set(name: str) -> Iterator[ProteinRecord | RecordFailure]:
    """Every record of a set, in order.

    Raises:
        UsageError: unknown name, or not on this machine.
    """
    return read_proteins(protein_file(protein_set(name)))


def readable(
    name: str, records: Iterable[ProteinRecord | RecordFailure]
) -> Iterator[ProteinRecord]:
    """The proteins among records.

    Others, such as variants with a stop codon inside, are counted in a warning at the end.
    """
    failed: list[RecordFailure] = []
    for record in records:
        if isinstance(record, RecordFailure):
            failed.append(record)
        else:
            yield record
    if failed:
        warnings.warn(
            f"{name}: {len(failed)} records skipped; first: {failed[0].error}", stacklevel=2
        )


def read_split(name: str, split: str, label: str = "") -> list[ProteinRecord]:
    """The readable records of one split; others of the set are counted in a warning.

    Args:
        name: of the set.
        split: such as ``train``, ``val`` or ``test``.
        label: label that names the split, if not the set's usual one (sets with several splits).

    Raises:
        UsageError: unknown name, not on this machine, or no record in the split.
    """
    label = label or protein_set(name).split
    found, seen = [], set()
    for record in readable(name, read_set(name)):
        where = split_of(record, label)
        seen.add(where)
        if where == split:
            found.append(record)
    if not found:
        known = ", ".join(sorted(filter(None, seen))) or "none"
        raise UsageError(f"{name} has no record in split {split!r} of {label}; found: {known}")
    return found
