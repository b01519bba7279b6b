"""Averages of weights: short runs export warmed ones, and what is frozen keeps its bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from answer_models import EXAMPLES, TASKS, network, protein, tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sciar.api.model import Model
from sciar.errors import UsageError
from sciar.folder import ModelFolder, load_folder, save_folder
from sciar.objectives.grouped import GroupedObjective
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.averaging import EMAWeightAveraging
from sciar.tokenization.packing import pack
from sciar.tokenization.protein import ProteinTokenizer
from sciar.training import ExportModel

pytestmark = pytest.mark.filterwarnings("ignore")


def trained(module: L.LightningModule, batches: list[Any], steps: int, *calls: L.Callback) -> None:
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, callbacks=list(calls), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


class Climb(L.LightningModule):
    """A weight that rises by one in every step, beside one that stays, and a buffer."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.moves = nn.Parameter(torch.zeros(2))
        self.stays = nn.Parameter(torch.tensor([-0.0, 0.1, 1e-30]), requires_grad=False)
        self.register_buffer("count", torch.tensor(0))

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        self.count += 1
        return -self.moves.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.moves], lr=1.0)


@pytest.mark.parametrize(("decay", "every"), [(0.999, 1), (0.3, 1), (0.999, 3)])
def test_a_short_run_ends_with_its_last_weights(decay: float, every: int) -> None:
    module, average = Climb(), EMAWeightAveraging(decay, every)
    trained(module, [torch.zeros(1)] * 40, 40, average)
    taken = [float(step) for step in range(1, 41) if (step - 1) % every == 0]
    expected = taken[0]
    for n, value in enumerate(taken[1:], start=1):
        share = min(decay, (1 + n) / (10 + n))
        expected = share * expected + (1 - share) * value
    assert module.moves.tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert 30 < expected < 40, "an average of 1 / (1 - decay) steps would be close to 1"
    assert int(module.count) == 40


def test_frozen_weights_keep_their_bits() -> None:
    module = Climb()
    before = module.stays.detach().clone()
    trained(module, [torch.zeros(1)] * 25, 25, EMAWeightAveraging(0.999))
    assert torch.equal(module.stays, before)
    assert torch.equal(torch.signbit(module.stays), torch.signbit(before))


def test_what_is_no_average_is_refused() -> None:
    for wrong in ({"decay": 1.0}, {"decay": -0.1}, {"every": 0}):
        with pytest.raises(UsageError, match="average of weights"):
            EMAWeightAveraging(**wrong)  # type: ignore[arg-type]


def answers(folder: Path, names: list[str]) -> list[tuple[Any, ...]]:
    asked = [protein(n, n) for n in (5, 23, 40, 61)]
    rows = Model(load_folder(folder)).annotate(asked, names)
    return [(r.task, r.status, r.value, r.confidence, r.logp) for r in rows]


def test_growth_under_an_average_leaves_old_answers_bit_for_bit(tmp_path: Path) -> None:
    old_names = ["place", "places", "enzyme", "heat", "amount", "states", "sites", "phospho"]
    new = {"terms": TASKS["terms"], "signed": TASKS["signed"], "cut": TASKS["cut"]}
    tokens = tokenizer(*old_names)
    calibration = {"sites": {"threshold": 0.05}, "place": {"temperature": 3.0}}
    info = {"calibration": calibration, "data": "old"}
    save_folder(tmp_path / "m", ModelFolder("old", network(tokens, 5), tokens, {}, info, ""))
    old = load_folder(tmp_path / "m")
    grown = ProteinTokenizer(new, max_length=2048, extends=str(tmp_path / "m"))
    task = AutoregressiveTask(
        grown, old.model.config, GroupedObjective(), lr=0.02, warmup=1,
        init_from=str(tmp_path / "m"), new_only=True,
    )  # fmt: skip
    start = {k: v.clone() for k, v in task.model.state_dict().items()}
    batch = pack([grown.encode(note) for note in EXAMPLES if note.task in new])
    export = ExportModel(str(tmp_path / "n"), "grown")
    trained(task, [batch] * 12, 12, EMAWeightAveraging(0.99), export)
    moved = [k for k, v in task.model.state_dict().items() if not torch.equal(v, start[k])]
    assert "words.out.weight" in moved and not any("decoder" in name for name in moved)
    before = answers(tmp_path / "m", old_names)
    assert answers(tmp_path / "n", old_names) == before
    assert all(status == "ok" for _, status, *_ in before)
    found = load_folder(tmp_path / "n").info
    assert found["calibration"] == calibration and found["data"] != "old"
