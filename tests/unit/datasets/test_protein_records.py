"""Proteins among the other structures: records, readers, writers, the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciar.datasets.protein_sets import PROTEIN_SETS
from sciar.datasets.readers import read, read_all
from sciar.datasets.registry import DATASETS, catalogue, resolve
from sciar.datasets.writers import check_format, open_writer, write
from sciar.errors import RecordError, UsageError
from sciar.records import Protein, ProteinRecord, Record, kind_of, symbols_of

RECORDS = [
    ProteinRecord("a", Protein("MSTAYK" * 15), {"description": "of nothing"}),
    ProteinRecord("b", Protein("MKV", "GGA")),
]


def test_a_protein_record_is_a_record() -> None:
    record = RECORDS[0]
    assert isinstance(record, Record) and kind_of(record.structure) == "proteins"
    assert record.protein is record.structure and record.labels is record.properties


@pytest.mark.parametrize("name", ["p.fasta", "p.fa.gz", "p.jsonl", "p.csv"])
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    assert write(RECORDS, tmp_path / name) == 2
    records, failures = read_all(tmp_path / name, kind="protein")
    assert not failures
    assert [(r.id, r.structure) for r in records] == [(r.id, r.structure) for r in RECORDS]
    assert records[0].properties == {"description": "of nothing"}
    assert not records[1].properties


def test_sequences_are_known_by_their_extension(tmp_path: Path) -> None:
    write(RECORDS, tmp_path / "p.fasta")
    assert [type(r) for r in read(tmp_path / "p.fasta")] == [ProteinRecord] * 2


def test_a_folder_of_proteins_holds_fasta(tmp_path: Path) -> None:
    write(RECORDS, tmp_path / "out/")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.fasta", "b.fasta"]


def test_formats_without_a_place_for_proteins_are_refused(tmp_path: Path) -> None:
    for name in ("p.cif", "p.sdf", "p.xyz", "p.vasp", "p.smi"):
        with pytest.raises(RecordError), open_writer(tmp_path / name) as writer:
            writer.add(RECORDS[0])
    for name in ("p.xyz", "p.cif"):
        with pytest.raises(UsageError, match="proteins go to"):
            check_format(tmp_path / name, ["proteins"])
    check_format(tmp_path / "p.fasta", ["proteins"])
    with pytest.raises(RecordError, match="no atoms"):
        symbols_of(RECORDS[0].structure)
    with pytest.raises(RecordError, match="one word"):
        write([ProteinRecord("two words", Protein("MK"))], tmp_path / "w.fasta")


def test_protein_sets_are_in_the_catalogue() -> None:
    known = {name.replace("-", "_") for name in DATASETS}
    assert set(PROTEIN_SETS) <= known
    rows = {row.dataset.name: row for row in catalogue()}
    assert rows["flip_bind"].dataset.kind == "proteins"
    assert resolve("sample-proteins", "records").name == "sample_proteins.jsonl"
