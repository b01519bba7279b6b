"""Jobs as processes that are killed: what they leave behind is gone on with, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
    options = ("--save-seconds", 0, "--signal", int(signal.SIGKILL), "--at-shards")
    for shards, resume in ((1, ()), (3, ("--resume",))):
        process = start(proteins, out, *options, shards, *resume)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == -signal.SIGKILL, errors[-2000:]
        assert len(list(out.glob("part-*.parquet"))) == shards
        assert len(list(out.glob(".part-*.unfinished"))) == 1
    assert finish(start(proteins, out, "--resume")) == ["500", "3", "True"]
    assert bytes_of(out) == undisturbed


def test_ended_by_sigterm(proteins: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    options = ("--save-seconds", 0, "--signal", int(signal.SIGTERM), "--at-shards", 1)
    assert finish(start(proteins, out, *options)) == ["100", "0", "False"]
    assert len(list(out.glob(".part-*.unfinished"))) == 1
    assert finish(start(proteins, out, "--resume")) == ["500", "1", "True"]
    assert bytes_of(out) == undisturbed
