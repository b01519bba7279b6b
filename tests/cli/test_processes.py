"""The command as a process: exit codes, Ctrl-C and SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sciar.datasets.readers import read_all

COMMAND = [sys.executable, "-m", "sciar"]


def test_wrong_usage_and_errors_are_one_line() -> None:
    done = subprocess.run(
        [*COMMAND, "generate", "nonesuch"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("sciar: error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_finished_structures_survive_a_signal(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    out, numbers, page = (tmp_path / n for n in ("out.extxyz", "out.json", "out.html"))
    words = ["generate", "csp", "--composition", "Na2 Cl2", "-n", "500000", "--batch-size", "64"]
    words += ["--out", str(out), "--json", str(numbers), "--report", str(page)]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = tmp_path / f".{out.name}.{process.pid}.tmp"
    deadline = time.monotonic() + 300
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    told, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors[-2000:]
    assert "finished structures are kept" in told
    records, failures = read_all(out)
    content = json.loads(numbers.read_text())
    assert records and not failures
    assert content["interrupted"] and content["counts"]["kept"] == len(records)
    assert content["counts"]["requested"] == 500000
    assert page.exists() and not list(tmp_path.glob(".*"))
