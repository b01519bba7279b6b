"""The training task: optimiser groups, schedule, logging, checkpoints."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from tiny_models import crystal_tokenizer, tiny_config

from sciar.errors import ModelError
from sciar.folder import ModelFolder, save_folder
from sciar.nn.decoder import DecoderConfig
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tokenization.molecule import MoleculeTokenizer


def task(**options: Any) -> AutoregressiveTask:
    return AutoregressiveTask(crystal_tokenizer(), tiny_config(), **options)


def with_trainer(made: AutoregressiveTask, steps: int = 100) -> AutoregressiveTask:
    made._trainer = Mock(estimated_stepping_batches=steps)
    return made


def test_every_parameter_is_trained_once() -> None:
    made = task(weight_decay=0.3, lr=1e-3, head_lr=5e-4)
    groups = made._groups()
    everything = [p for group in groups for p in group["params"]]
    assert len(everything) == len(set(map(id, everything))) == len(list(made.model.parameters()))
    settings = {id(p): (g["weight_decay"], g["lr"]) for g in groups for p in g["params"]}
    by_name = {n: settings[id(p)] for n, p in made.model.named_parameters()}
    assert by_name["embedding.token.weight"] == (0.0, 1e-3)
    assert by_name["decoder.layers.0.ffn.up.weight"] == (0.3, 1e-3)
    assert by_name["decoder.norm.weight"] == (0.0, 1e-3)
    assert by_name["heads.0.net.enter.weight"] == (0.3, 5e-4)
    assert by_name["heads.1.net.enter.bias"] == (0.0, 5e-4)


def test_schedule_warms_up_and_falls_along_a_cosine() -> None:
    made = with_trainer(task(lr=2e-3, warmup=10, final_lr=0.1), steps=110)
    parts = made.configure_optimizers()
    optimiser, scheduler = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(130):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates[:3] == pytest.approx([2e-4, 4e-4, 6e-4])
    assert max(rates) == pytest.approx(2e-3)
    assert rates[60] == pytest.approx(2e-3 * (0.1 + 0.9 * 0.5))
    assert rates[110:] == pytest.approx([2e-4] * 20)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_the_seed_fixes_the_initial_weights() -> None:
    torch.manual_seed(1)
    first = task(seed=4).model.state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = task(seed=4).model.state_dict()
    assert torch.equal(torch.get_rng_state(), state), "the caller's generator is left alone"
    assert all(torch.equal(first[k], second[k]) for k in first)
    other = task(seed=5).model.state_dict()
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_another_tokenizer_is_refused() -> None:
    checkpoint: dict[str, Any] = {}
    made = task()
    made.on_save_checkpoint(checkpoint)
    made.on_load_checkpoint(checkpoint)
    other = AutoregressiveTask(crystal_tokenizer("denovo"), tiny_config())
    with pytest.raises(ModelError, match="tokenizer"):
        other.on_load_checkpoint(checkpoint)
    with pytest.raises(ModelError, match="tokenizer"):
        other.on_load_checkpoint({})


def test_gradients_are_clipped_for_fused_optimisers() -> None:
    made = with_trainer(task())
    made.log = Mock()  # type: ignore[method-assign]
    for parameter in made.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    made.configure_gradient_clipping(Mock(), 1.0, "norm")
    total = torch.stack([p.grad.norm() for p in made.parameters() if p.grad is not None]).norm()
    assert float(total) == pytest.approx(1.0, rel=1e-3)
    name, norm = made.log.call_args.args
    count = sum(p.numel() for p in made.parameters())
    assert (name, float(norm)) == ("train/gradient_norm", pytest.approx(3.0 * count**0.5, rel=1e-3))


def test_fine_tuning_starts_from_the_weights_of_a_model_folder(tmp_path: Path) -> None:
    first = task(seed=1)
    content = ModelFolder("first", first.model, first.tokenizer, {}, {}, "")
    save_folder(tmp_path / "first", content)
    second = task(seed=2, init_from=str(tmp_path / "first"))
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[name]), name


def test_fine_tuning_refuses_other_sizes_and_other_symbols(tmp_path: Path) -> None:
    first = task()
    save_folder(tmp_path / "m", ModelFolder("m", first.model, first.tokenizer, {}, {}, ""))
    wider = replace(tiny_config(), decoder=DecoderConfig(layers=1, hidden=96, heads=4))
    with pytest.raises(ModelError, match="other sizes"):
        AutoregressiveTask(crystal_tokenizer(), wider, init_from=str(tmp_path / "m"))
    with pytest.raises(ModelError, match="other symbols"):
        AutoregressiveTask(MoleculeTokenizer(), tiny_config(), init_from=str(tmp_path / "m"))
