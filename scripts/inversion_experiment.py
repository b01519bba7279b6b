"""The central claim of IG-LLM in small: numbers by a head, or by characters, on one red dot.

As in the paper the encoder is frozen: here our own, first trained to find the dot anywhere on the
canvas (which patch holds its centre, and where). The decoder then learns from the black squares of
a board. Errors are distances in units of the canvas, on unseen
pictures of the same squares (``id``), of the white squares between them (``interpolation``), and of
the frame around the board (``extrapolation``). All ways have the same pictures, encoder, decoder,
steps and learning rate; nothing was tuned for one of them. The recipe ``dots`` is the same task in
full, trained end to end; here a plain loop spares what a run of minutes does not need.

    python scripts/inversion_experiment.py --out docs/inversion-results.json

A run that is there already is not done again, so an interrupted script goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from sciar.api import Model
from sciar.datasets.files import write_json
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.shards import Job
from sciar.datasets.tokens import TokenCache
from sciar.evaluation.intervals import coverage
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.nn.encoders.raster import RasterConfig, RasterEncoder
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Program
from sciar.tokenization.programs.frames import ImageFrame
from sciar.tokenization.programs.observed import Observed, ObservedProgramTokenizer
from sciar.tokenization.sequence import ARRAYS, TokenSequence

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
BATCH, TRAINING, LR = 64, 8192, 2e-3
EYE: dict[str, Any] = {"grid": [4, 4], "layers": 2, "width": 64, "heads": 4}


def main() -> None:
    """Train and measure what is missing, then write all rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", default="docs/inversion-results.json")
    parser.add_argument("--work", default="runs/inversion", help="folder of the encoder")
    parser.add_argument("--eye-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--count", type=int, default=300, help="pictures of each split")
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(options.out)
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    if options.table:
        print(table(rows))
        return
    done = {(r["way"], r["seed"], r["steps"]) for r in rows}
    folder = Path(options.work)
    eye = json.loads((folder / "eye.json").read_text()) if (folder / "eye.json").exists() else {}
    if not eye:
        eye = train_eye(folder, options.eye_steps)
        write_json(folder / "eye.json", eye)
        print(json.dumps(eye), flush=True)
    for seed in options.seeds:
        for way in options.ways:
            if (way, seed, options.steps) in done:
                continue
            start = time.process_time()
            model = train(way, seed, options.steps, folder)
            trained = time.process_time()
            row = {"way": way, "seed": seed, "steps": options.steps}
            row |= {"training_cpu_seconds": round(trained - start, 1)}
            row |= {split: measure(model, split, options.count) for split in SPLITS}
            row["decoding_cpu_seconds"] = round(time.process_time() - trained, 1)
            rows.append(row)
            facts = {
                "pictures": PICTURES,
                "count": options.count,
                "batch": BATCH,
                "training": TRAINING,
                "eye": eye,
            }
            write_json(path, {**facts, "rows": rows})
            print(json.dumps(row), flush=True)


def train_eye(folder: Path, steps: int) -> dict[str, Any]:
    """Train the encoder on dots anywhere, and write its weights.

    Returns:
        Steps, CPU seconds, and the error of its own readout on 300 unseen pictures.
    """
    start = time.process_time()
    torch.manual_seed(0)
    frame = ImageFrame([32, 32], patch=8)
    encoder = RasterEncoder(RasterConfig((4, 4), frame.width, 3, 2, 64, 4))
    readout = torch.nn.Linear(64, 3)
    parameters = [*encoder.parameters(), *readout.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LR, betas=(0.9, 0.98), fused=True)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, steps, pct_start=0.1)
    job = Job(DotMaker(**PICTURES), "uniform", BATCH * steps + 300, seed=7)

    def batch(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        made = [job.picture(first + i) for i in range(count)]
        place = torch.tensor([_place(p.program) for p in made]).float()
        pixel = PICTURES["radius"] + place * (32 - 2 * PICTURES["radius"])
        column, row = (pixel / 8).long().clamp(0, 3).unbind(1)
        patches = np.stack([frame.patches(p.image) for p in made])
        return torch.from_numpy(patches), place, 4 * row + column

    for step in range(steps):
        patches, place, cell = batch(BATCH * step, BATCH)
        out = readout(encoder(patches))
        there = out[torch.arange(BATCH), cell, 1:]
        loss = F.cross_entropy(out[..., 0], cell) + 10 * F.smooth_l1_loss(there, place, beta=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    with torch.no_grad():
        patches, place, _ = batch(BATCH * steps, 300)
        out = readout(encoder.eval()(patches))
        error = (out[torch.arange(300), out[..., 0].argmax(1), 1:] - place).norm(dim=1)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"eye.encoder.{k}": v.contiguous() for k, v in encoder.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    seconds = round(time.process_time() - start, 1)
    return {"steps": steps, "cpu_seconds": seconds, "error": float(error.mean())}


def train(way: str, seed: int, steps: int, folder: Path) -> Model:
    """A model of one way, trained on ``TRAINING`` pictures of this seed."""
    numbers, head = WAYS[way]
    tokenizer = ObservedProgramTokenizer(
        "dots", {"kind": "image", "size": [32, 32], "patch": 8}, numbers=numbers, max_calls=1
    )
    job = Job(DotMaker(**PICTURES), "train", TRAINING, seed)
    made = [job.picture(i) for i in range(TRAINING)]
    tokenizer.fit_statistics([p.program for p in made])
    data = _cache([tokenizer.encode(Observed(p.program, p.image)) for p in made])  # type: ignore[arg-type]
    torch.manual_seed(seed)
    frozen = {"train": "frozen", "weights": str(folder), "cache": str(folder / "features")}
    config = ModelConfig(
        decoder=DecoderConfig(layers=2, hidden=64, heads=4),
        heads={"default": HeadConfig(**head)} if head else {},
        inputs={
            "<image>": InputConfig("sciar.nn.encoders.patches.PatchEncoder", {**EYE, **frozen})
        },
        max_anchors=16,
    )
    network = AutoregressiveModel(tokenizer.vocabulary, 0, config)
    objective = NextTokenObjective(noise=0.05)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LR, betas=(0.9, 0.98), fused=True)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, steps, pct_start=0.1)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        batch = data.pack(rng.choice(TRAINING, BATCH, replace=False))
        loss, _ = objective.total(objective.losses(network, batch, salt=step))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        plan.step()
        if step % 100 == 0:
            print(f"{way} {seed} {step} {float(loss.detach()):.3f}", file=sys.stderr, flush=True)
    return Model(ModelFolder(f"dots-{way}", network.eval(), tokenizer, {}, {}, ""))


def _cache(sequences: list[TokenSequence]) -> TokenCache:
    lengths = np.array([len(s) for s in sequences])
    return TokenCache(
        arrays={n: np.concatenate([getattr(s, n) for s in sequences]) for n in ARRAYS},
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        contexts=np.array([s.context for s in sequences]),
        ids=[str(i) for i in range(len(sequences))],
        copies=1,
        skipped=[],
    )


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


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each run and split, with counts and the interval of the mean."""
    lines = [
        "| numbers | seed | pictures | mean error [95 %] | median | 95th percentile | < 0.02 |"
    ]
    lines.append("|" + " --- |" * 7)
    for split in SPLITS:
        for row in sorted(rows, key=lambda r: (r["way"], r["seed"])):
            own = row[split]
            low, high = own["interval_of_mean"]
            lines.append(
                f"| {row['way']} | {row['seed']} | {split}, {own['count']} | {own['mean']:.4f} "
                f"[{low:.4f}, {high:.4f}] | {own['median']:.4f} | {own['p95']:.4f} | "
                f"{own['within_0.02']} / {own['count']} |"
            )
    return "\n".join(lines)


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
