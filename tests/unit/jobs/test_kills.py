"""Jobs as processes that are killed: what they leave behind is gone on with, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from protein_files import write_fasta

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "support" / "protein_job.py")]


def start(source: Path, out: Path, *words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*PROGRAM, str(source), "--out", str(out), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    told, errors = process.communicate(timeout=300)
    assert process.returncode == 3, errors[-2000:]
    return told.split()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def wait_for(folder: Path, pattern: str, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while len(list(folder.glob(pattern))) < number and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.005)


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "proteins.fasta"
    write_fasta(path, 500, bad_every=50)
    return path


@pytest.fixture(scope="module")
def undisturbed(proteins: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert finish(start(proteins, out)) == ["500", "0", "True"]
    return bytes_of(out)


def test_killed_twice(proteins: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    options = ("--delay", 0.05, "--save-seconds", 0)
    for shards, resume in ((1, ()), (3, ("--resume",))):
        process = start(proteins, out, *options, *resume)
        wait_for(out, "part-*.parquet", shards, process)
        wait_for(out, ".part-*.unfinished", 1, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert len(list(out.glob("part-*.parquet"))) < 5
    records, kept, complete = finish(start(proteins, out, "--resume"))
    assert (records, complete) == ("500", "True") and int(kept) >= 2
    assert bytes_of(out) == undisturbed


def test_ended_by_sigterm(proteins: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    process = start(proteins, out, "--delay", 0.1, "--save-seconds", 0)
    wait_for(out, "part-*.parquet", 1, process)
    wait_for(out, ".part-*.unfinished", 1, process)
    process.terminate()
    records, _, complete = finish(process)
    assert complete == "False" and 0 < int(records) < 500
    assert len(list(out.glob(".part-*.unfinished"))) == 1
    assert finish(start(proteins, out, "--resume")) == ["500", str(int(records) // 100), "True"]
    assert bytes_of(out) == undisturbed
