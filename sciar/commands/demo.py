"""``sciar demo``: every installed model at work, in one page."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar import zoo
from sciar.commands import exits
from sciar.commands.files import write_json, write_page

if TYPE_CHECKING:
    from sciar.api import Model, Sample
    from sciar.evaluation.report import Section


def demo(
    out: str = "demo", n: int = 24, seed: int = 0, zoo_only: bool = False, json: str = ""
) -> int:
    """Every installed model at work: structures made, proteins asked about; one page shows all.

    Writes CIF, extended XYZ and SDF files, answers as JSON lines, and report.html. Without an
    installed model a tiny one is trained first, on the sample that ships with the package.

    Args:
        out: folder to write.
        n: structures of each model.
        seed: fixes the samples.
        zoo_only: fail instead of training a tiny model if none is installed.
        json: file for the counts and metrics of each model.
    """
    from sciar import api
    from sciar.commands.demo_answers import show_answers
    from sciar.commands.demo_training import tiny_models
    from sciar.evaluation.report import Text

    start = time.monotonic()
    folder = Path(out)
    found = [p for p in zoo.paths().values() if not zoo.describe(p).is_encoder]
    models = [api.load(path) for path in found]
    intro = [
        f"{len(models)} models of the zoo, {n} structures each, seed {seed}. Those that answer "
        "questions are asked about a few proteins."
    ]
    if not models and not zoo_only:
        print("no model is installed: training tiny ones on the shipped sample (a minute)")
        models = tiny_models()
        intro = [
            "No model is installed, so tiny ones were trained on the spot, on the few structures "
            "that ship with the package. They show how the parts work together, not what "
            "trained models reach."
        ]
    sections: list[Section] = [Text(intro)]
    numbers: dict[str, Any] = {}
    kept = asked = 0
    for model in models:
        if "task" in model.tokenizer.conditions:
            lines = _card_lines(model)
            good, total = show_answers(model, min(n, 4), folder, lines, sections, numbers)
            kept, asked = kept + good, asked + total
        for kind in model.tokenizer.makes:
            good, total = _show(model, kind, n, seed, folder, sections, numbers)
            kept, asked = kept + good, asked + total
    facts = {"seconds": round(time.monotonic() - start, 1), "seed": seed}
    page = write_page(folder / "report.html", "SciAR demo", sections, provenance=facts)
    if json:
        write_json(json, numbers)
    what = f"{kept} of {asked} structures and answers in {facts['seconds']} s"
    print(f"{what}, written to {folder.resolve()}")
    print(f"open {page.resolve()} in a browser")
    return exits.of(kept, asked)


def _show(
    model: Model,
    kind: str,
    n: int,
    seed: int,
    folder: Path,
    sections: list[Section],
    numbers: dict[str, Any],
) -> tuple[int, int]:
    """Generate with one model, write the files, add to the page; (kept, requested)."""
    from sciar.commands.counts import Counts
    from sciar.commands.demo_prompts import prompts_for
    from sciar.evaluation.report import Text
    from sciar.evaluation.sections import Shown, gallery

    prompts = prompts_for(model, kind, n)
    stream = model.stream(**prompts.arguments, seed=seed)
    start = time.monotonic()
    samples = sorted(stream, key=lambda sample: sample.index)
    seconds = time.monotonic() - start
    counts = Counts.of(samples, stream.requested)
    name = model.name if len(model.tokenizer.makes) == 1 else f"{model.name} ({kind})"
    print(f"{name}: {counts.kept} of {counts.requested} {kind} in {seconds:.1f} s")
    _write(samples, folder / kind / model.name, kind)
    shown = [Shown(s.id, s.record, s.status, s.message) for s in samples]
    metrics, summary = _metrics(samples, kind)
    what = [prompts.what, *_card_lines(model)]
    pictures = gallery(f"{name}: structures", shown, limit=n)
    sections += [Text(what, name), pictures, counts.table(), metrics]
    numbers[name] = {"counts": counts.to_dict(), "seconds": seconds, "metrics": summary}
    return counts.kept, counts.requested


def _card_lines(model: Model) -> list[str]:
    """What the card says in prose, before its tables, and what the model was trained on."""
    opening = model.card.partition("\n## ")[0].splitlines()
    prose = [line for line in opening if line.strip() and not line.startswith(("#", "-"))]
    trained = [f"Trained on {model.info['data']}."] if model.info.get("data") else []
    return [*prose, *trained]


def _write(samples: list[Sample], target: Path, kind: str) -> None:
    """A folder of files, or one file where its format holds many; and all as extended XYZ."""
    from sciar.datasets.writers import NATURAL, write

    records = [s.to_record() for s in samples if s.ok]
    target.parent.mkdir(parents=True, exist_ok=True)
    write(records, target.with_name(target.name + ".extxyz"))
    # Viewers show one structure of a CIF file, and all of an SDF file.
    one = NATURAL[kind] == "sdf"
    write(records, target.with_name(f"{target.name}.{NATURAL[kind]}") if one else target)


def _metrics(samples: list[Sample], kind: str) -> tuple[Section, dict[str, Any]]:
    """Validity and uniqueness; figures against references need their whole set (docs, cards)."""
    from sciar.evaluation import evaluate_denovo_crystals, evaluate_molecules
    from sciar.evaluation.sections import metrics_table

    structures: list[Any] = [s.record for s in samples]
    quiet: dict[str, Any] = {"ids": [s.id for s in samples], "progress": False}
    metrics: dict[str, Callable[..., Any]] = {
        "crystals": partial(evaluate_denovo_crystals, references=[], sample=0),
        "molecules": evaluate_molecules,
    }
    summary = metrics[kind](structures, **quiet).summary()
    return metrics_table("Metrics", {"these structures": summary}), summary
