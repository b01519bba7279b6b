"""Training as a program of its own: killed, interrupted, spread over processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import two_processes

from sciar.folder import load_folder
from sciar.training import main

PROGRAM = Path(__file__).resolve().parents[1] / "support" / "train_recipe.py"
RECIPE = "tiny-mp20-csp"
PATIENCE = 300.0  # two starts of Python on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:lightning")]


def command(folder: Path, *options: str, steps: int = 6) -> list[str]:
    fixed = ["--trainer.default_root_dir", str(folder), "--trainer.max_steps", str(steps)]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    return [sys.executable, str(PROGRAM), "fit", "--config", RECIPE, *fixed, *quiet, *options]


def run_here(folder: Path, *options: str, steps: int = 6) -> None:
    """The same run in this process, which saves the start of another."""
    main(command(folder, *options, steps=steps)[2:])


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A run that would go on for long."""
    process = subprocess.Popen(
        command(folder, *options, steps=1_000_000),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def step_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"])


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    """``kill -9`` at any moment leaves a checkpoint that loads."""
    last = tmp_path / "checkpoints" / "last.ckpt"
    with started(tmp_path) as process:
        wait_for(last, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
    assert not (tmp_path / "model").exists()
    reached = step_of(last)
    assert reached >= 10
    run_here(tmp_path, "--ckpt_path", str(last), steps=reached + 3)
    assert load_folder(tmp_path / "model").info["steps"] == reached + 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_to_go_on_from(number: int, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_for(tmp_path / "checkpoints" / "last.ckpt", process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
    saved = tmp_path / "interrupted.ckpt"
    assert saved.exists(), out[-2000:]
    assert f"--ckpt_path {saved}" in out
    reached = step_of(saved)
    assert not (tmp_path / "model").exists(), "a model that was not trained to the end"
    run_here(tmp_path, "--ckpt_path", str(saved), steps=reached + 2)
    assert load_folder(tmp_path / "model").info["steps"] == reached + 2


def plain_callbacks() -> str:
    """Those of the recipe without averaged weights."""
    checkpoints = "{save_last: true, every_n_train_steps: 2}"
    return (
        f"[{{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: {checkpoints}}},"
        " {class_path: sciar.training.ExportModel}]"
    )


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_the_model_of_one(strategy: str, tmp_path: Path) -> None:
    """The same batches, split: the same losses, hence the same weights up to rounding."""
    more = ["--trainer.callbacks", plain_callbacks()] if strategy == "fsdp" else []
    run_here(tmp_path / "one", *more)
    two = ["--trainer.devices", "2", "--trainer.strategy", strategy, *more]
    done = subprocess.run(
        command(tmp_path / "two", *two), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one_model, two_models = (load_folder(tmp_path / n / "model").model for n in ("one", "two"))
    first, second = one_model.state_dict(), two_models.state_dict()
    worst = max(float((first[k] - second[k]).abs().max()) for k in first)
    assert worst < 1e-4


def test_a_sharded_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Two FSDP processes that stop and go on have the weights of one process that did neither."""
    run_here(tmp_path / "one", "--trainer.callbacks", plain_callbacks())
    two = ["--trainer.devices", "2", "--trainer.strategy", "fsdp"]
    stop = "{class_path: train_recipe.StopAfter, init_args: {steps: 4}}"
    stopping = f"{plain_callbacks()[:-1]}, {stop}]"
    last = tmp_path / "two" / "checkpoints" / "last.ckpt"
    for more in ([stopping], [plain_callbacks(), "--ckpt_path", str(last)]):
        done = subprocess.run(
            command(tmp_path / "two", *two, "--trainer.callbacks", *more),
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        reached = load_folder(tmp_path / "two" / "model").info["steps"]
        assert reached == (4 if more == [stopping] else 6)
    first, second = (load_folder(tmp_path / n / "model").model.state_dict() for n in ("one", "two"))
    assert max(float((first[k] - second[k]).abs().max()) for k in first) < 1e-4


def test_validation_does_not_wait_for_a_task_that_a_process_never_meets(tmp_path: Path) -> None:
    """Both log the means of both tasks, which are those of one process with all examples."""
    torch.multiprocessing.spawn(two_processes.run, (str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert set(first) == {f"val/{task}" for task in two_processes.TASKS}
    assert first == pytest.approx(two_processes.validated(*two_processes.TASKS), rel=1e-5)
