"""Orders of calls that agree with the model: kept, resumed, refused where none last."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from observed_models import network, tokenizer
from programs import programs

from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.shards import Job, make
from sciar.datasets.program_data import Pictures, ProgramData
from sciar.errors import UsageError
from sciar.records import Program
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.relabelling import HungarianRelabelling, orders
from sciar.tokenization.programs.language import load_language
from sciar.tokenization.programs.matching import cost, relabelled

OPTIONS: dict[str, Any] = {"size": 16, "radius": 2.0, "cells": 3, "dots": (2, 3)}


@limits(max_examples=25, deadline=None)
@given(st.data())
def test_a_shuffled_program_finds_its_order(data: st.DataObject) -> None:
    language = load_language("clevr")
    true = data.draw(programs(language, most=4))
    order = data.draw(st.permutations(range(len(true))))
    found = Program(tuple(true.calls[i] for i in order))
    again = relabelled(language, true, found)
    assert sorted(again) == list(range(len(true)))
    assert tuple(true.calls[i] for i in again) == found.calls


@limits(max_examples=25, deadline=None)
@given(st.data())
def test_the_order_costs_least(data: st.DataObject) -> None:
    language = load_language("clevr")
    true, found = (data.draw(programs(language, most=4)) for _ in range(2))
    n = min(len(true), len(found))
    again = relabelled(language, true, found)
    total = sum(cost(language, true.calls[a], b) for a, b in zip(again, found.calls, strict=False))
    if len(true) >= len(found):
        best = min(
            sum(cost(language, true.calls[a], b) for a, b in zip(p, found.calls, strict=True))
            for p in permutations(range(len(true)), n)
        )
        assert total == pytest.approx(best)


def test_numbers_on_a_circle_are_near_across_its_ends() -> None:
    language = load_language("crystal")
    near, far = (
        Program((_atom(x),)).calls[0] for x in (0.01, 0.5)
    )  # fmt: skip
    assert cost(language, near, _atom(0.99)) == pytest.approx(0.02)
    assert cost(language, far, _atom(0.99)) == pytest.approx(0.49)


def _atom(x: float) -> Any:
    from sciar.records import Call

    return Call("add", {"Z": 6, "pos": (x, 0.0, 0.0)})


def data(source: Pictures, order: str = "file", copies: int = 1) -> ProgramData:
    return ProgramData([source], tokenizer("dots", order=order), batch_tokens=200, copies=copies)


def test_orders_agree_with_what_is_decoded() -> None:
    own = data(Pictures("dots", count=5, options=OPTIONS)).observed("train")
    model = network(own.tokenizer)
    found = orders(model, own, [0, 1, 2, 3, 4])
    assert set(found) == set(range(5))
    for record, order in found.items():
        assert sorted(order) == list(range(len(own.picture(record).program)))
    again = orders(model, own, [3], batch_size=1)
    assert again[3] == found[3]
    own.orders[0] = (1, 0, 2)[: len(own.picture(0).program)]
    first, second = (own.pack(np.array([0])).values[19:, 0] for _ in range(2))
    plain = data(Pictures("dots", count=5, options=OPTIONS)).observed("train")
    other = plain.pack(np.array([0])).values[19:, 0]
    assert (first == second).all() and not (first == other).all()
    assert sorted(first.tolist()) == pytest.approx(sorted(other.tolist()))


def fit(folder: Path, steps: int, checkpoint: Path | None = None) -> tuple[Any, Any]:
    own = data(Pictures(str(folder / "made")))
    task = AutoregressiveTask(own.fitted_tokenizer, network(own.tokenizer).config, warmup=1)
    callback = HungarianRelabelling(every=2, pictures=4)
    trainer = L.Trainer(
        default_root_dir=folder, accelerator="cpu", max_steps=steps, logger=False,
        callbacks=[callback], enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, limit_val_batches=0, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(task, own, ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return callback, own.observed("train")


def test_orders_change_in_training_and_are_part_of_checkpoints(tmp_path: Path) -> None:
    make(Job(DotMaker(**OPTIONS), "train", 6), tmp_path / "made")
    callback, own = fit(tmp_path, 4)
    assert set(own.orders) == set(range(6)) and callback.state_dict()["next"] == 2
    resumed, again = fit(tmp_path, 5, tmp_path / "4.ckpt")
    assert again.orders == own.orders and resumed.state_dict() == callback.state_dict()


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        HungarianRelabelling(every=0)
    fly = Pictures("dots", count=4, options=OPTIONS)
    for own, reason in (
        (data(fly, order="canonical"), "order to file, not canonical"),
        (data(fly, copies=3), "do not come again"),
    ):
        trainer = type("Trainer", (), {"datamodule": own})()
        with pytest.raises(UsageError, match=reason):
            HungarianRelabelling().on_fit_start(trainer, None)  # type: ignore[arg-type]
