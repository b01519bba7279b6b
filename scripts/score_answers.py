"""Score a model of answers on test data, after calibrating it on validation data.

    python scripts/score_answers.py runs/protein-bind/model --split test --out bind.json
    python scripts/score_answers.py runs/protein-gb1-sampled/model --split val
    python scripts/score_answers.py runs/protein-multitask/model --tasks ec,deeploc --limit 300

The data are those of the model's recipe (``--config``, by default the recipe of the model's name).
Temperatures, thresholds and offsets of rare classes are fitted on the validation split and stored
in the model folder with ``--store``. Answers with one token a residue are scored at once and one by
one (``--both``).
``--reliability PAGE.html`` draws how often answers come true against how sure they are stated,
before and after calibration.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

import sciar
from sciar.api.scoring import calibrate, score, with_calibration
from sciar.commands.files import write_page
from sciar.datasets.answer_data import AnswerData, Source
from sciar.datasets.files import write_json
from sciar.evaluation.calibration import reliability_chart
from sciar.evaluation.report import Charts
from sciar.records import ProteinRecord
from sciar.training import recipes


def records_of(model: Any, recipe: Path, task: str, split: str) -> list[ProteinRecord]:
    """The labelled proteins of one task in a split of the recipe's data."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    # The model may know this task alone of those of the recipe.
    sources = [
        Source(**{**s, "tasks": [task]}) for s in content["data"]["sources"] if task in s["tasks"]
    ]
    data = AnswerData(sources, model.tokenizer)
    return [record for source in sources for record in data.proteins(source, split)]


def spread(records: list[ProteinRecord], limit: int) -> list[ProteinRecord]:
    """At most ``limit`` records, evenly over the list."""
    if not limit or len(records) <= limit:
        return records
    return [records[round(i * (len(records) - 1) / (limit - 1))] for i in range(limit)]


def brief(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the bins of reliability plots."""
    return {
        k: {n: x for n, x in v.items() if n != "bins"} if isinstance(v, dict) else v
        for k, v in row.items()
    }


def drawn(task: str, before: dict[str, Any], after: dict[str, Any]) -> Charts | None:
    """The reliability of one task's answers, or nothing where no confidence can be judged."""
    parts = {"before": before, "after": after}
    figures = {name: row["calibration"] for name, row in parts.items() if "calibration" in row}
    if not figures:
        return None
    return Charts(task, [reliability_chart(figures, f"{task}: {after['split']} split")])


def main() -> None:
    """Print one line of figures a task, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="folder of the model, or its name in the zoo")
    parser.add_argument("--config", default="", help="recipe whose data are scored")
    parser.add_argument("--tasks", default="", help="names, with commas; default: of the recipe")
    parser.add_argument("--split", default="test", help="split to score")
    parser.add_argument("--limit", type=int, default=0, help="most records of each task")
    parser.add_argument("--val-limit", type=int, default=200, help="most records to calibrate on")
    parser.add_argument("--samples", type=int, default=0, help="sampled answers for Fmax")
    parser.add_argument("--both", action="store_true", help="also residues one by one")
    parser.add_argument("--store", action="store_true", help="keep the calibration in the folder")
    parser.add_argument("--reliability", default="", help="page of reliability plots to write")
    parser.add_argument("--out", default="", help="file for all figures")
    given = parser.parse_args()
    model = sciar.load(given.model)
    recipe = recipes().get(given.config or model.name, Path(given.config or model.name))
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    named = [t for source in content["data"]["sources"] for t in source["tasks"]]
    tasks = given.tasks.split(",") if given.tasks else list(dict.fromkeys(named))
    rows: list[dict[str, Any]] = []
    charts: list[Charts] = []
    for task in tasks:
        held = spread(records_of(model, recipe, task, "val"), given.val_limit)
        parallel = model.tokenizer.tasks[task].codec.parallel
        found = calibrate(model, task, held, at_once=parallel)
        model = with_calibration(model, {task: found} if found else {})
        records = spread(records_of(model, recipe, task, given.split), given.limit)
        ways = (True, False) if parallel and given.both else (True,)
        for way in ways:
            row = score(model, task, records, at_once=way, samples=given.samples)
            row |= {"at_once": way and parallel, "split": given.split, "settings": found}
            rows.append(row)
            if given.reliability and way:
                cold = {k: v for k, v in found.items() if k in ("threshold", "offsets")}
                before = score(with_calibration(model, {task: cold}), task, records, at_once=way)
                row["before calibration"] = before.get("calibration")
                charts += filter(None, [drawn(task, before, row)])
            print(json.dumps(brief(row), default=float), flush=True)
    if given.store:
        model.save(given.model)
    if given.out:
        write_json(given.out, rows)
    if given.reliability:
        write_page(Path(given.reliability), f"Reliability of {model.name}", charts)


if __name__ == "__main__":
    main()
