"""A job goes on where it stopped, and only in a folder that is its own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from protein_files import write_fasta
from protein_job import job

from sciar.errors import UsageError
from sciar.jobs import run
from sciar.jobs.folder import OutputFolder

pytestmark = pytest.mark.filterwarnings("ignore::sciar.datasets.readers.DuplicateIdWarning")
SIZES = {"shard_size": 40, "batch_tokens": 1024}


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "proteins.fasta"
    write_fasta(path, 150, bad_every=12)
    return path


@pytest.fixture(scope="module")
def undisturbed(proteins: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(job(proteins, out, **SIZES))
    return bytes_of(out)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def stops_at(number: int) -> Any:
    """Asks to stop at the so-manieth question."""
    questions = itertools.count(1)
    return lambda: next(questions) >= number


@pytest.mark.parametrize("number", [1, 2, 5, 9, 12, 15])
def test_stopped_anywhere_and_resumed(
    number: int, proteins: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    first = run(job(proteins, out, **SIZES), stop=stops_at(number))
    assert not first.complete
    second = run(job(proteins, out, **SIZES), resume=True, stop=stops_at(number))
    third = run(job(proteins, out, **SIZES), resume=True)
    assert third.complete and third.records == 150
    assert first.records <= second.records and third.kept * 40 == second.records
    assert bytes_of(out) == undisturbed


def test_a_stopped_shard_keeps_its_answers(proteins: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(job(proteins, out, **SIZES), stop=stops_at(3))
    (kept,) = out.glob(".part-*.unfinished")
    assert kept.stat().st_size > 100
    answered = json.loads(kept.read_text())
    assert 0 < len(answered) < 40 and all(len(one) == 4 for one in answered.values())
    run(job(proteins, out, **SIZES), resume=True)
    assert not list(out.glob(".*"))


def test_a_finished_job_is_verified_and_mended(
    proteins: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    run(job(proteins, out, **SIZES))
    assert run(job(proteins, out, **SIZES), resume=True).remade == []
    (out / "part-000001.parquet").write_bytes(b"PAR1 scribbled over")
    (out / "part-000003.parquet").unlink()
    (out / ".part-000002.parquet.77.tmp").write_bytes(b"left by kill -9")
    (out / "._manifest.json.77.tmp").write_bytes(b"left by kill -9")
    outcome = run(job(proteins, out, **SIZES), resume=True)
    assert outcome.remade == ["part-000001.parquet", "part-000003.parquet"]
    assert outcome.kept == 2 and bytes_of(out) == undisturbed


def test_folders_that_are_refused(proteins: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(job(proteins, out, **SIZES), stop=stops_at(5))
    other = tmp_path / "other.fasta"
    other.write_text(">a\nACDEF\n")

    def refused(message: str, source: Path = proteins, resume: bool = True, **sizes: Any) -> None:
        before = bytes_of(out)
        with pytest.raises(UsageError, match=message):
            run(job(source, out, **{**SIZES, **sizes}), resume=resume)
        assert bytes_of(out) == before

    refused("a part of this job already; give --resume", resume=False)
    refused('another job .*input name is "proteins.fasta" there and "other.fasta" here', other)
    refused("shard_size is 40 there and 41 here", shard_size=41)
    run(job(proteins, out, **SIZES), resume=True)
    refused("this job, finished already; give --resume", resume=False)
    (out / "_manifest.json").write_text("{}")
    refused("_manifest.json: damaged")
    (out / "_manifest.json").unlink()
    refused("holds other files .* and no job")


def test_two_processes_do_not_share_a_folder(proteins: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        OutputFolder(out, {"a": 1}, {}, False),
        pytest.raises(UsageError, match="another process is writing to it"),
    ):
        run(job(proteins, out), resume=True)


def test_an_input_that_changes_under_way(tmp_path: Path) -> None:
    path = tmp_path / "proteins.fasta"
    write_fasta(path, 100)

    def touch() -> bool:
        with path.open("a") as stream:
            stream.write(">late\nACDEF\n")
        return False

    with pytest.raises(UsageError, match="changed while it was read"):
        run(job(path, tmp_path / "out", **SIZES), stop=touch)
