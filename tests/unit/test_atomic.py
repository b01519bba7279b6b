"""Folders that are replaced whole, whatever goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sciar import atomic
from sciar.errors import UsageError

OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new"}


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture(params=["at once", "in three renames"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "in three renames":
        monkeypatch.setattr(atomic, "_exchange_at_once", lambda first, second: False)
    return tmp_path / "new parent" / "folder"


def test_a_folder_is_made_and_replaced(target: Path) -> None:
    for files in (OLD, NEW):
        atomic.write_folder(target, files)
        assert content(target) == files
        assert target.stat().st_mode & 0o777 == 0o755
        assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_a_full_disk_leaves_the_old_folder(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic.write_folder(target, OLD)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch, pytest.raises(UsageError, match="No space left"):
        patch.setattr(Path, "write_bytes", full)
        atomic.write_folder(target, NEW)
    assert content(target) == OLD
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_a_failing_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_exchange_at_once", lambda first, second: False)
    first, second = tmp_path / "missing", tmp_path / "second"
    atomic.write_folder(second, OLD)
    with pytest.raises(FileNotFoundError):
        atomic.exchange(first, second)
    assert content(second) == OLD


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere may not exchange")
@pytest.mark.parametrize("call", ["rename", "renameat2", "unlink"])
def test_a_kill_at_any_moment_leaves_a_whole_folder(call: str, tmp_path: Path) -> None:
    """The process is killed just before, and just after, what it does to the folder's name."""
    target = tmp_path / "folder"
    program = f"""
import os, signal, shutil
from pathlib import Path
from sciar import atomic
def end(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
atomic.write_folder(Path({str(target)!r}), {OLD!r})
if {call!r} == "rename":
    atomic.exchange = end
elif {call!r} == "renameat2":
    usual = atomic.exchange
    atomic.exchange = lambda *names: (usual(*names), end())
else:
    shutil.rmtree = end
atomic.write_folder(Path({str(target)!r}), {NEW!r})
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert content(target) == (OLD if call == "rename" else NEW)
