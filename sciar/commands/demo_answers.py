"""The part of the demo about models that answer questions about proteins."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciar.api import Model
    from sciar.evaluation.report import Section

SHOWN = 60
"""Longest value in the table."""


def show_answers(
    model: Model, n: int, folder: Path, lines: list[str], sections: list[Section],
    numbers: dict[str, Any],
) -> tuple[int, int]:  # fmt: skip
    """Ask a model about proteins of the shipped sample; (answered, asked).

    Writes ``proteins/MODEL.jsonl`` below the folder, one row a protein and task.

    Args:
        model: a model of answers.
        n: proteins.
        folder: of the demo.
        lines: what its card says.
        sections: of the page, to be added to.
        numbers: counts of each model, to be added to.
    """
    from sciar.datasets.protein_sets import read_set
    from sciar.datasets.readers import RecordFailure
    from sciar.evaluation.report import Table, Text

    tokenizer: Any = model.tokenizer
    tasks = [t.name for t in tokenizer.tasks if t.inputs == 1 and not t.derived]
    records = (r for r in read_set("sample_proteins") if not isinstance(r, RecordFailure))
    proteins = list(islice(records, n))
    start = time.monotonic()
    answers = list(model.annotate(proteins, tasks))
    seconds = time.monotonic() - start
    good = sum(a.ok for a in answers)
    print(f"{model.name}: {good} of {len(answers)} answers in {seconds:.1f} s")
    path = folder / "proteins" / f"{model.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = ("id", "task", "status", "value", "confidence", "message")
    rows = [{name: getattr(a, name) for name in fields} for a in answers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    table = Table(
        f"{model.name}: answers",
        ["protein", "task", "status", "answer", "confidence"],
        [[a.id, a.task, a.status, _short(a.value), a.confidence] for a in answers],
        note=f"{good} of {len(answers)} questions answered; the proteins are invented ones.",
    )
    sections += [Text(lines, model.name), table]
    counts = {"requested": len(answers), "kept": good}
    numbers[model.name] = {"counts": counts, "seconds": seconds, "tasks": tasks}
    return good, len(answers)


def _short(value: Any) -> str:
    """A value as text, cut where it is long."""
    if isinstance(value, float):
        return f"{value:.3f}"
    parts = value if isinstance(value, tuple | list) else [value]
    text = value if isinstance(value, str) else ", ".join(map(str, parts))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
