"""Rows of a job: one for every record and task, in order, whatever the batches and shards."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from protein_files import write_fasta
from protein_job import TASKS, Worker, job

from sciar.datasets.readers import DuplicateIdWarning
from sciar.errors import UsageError
from sciar.jobs import Job, Recipe, Row, read_rows, run
from sciar.jobs.batches import Budget, answer_all
from sciar.records import Protein, ProteinRecord

pytestmark = pytest.mark.filterwarnings("ignore::sciar.datasets.readers.DuplicateIdWarning")


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "proteins.fasta"
    write_fasta(path, 230, bad_every=10)
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Name -> content of every file, hidden ones too."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_row_for_every_record_and_task_in_order(proteins: Path, tmp_path: Path) -> None:
    with pytest.warns(DuplicateIdWarning):
        outcome = run(job(proteins, tmp_path / "out", shard_size=50))
    rows = list(read_rows(tmp_path / "out"))
    assert len(rows) == outcome.rows == 230 * len(TASKS)
    assert [row.task for row in rows] == list(TASKS) * 230
    assert len({row.id for row in rows}) == 230
    kinds: dict[str, set[str]] = {}
    for row in rows:
        kinds.setdefault(row.id.rstrip("-0123456789"), set()).add(row.status)
    bad = dict.fromkeys(("stop", "digits", "empty", "giant"), frozenset({"failed"}))
    assert kinds == {"p": {"ok"}, **bad}
    assert sum(row.id.endswith("-2") for row in rows) == 4 * len(TASKS)  # repeated ids
    stop = next(row for row in rows if row.id.startswith("stop"))
    assert stop.message == (
        "sequence: character '*' at position 31 is a stop codon inside the sequence; "
        "cut the sequence there"
    )
    assert outcome.bad == sum(row.status == "failed" for row in rows) // len(TASKS)
    assert outcome.complete and outcome.good == outcome.rows - outcome.bad * len(TASKS)
    assert len(outcome.examples) == 5


def test_rows_do_not_depend_on_batches_and_shards(proteins: Path, tmp_path: Path) -> None:
    def rows(name: str, **sizes: int) -> list[Row]:
        run(job(proteins, tmp_path / name, **sizes))
        return list(read_rows(tmp_path / name))

    expected = rows("a")
    assert rows("b", batch_tokens=1) == expected
    assert rows("c", shard_size=7, batch_tokens=900) == expected
    assert rows("d", shard_size=230) == expected
    assert bytes_of(tmp_path / "d") != bytes_of(tmp_path / "a")
    again = tmp_path / "e"
    run(job(proteins, again, batch_tokens=333))
    assert bytes_of(again) == bytes_of(tmp_path / "a")


def test_values_are_typed(proteins: Path, tmp_path: Path) -> None:
    run(job(proteins, tmp_path / "out", shard_size=60))
    frame = pd.read_parquet(tmp_path / "out")
    assert list(frame) == ["id", "task", "status", "value", "confidence", "message"]
    assert len(frame) == 230 * len(TASKS)
    numbers = frame[(frame.task == "weight") & (frame.status == "ok")].value
    assert all(isinstance(value["number"], float) and value["text"] is None for value in numbers)
    plain = [row for row in read_rows(tmp_path / "out", "cysteines") if row.status == "ok"]
    assert plain and all(isinstance(row.value, tuple) for row in plain)
    assert {type(entry) for row in plain for entry in row.value} == {int}
    assert [row.id for row in read_rows(tmp_path / "out")] == list(frame.id)


def test_the_manifest_tells_the_shards_and_their_hashes(proteins: Path, tmp_path: Path) -> None:
    outcome = run(job(proteins, tmp_path / "out", shard_size=100))
    content = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert content["complete"] and [s["records"] for s in content["shards"]] == [100, 100, 30]
    for shard in content["shards"]:
        data = (tmp_path / "out" / shard["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
    assert content["job"]["input"]["sha256"] == hashlib.sha256(proteins.read_bytes()).hexdigest()
    assert sum(s["failed"]["fold"] for s in content["shards"]) == outcome.failed["fold"]


class Many:
    """Records made on demand; counts how many of them are alive."""

    def __init__(self, number: int) -> None:
        self.number, self.alive, self.most = number, weakref.WeakSet[Any](), 0

    def facts(self) -> dict[str, Any]:
        return {"name": "many"}

    def count(self) -> int:
        return self.number

    def records(self) -> Iterator[Any]:
        for i in range(self.number):
            record = ProteinRecord(f"r{i}", Protein("ACDEF"))
            self.alive.add(record)
            self.most = max(self.most, len(self.alive))
            yield record


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    source = Many(2_000)
    outcome = run(Job("test", source, Recipe(Worker), tmp_path / "out", shard_size=100))
    assert outcome.records == 2_000 and 100 <= source.most <= 201


def test_memory_that_runs_out_halves_the_batches(tmp_path: Path) -> None:
    worker = Worker(memory=300)
    records = {i: ProteinRecord(str(i), Protein("A" * (10 + i))) for i in range(100)}
    records[100] = ProteinRecord("100", Protein("A" * 1000))
    budget = Budget(10_000)
    found: dict[int, Any] = {}
    for some in answer_all(worker, records, budget):
        found |= some
    assert sorted(found) == list(records)
    assert all(a.ok for i in range(100) for a in found[i])
    assert {a.message for a in found[100]} == {"needs more memory than there is (1,002 tokens)"}
    assert 75 <= budget.tokens <= 300
    tried = [len(lengths) * max(lengths) for lengths in worker.batches]
    assert len([size for size in tried if size > 300]) <= 8  # halved, not cut one by one


def test_an_unforeseen_error_spoils_its_record_only() -> None:
    worker = Worker()
    records = {i: ProteinRecord(str(i), Protein("ACDEF")) for i in range(20)}
    records[7] = ProteinRecord("7", Protein("WWWWW"))
    records[8] = ProteinRecord("8", Protein("MMMMM"))
    found: dict[int, Any] = {}
    for some in answer_all(worker, records, Budget(1000)):
        found |= some
    assert [i for i in found if not any(a.ok for a in found[i])] == [7]
    assert "five tryptophans" in found[7][0].message
    assert [a.ok for a in found[8]] == [True, False, True, True]
    assert found[8][1].message == "the model gave nan, which is no finite number"
    assert found[8][1].value is None


def test_errors_that_end_a_job() -> None:
    class Broken(Worker):
        def run(self, records: Any) -> Any:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    class Short(Worker):
        def run(self, records: Any) -> Any:
            return super().run(records)[1:]

    records = {i: ProteinRecord(str(i), Protein("ACDEF")) for i in range(4)}
    with pytest.raises(RuntimeError, match="illegal memory access"):
        list(answer_all(Broken(), records, Budget(100)))
    with pytest.raises(ValueError, match="answered 3 of 4"):
        list(answer_all(Short(), records, Budget(100)))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"shard_size": 0}, "at least one record"), ({"batch_tokens": 0}, "at least one token")],
)
def test_impossible_sizes(options: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        job(tmp_path / "x.fasta", tmp_path / "out", **options)


def test_files_without_records(tmp_path: Path) -> None:
    blank = tmp_path / "blank.fasta"
    for content, message in (("", "the file is empty"), ("\n\n", "holds no records")):
        blank.write_text(content)
        with pytest.raises(UsageError, match=message):
            run(job(blank, tmp_path / "out"))
    with pytest.raises(UsageError, match="no such file"):
        run(job(tmp_path / "nowhere.fasta", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
