"""The central claim of IG-LLM on the recipe ``dots``, shrunk: numbers by a head, or by characters.

One red dot, trained on the black squares of a board. Errors are distances in units of the canvas,
on unseen pictures of the same squares (``id``), of the white squares between them
(``interpolation``), and of the frame around the board (``extrapolation``). All ways have the same
pictures, encoder, decoder, steps and learning rate; nothing was tuned for one of them.

    python scripts/inversion_experiment.py --out docs/inversion-results.json

A run that is there already is not done again, so an interrupted script goes on.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sciar
from sciar.api import Model
from sciar.datasets.files import write_json
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.shards import Job
from sciar.evaluation.intervals import coverage
from sciar.records import Program

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "characters": ("char", {}),
    "float-point": ("float", {"type": "sciar.heads.point.PointHead", "options": {}}),
    "float-histogram": (
        "float",
        {"type": "sciar.heads.histogram.HistogramHead", "options": {"bins": 64}},
    ),
}
SPLITS = ("id", "interpolation", "extrapolation")
# Lines of the board (at 0.1 + 0.8 k / 5 of the places of centres) and of the patches (every 8th
# pixel of 32) do not coincide.
PICTURES = {"size": 32, "radius": 2.0, "cells": 5, "margin": 0.1}
LEVELS = (0.5, 0.9)
BATCH = 32


def main() -> None:
    """Train and measure what is missing, then write all rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", default="docs/inversion-results.json")
    parser.add_argument("--work", default="runs/inversion")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--count", type=int, default=300, help="pictures of each split")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(options.out)
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    done = {(r["way"], r["seed"], r["steps"]) for r in rows}
    for seed in options.seeds:
        for way in options.ways:
            if (way, seed, options.steps) in done:
                continue
            start = time.process_time()
            model = train(way, seed, options.steps, Path(options.work))
            trained = time.process_time()
            row = {"way": way, "seed": seed, "steps": options.steps}
            row |= {"training_cpu_seconds": round(trained - start, 1)}
            row |= {split: measure(model, split, options.count) for split in SPLITS}
            row["decoding_cpu_seconds"] = round(time.process_time() - trained, 1)
            rows.append(row)
            facts = {"pictures": PICTURES, "count": options.count, "batch": BATCH}
            write_json(path, {**facts, "rows": rows})
            print(json.dumps(row), flush=True)


def train(way: str, seed: int, steps: int, work: Path) -> Model:
    """One run of ``sciar fit``."""
    from sciar.training import main as fit

    numbers, head = WAYS[way]
    folder = work / f"{way}-{seed}-{steps}"
    pictures = [{"data": "dots", "count": 20000, "seed": seed, "options": PICTURES}]
    small = {
        "trainer.default_root_dir": str(folder),
        "trainer.max_steps": steps,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.enable_progress_bar": "false",
        "trainer.val_check_interval": steps,
        "trainer.callbacks": json.dumps(
            [
                {"class_path": "sciar.training.ExportModel", "init_args": {"name": f"dots-{way}"}},
                {
                    "class_path": "lightning.pytorch.callbacks.EMAWeightAveraging",
                    "init_args": {"decay": 0.99},
                },
            ]
        ),
        "trainer.logger": "false",
        "data.train": json.dumps(pictures),
        "data.val": json.dumps([{**pictures[0], "split": "id", "count": 64}]),
        "data.seed": seed,
        # as many pictures a step, whatever the length of a program
        "data.batch_tokens": BATCH * {"char": 3 + 16 + 14, "float": 3 + 16 + 6}[numbers],
        "data.tokenizer.init_args.numbers": numbers,
        "data.tokenizer.init_args.frame": json.dumps(
            {"kind": "image", "size": [32, 32], "patch": 8}
        ),
        "model.seed": seed,
        "model.warmup": 100,
        "model.lr": 2e-3,
        "model.input_lr": 2e-3,
        "model.model.decoder.layers": 2,
        "model.model.decoder.hidden": 64,
        "model.model.decoder.heads": 4,
        "model.model.inputs": json.dumps(
            {
                "<image>": {
                    "type": "sciar.nn.encoders.patches.PatchEncoder",
                    "options": {"grid": [4, 4], "layers": 2, "width": 64, "heads": 4},
                }
            }
        ),
        "model.model.heads": json.dumps({"default": head} if head else {}),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(["fit", "--config", "dots", *(f"--{k}={v}" for k, v in small.items())])
    return sciar.load(folder / "model")


def measure(model: Model, split: str, count: int) -> dict[str, Any]:
    """Errors on unseen pictures of a split, and coverage of the heads' intervals."""
    job = Job(DotMaker(**PICTURES), split, count, seed=1000)
    made = [job.picture(i) for i in range(count)]
    truth = np.array([[p.program.calls[0].arguments[k][0] for k in "xy"] for p in made])
    seen = [(str(i), p.image) for i, p in enumerate(made)]
    found = list(model.invert(seen, level=LEVELS[1], batch_size=128))
    empty = sum(not len(f.program or ()) for f in found)
    # A program without a dot says the middle of the canvas.
    guess = np.array([_place(f.program) for f in found])
    error = np.linalg.norm(guess - truth, axis=1)
    row: dict[str, Any] = {"count": count, "parsed": sum(f.ok for f in found), "without_dot": empty}
    row |= {"mean": error.mean(), "median": np.median(error), "p95": np.quantile(error, 0.95)}
    row["within_0.02"] = int((error < 0.02).sum())
    row["interval_of_mean"] = bootstrap(error)
    for level in LEVELS:
        own = found if level == LEVELS[1] else list(model.invert(seen, level=level))
        ends = [f.spans[0].get(k, [None])[0] if f.spans else None for f in own for k in "xy"]
        if None not in ends:
            row[f"coverage_{level:g}"] = coverage(np.array(ends), truth.ravel())
    return row


def _place(program: Program | None) -> list[float]:
    if program is None or not len(program):
        return [0.5, 0.5]
    return [float(program.calls[0].arguments[k][0]) for k in "xy"]  # type: ignore[index]


def bootstrap(error: np.ndarray, resamples: int = 1000) -> list[float]:
    """95 % interval of a mean over pictures."""
    rng = np.random.default_rng(0)
    means = error[rng.integers(len(error), size=(resamples, len(error)))].mean(1)
    return [float(q) for q in np.quantile(means, (0.025, 0.975))]


if __name__ == "__main__":
    main()
