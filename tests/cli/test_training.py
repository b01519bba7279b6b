"""``sciar fit`` and its sisters: numbers as JSON, and failures with a message and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sciar.cli import main
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.tasks.autoregressive import AutoregressiveTask

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
SMALL = [
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--data.limit", "12", "--model.model.decoder.layers", "1"),
]


def words(command: str, folder: Path, *more: str) -> list[str]:
    place = ["--trainer.default_root_dir", str(folder)]
    steps = ["--trainer.max_steps", "10"] if command == "fit" else []
    return [command, "--config", "tiny-mp20-csp", *place, *steps, *SMALL, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with its numbers and its checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    assert main(words("fit", folder, "--json", str(folder / "fit.json"))) == 0
    return folder


def test_fit_writes_its_numbers(trained: Path) -> None:
    numbers = json.loads((trained / "fit.json").read_text())
    assert numbers["command"] == "fit" and numbers["steps"] == 10
    assert {"train/loss", "train/site", "train/lattice"} <= set(numbers["metrics"])


@pytest.mark.parametrize(("command", "stage"), [("validate", "val"), ("test", "test")])
def test_losses_of_a_split_as_json(command: str, stage: str, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.json"
    last = ["--ckpt_path", str(trained / "checkpoints" / "last.ckpt"), "--json", str(out)]
    assert main(words(command, tmp_path, *last)) == 0
    assert {f"{stage}/loss", f"{stage}/site"} <= set(json.loads(out.read_text())["metrics"])


def test_predict_gives_the_losses_of_each_record(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "n.json"
    last = ["--ckpt_path", str(trained / "checkpoints" / "last.ckpt"), "--json", str(out)]
    assert main(words("predict", tmp_path, *last)) == 0
    rows = json.loads(out.read_text())["records"]
    ids = [r.id for r in read_all(resolve("sample-crystals", "test"))[0][:12]]
    assert {r["id"] for r in rows} <= set(ids) and len({r["id"] for r in rows}) == len(rows) > 2
    assert len({r["lattice"] for r in rows}) > 1
    assert any("site" in row for row in rows)  # the only site of a small cell is the origin
    for row in rows:
        parts = [value for name, value in row.items() if name not in ("id", "loss")]
        assert row["loss"] == pytest.approx(sum(parts), rel=1e-4)
    printed = [json.loads(x) for x in capsys.readouterr().out.splitlines() if x.startswith("{")]
    assert printed == rows


def test_a_checkpoint_of_a_newer_version_says_upgrade(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = tmp_path / "newer.ckpt"
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    content["sciar"]["format"] = 99
    torch.save(content, newer)
    assert main(words("fit", tmp_path, "--ckpt_path", str(newer))) == 1
    told = capsys.readouterr().err
    assert "newer SciAR (format 99" in told and "upgrade" in told and "Traceback" not in told


def test_no_disk_space_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(checkpoint: Any, path: Any, **_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", full)
    assert main(words("fit", tmp_path)) == 1
    told = capsys.readouterr().err
    assert "No space left on device: free some" in told and "--ckpt_path" in told
    assert not (tmp_path / "model").exists()


def test_no_disk_space_for_the_token_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sciar.datasets.tokens._Writer.add", full)
    assert main(words("fit", tmp_path / "run", "--data.cache", str(tmp_path / "cache"))) == 1
    assert "No space left on device: free some" in capsys.readouterr().err
    assert not list((tmp_path / "cache").iterdir())


@pytest.fixture
def signals() -> Iterator[None]:
    """Lightning switches Ctrl-C off for the rest of an interrupted program.

    A shell starts programs in the background with Ctrl-C ignored.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_has_its_exit_code(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(self: Any, *_: Any) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(AutoregressiveTask, "on_train_batch_end", stop)
    assert main(words("fit", tmp_path)) == 128 + number
    assert (tmp_path / "interrupted.ckpt").exists()
    assert "--ckpt_path" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ckpt_path", "nowhere.ckpt"], "nowhere.ckpt"),
        (["--trainer.strategy", "fsdp"], "EMAWeightAveraging"),
    ],
)
def test_wrong_usage_has_a_message(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("fit", tmp_path, *options)) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_wandb_is_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sciar.training.find_spec", lambda name: None)
    own = ["--trainer.logger", "lightning.pytorch.loggers.WandbLogger"]
    assert main(words("fit", tmp_path, *own)) == 2
    assert "pip install 'sciar[wandb]'" in capsys.readouterr().err
