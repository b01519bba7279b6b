"""A run that was stopped goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from sciar.datasets.datamodule import StructureData
from sciar.errors import ModelError, UsageError
from sciar.folder import load_folder
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.training import ExportModel

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]
STEPS = 16  # several passes over the data


class StopAfter(L.Callback):
    """Ends a run early without touching its schedule."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("stop", [4, 11])
def test_a_resumed_run_equals_one_that_never_stopped(run: Any, tmp_path: Path, stop: int) -> None:
    """Same batches, same weights to the last bit, same averages, same optimiser."""
    noise = {"task": {"seed": 3}}
    straight = run(tmp_path / "straight", STEPS, **noise).fit()
    first = run(tmp_path / "first", STEPS, callbacks=[StopAfter(stop)], **noise).fit()
    assert first.trainer.global_step == stop
    second = run(tmp_path / "second", STEPS, **noise).fit(tmp_path / "first" / "last.ckpt")
    assert second.trainer.global_step == STEPS
    assert first.seen + second.seen == straight.seen
    equal(straight.weights, second.weights)
    ends = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        for name in ("straight", "second")
    ]
    equal(ends[0]["state_dict"], ends[1]["state_dict"])
    equal(ends[0]["current_model_state"], ends[1]["current_model_state"])
    for a, b in zip(
        ends[0]["optimizer_states"][0]["state"].values(),
        ends[1]["optimizer_states"][0]["state"].values(),
        strict=True,
    ):
        equal(a, b)


def test_averages_are_not_the_weights(run: Any, tmp_path: Path) -> None:
    run(tmp_path, 6).fit()
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    averaged, current = saved["state_dict"], saved["current_model_state"]
    name = "model.decoder.layers.0.ffn.up.weight"
    key = next(k for k in current if k.endswith(name))
    assert (averaged[name] - current[key]).abs().max() > 1e-6


def test_the_exported_model_is_the_average(run: Any, tmp_path: Path) -> None:
    done = run(tmp_path, 6, callbacks=[ExportModel(name="tiny", data="random")]).fit()
    content = load_folder(tmp_path / "model")
    assert content.tokenizer.fingerprint == done.data.fitted_tokenizer.fingerprint
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    exported = content.model.state_dict()
    assert exported.keys() == {k.removeprefix("model.") for k in saved}
    for name, tensor in exported.items():
        torch.testing.assert_close(tensor, saved[f"model.{name}"], rtol=0, atol=0)
    assert content.info["steps"] == 6 and "tiny" in content.card


def test_another_tokenizer_cannot_resume(run: Any, tmp_path: Path, crystal_file: Path) -> None:
    run(tmp_path, 2).fit()
    from tiny_models import crystal_tokenizer, tiny_config

    data = StructureData([str(crystal_file)], crystal_tokenizer(order="file"), batch_tokens=120)
    task = AutoregressiveTask(data.fitted_tokenizer, tiny_config())
    trainer = L.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=4, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.raises(ModelError, match="tokenizer"):
        trainer.fit(task, data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)


def test_other_batches_cannot_resume(run: Any, tmp_path: Path) -> None:
    run(tmp_path / "first", 7).fit()
    with pytest.raises(UsageError, match="batch_tokens"):
        run(tmp_path / "second", 12, batch_tokens=1000).fit(tmp_path / "first" / "last.ckpt")


def test_validation_does_not_disturb_training(run: Any, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", 6).fit()
    watched = run(
        tmp_path / "watched", 6, limit_val_batches=2, val_check_interval=2,
        check_val_every_n_epoch=None,
    ).fit()  # fmt: skip
    assert "val/loss" in watched.trainer.callback_metrics
    equal(plain.weights, watched.weights)
