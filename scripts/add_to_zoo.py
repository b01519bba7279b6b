"""Put a trained model into the zoo: bf16 weights, sampling defaults, a card with measured metrics.

    python scripts/add_to_zoo.py runs/perov5-csp/model --sampling '{"steps": 20}' \
        --metrics test=runs/perov5-csp/test.json --note "..."

``--metrics`` takes the files that ``sciar evaluate --json`` wrote; the card shows their counts.
``--scores`` takes those of ``scripts/score_answers.py --out``, for models of answers, with the
calibration that they hold.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from sciar.api.selection import Tally
from sciar.datasets.readers import read_all
from sciar.evaluation import format_table
from sciar.folder import load_folder, save_folder
from sciar.records import Crystal, Molecule, Structure

ZOO = Path(__file__).resolve().parents[1] / "sciar" / "zoo"
LABELS = {
    "data": "trained on",
    "recipe": "recipe",
    "steps": "optimiser steps",
    "parameters": "parameters",
    "hardware": "hardware",
    "versions": "versions",
}


def card(name: str, info: dict[str, Any], sampling: dict[str, Any], parts: list[str]) -> str:
    """Text of the model card."""
    facts = [f"- {label}: {info[key]}" for key, label in LABELS.items() if key in info]
    facts.append(f"- sampling defaults: {sampling or 'those of the heads'}")
    facts.append("- weights: exponential moving average, stored in bf16")
    return "\n".join([f"# {name}", "", *facts, "", *parts]).rstrip() + "\n"


def metrics(label: str, path: Path) -> str:
    """One section of the card from a file of ``sciar evaluate --json``."""
    found = json.loads(path.read_text(encoding="utf-8"))
    summary = found.get("summary") or found.get("metrics") or found
    about = Tally(**{"selection": "", **found.get("samples", {})}).line()
    head = f"{about[:1].upper()}{about[1:]}.\n\n" if about else ""
    return f"## Metrics: {label}\n\n{head}```\n{format_table(summary)}\n```\n"


def scores(label: str, path: Path) -> tuple[str, dict[str, Any]]:
    """One section of the card from a file of ``score_answers.py``, and the calibration of tasks."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"## Scores: {label}", "", "| task | figures | answered | ECE |", "|---|---|---|---|"]
    settings: dict[str, Any] = {}
    for row in rows:
        how = " one by one" if "residues" in row and not row["at_once"] else ""
        error = (row.get("calibration") or {}).get("ece")
        lines.append(
            f"| {row['task']}{how} | {figures(row)} | {row['answered']:,} of {row['records']:,} | "
            f"{'' if error is None else f'{error:.3f}'} |"
        )
        if row.get("settings") and not how:
            settings[row["task"]] = row["settings"]
    return "\n".join([*lines, ""]), settings


def figures(row: dict[str, Any]) -> str:
    """The figures of one task, with counts."""
    found = []
    for name in ("residues", "accuracy"):
        if isinstance(row.get(name), dict):
            r = row[name]
            found.append(f"{name} {r['rate']:.3f} ({r['count']:,} of {r['of']:,})")
    if "macro_f1" in row:
        found.append(f"macro F1 {row['macro_f1']:.3f}")
    for name in ("spearman", "spearman of means", "ndcg", "mcc", "f1", "f1_micro"):
        if isinstance(row.get(name), float):
            found.append(f"{name} {row[name]:.3f}")
    if "interval" in row:
        r = row["interval"]
        found.append(
            f"{r['level']:.0%} interval holds {r['rate']:.3f} ({r['count']:,} of {r['of']:,})"
        )
    if "fmax" in row:
        found.append(f"Fmax {row['fmax']['fmax']:.3f} ({row['fmax']['proteins']:,} proteins)")
    return ", ".join(found)


def examples(path: Path, count: int = 24) -> list[str]:
    """Compositions or SMILES of some records, evenly spread over the file."""
    records, _ = read_all(path)
    picked = records[:: max(1, len(records) // count)][:count]
    return [prompt(record.structure) for record in picked]


def prompt(structure: Structure) -> str:
    """What a user would ask for to get this structure."""
    match structure:
        case Crystal():
            return " ".join(f"{symbol}{n}" for symbol, n in structure.composition.items())
        case Molecule():
            return structure.to_smiles()
        case _:
            assert_never(structure)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--sampling", type=json.loads, default={})
    parser.add_argument("--metrics", action="append", default=[], metavar="LABEL=FILE")
    parser.add_argument("--scores", action="append", default=[], metavar="LABEL=FILE")
    parser.add_argument("--note", action="append", default=[])
    parser.add_argument("--examples", type=Path, help="records whose content the demo asks for")
    options = parser.parse_args()
    content = load_folder(options.folder)
    name = options.name or content.name
    parts = [f"{note}\n" for note in options.note]
    for entry in options.metrics:
        label, _, file = entry.partition("=")
        parts.append(metrics(label, Path(file)))
    info = {k: v for k, v in content.info.items() if k != "examples"}
    for entry in options.scores:
        label, _, file = entry.partition("=")
        section, settings = scores(label, Path(file))
        parts.append(section)
        if settings:
            info["calibration"] = {**info.get("calibration", {}), **settings}
    text = card(name, content.info, options.sampling, parts)
    if options.examples:
        info["examples"] = examples(options.examples)
    made = replace(content, name=name, sampling=options.sampling, card=text, info=info)
    save_folder(ZOO / name, made, half=True)
    size = (ZOO / name / "model.safetensors").stat().st_size / 1e6
    print(f"{ZOO / name}: {size:.1f} MB")


if __name__ == "__main__":
    main()
