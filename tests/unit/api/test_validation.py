"""Figures of answers while a model is trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from answer_models import model_of, network, protein, tokenizer
from lightning.pytorch.strategies import ModelParallelStrategy

from sciar.api.scoring import score
from sciar.api.validation import ScoreAnswers
from sciar.errors import UsageError
from sciar.objectives.grouped import GroupedObjective
from sciar.records import Annotation, ProteinRecord, Record
from sciar.tasks.autoregressive import AutoregressiveTask

NAMES = ("place", "states", "heat")
PROTEINS = [protein(n, n) for n in (5, 9, 14, 3, 8, 6)]


def answered() -> list[Record]:
    """Validation examples, whose labels are the answers of another model."""
    rows = model_of(*NAMES, seed=4).annotate(PROTEINS, list(NAMES))
    pairs = [(p, name) for p in PROTEINS for name in NAMES]
    made = []
    for row, (p, name) in zip(rows, pairs, strict=True):
        note: Any = Annotation(p, name, row.value)
        made.append(Record(f"{row.id}:{name}", note))
    return made


def trainer(records: list[Record], tokens: Any) -> Any:
    data = SimpleNamespace(tasks=tokens.tasks, records=lambda split: {"val": records}[split])
    return SimpleNamespace(datamodule=data, sanity_checking=False, strategy=None)


def test_each_task_has_its_figure_over_a_fixed_part() -> None:
    tokens, records = tokenizer(*NAMES), answered()
    task = AutoregressiveTask(tokens, network(tokens).config, GroupedObjective(readout=1.0))
    task.model.load_state_dict(model_of(*NAMES, seed=1).network.state_dict())
    task.eval()
    logged: dict[str, float] = {}

    def log(name: str, value: Any, **_: Any) -> None:
        logged[name] = value

    task.log = log  # type: ignore[method-assign,assignment]
    made, run = ScoreAnswers(records=3, every=2), trainer(records, tokens)
    made.on_validation_batch_start(run, task, None, 1)
    assert not logged
    made.on_validation_batch_start(run, task, None, 0)
    figures = {
        "val/place/accuracy": ("accuracy", "rate"),
        "val/states/residues": ("residues", "rate"),
        "val/heat/spearman": ("spearman",),
    }
    assert set(logged) == set(figures)
    model = model_of(*NAMES, seed=1, info={"objective": {"readout": 1.0}})
    for name, keys in figures.items():
        of = name.split("/")[1]
        notes: list[Any] = [r.structure for r in records if r.structure.task == of]  # type: ignore[union-attr]
        some = [ProteinRecord("", n.protein, {of: n.value}) for n in (notes[0], notes[2], notes[5])]
        whole: Any = score(model, of, some)
        for key in keys:
            whole = whole[key]
        assert logged[name] == pytest.approx(whole or 0.0)
    logged.clear()
    made.on_validation_batch_start(run, task, None, 0)
    assert not logged, "the second validation of two"


def test_what_it_cannot_score_is_refused() -> None:
    tokens = tokenizer(*NAMES)
    task: Any = None
    with pytest.raises(UsageError, match="heat has no validation example"):
        records = [r for r in answered() if not r.id.endswith("heat")]
        run = trainer(records, tokens)
        ScoreAnswers(tasks=["heat"]).on_validation_batch_start(run, task, None, 0)
    with pytest.raises(UsageError, match="questions about proteins"):
        other: Any = SimpleNamespace(datamodule=object(), sanity_checking=False)
        ScoreAnswers().on_validation_batch_start(other, task, None, 0)
    with pytest.raises(UsageError, match="at least 1"):
        ScoreAnswers(records=0)
    sharded: Any = SimpleNamespace(strategy=ModelParallelStrategy())
    with pytest.raises(UsageError, match="fsdp"):
        ScoreAnswers().setup(sharded, task, "fit")
