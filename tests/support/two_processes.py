"""One pass of validation in each of two processes that meet different tasks."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from answer_models import EXAMPLES, network, tokenizer

from sciar.objectives.grouped import GroupedObjective
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tokenization.packing import pack

TASKS = ("place", "states")


def validated(*names: str) -> dict[str, float]:
    """What is logged of a pass over the examples of some tasks, one batch each."""
    tokens = tokenizer(*TASKS)
    made = AutoregressiveTask(tokens, network(tokens).config, GroupedObjective(prefix="<task_"))
    logged: dict[str, float] = {}

    def log(name: str, value: Any, **_: Any) -> None:
        logged[name] = float(value)

    made.log = log  # type: ignore[method-assign,assignment]
    made.on_validation_epoch_start()
    with torch.no_grad():
        for name in names:
            notes = [e for e in EXAMPLES if e.task == name]
            made.validation_step(pack([tokens.encode(note) for note in notes]), 0)
    made.on_validation_epoch_end()
    del logged["val/loss"]  # Lightning's to average
    return logged


def run(rank: int, folder: str) -> None:
    """Process ``rank`` meets the task of that number alone."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=300),
    )
    found = validated(TASKS[rank])
    dist.destroy_process_group()
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
