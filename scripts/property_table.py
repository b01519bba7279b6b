"""Property prediction on MoleculeNet: the decoder from a pretrained model and from scratch, beside
a fingerprint with ridge regression and a graph network, on the same scaffold split in one run.

    python scripts/property_table.py --sets esol freesolv lipo --init sciar/zoo/qm9-denovo \
        --seeds 0 1 2 --steps 1500 --json properties.json

Every method sees the same training molecules; choices (strength of the ridge, when to stop the
graph network) are made on validation molecules; test molecules are scored once. The ridge has no
seed. Prints mean and standard deviation over the seeds of the mean absolute error and of the root
of the mean squared error, averaged over the targets of a set.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from property_baselines import Parts, graph_network, labels, ridge

import sciar
from sciar.datasets.datamodule import StructureData
from sciar.datasets.files import write_json
from sciar.evaluation.properties import score_numbers
from sciar.tokenization.property import PropertyTokenizer
from sciar.training import TrainingCLI
from sciar.training import main as train


def fitted(
    recipe: str, seed: int, folder: Path, options: argparse.Namespace, init: str
) -> TrainingCLI:
    """Train the recipe once; its data module holds the split that every method gets."""
    words = ["fit", "--config", recipe, "--trainer.default_root_dir", str(folder)]
    words += ["--seed_everything", str(seed), "--model.seed", str(seed), "--data.seed", str(seed)]
    words += ["--trainer.accelerator", "cpu", "--trainer.logger", "false"]
    words += ["--trainer.enable_progress_bar", "false", "--data.cache", str(options.cache)]
    if options.steps:
        words += ["--trainer.max_steps", str(options.steps)]
        words += ["--trainer.val_check_interval", str(options.steps)]
    if options.limit:
        words += ["--data.limit", str(options.limit)]
    if init:
        words += ["--model.init_from", init]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(words)


def decoder(folder: Path, parts: Parts, columns: Sequence[str], views: int) -> np.ndarray:
    """(N test, T) predictions of the model that a run has written; NaN where one failed."""
    model = sciar.load(folder / "model")
    found = list(model.predict(parts["test"], views=views))
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, PropertyTokenizer)
    names = {t.column: t.name for t in tokenizer.asked}
    return np.array([[p.values.get(names[c], np.nan) for c in columns] for p in found], dtype=float)


def scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """MAE and RMSE of each target, with counts, and their means over the targets."""

    def plain(column: np.ndarray) -> list[float | None]:
        return [None if np.isnan(x) else float(x) for x in column]

    each = [
        score_numbers(plain(p), plain(t), bootstrap=0)
        for p, t in zip(predicted.T, truth.T, strict=True)
    ]
    return {
        "mae": float(np.mean([s["mae"]["mean"] for s in each])),
        "rmse": float(np.mean([s["rmse"]["mean"] for s in each])),
        "predicted": sum(s["predicted"] for s in each),
        "labelled": sum(s["labelled"] for s in each),
        "targets": each,
    }


def rows(name: str, options: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """Scores of each method and seed on one set."""
    recipe = f"{options.recipes}-{name}"
    parts: Parts = {}
    columns: list[str] = []
    for method, init in (("decoder, pretrained", options.init), ("decoder, from scratch", "")):
        if method.endswith("pretrained") and not init:
            continue
        for seed in options.seeds:
            folder, start = work / f"{name}-{bool(init)}-{seed}", time.perf_counter()
            cli = fitted(recipe, seed, folder, options, init)
            if not parts:
                data = cli.datamodule
                assert isinstance(data, StructureData)
                assert isinstance(data.tokenizer, PropertyTokenizer)
                parts = {part: data.records(part) for part in ("train", "val", "test")}
                columns = [t.column for t in data.tokenizer.asked]
            found = decoder(folder, parts, columns, options.views)
            yield _row(name, method, seed, found, parts, columns, start)
    for seed in options.seeds:
        start = time.perf_counter()
        found = graph_network(parts, columns, seed, options.epochs)
        yield _row(name, "AttentiveFP (PyG)", seed, found, parts, columns, start)
    start = time.perf_counter()
    yield _row(name, "Morgan + ridge", 0, ridge(parts, columns), parts, columns, start)


def _row(
    name: str,
    method: str,
    seed: int,
    found: np.ndarray,
    parts: Parts,
    columns: Sequence[str],
    start: float,
) -> dict[str, Any]:
    sizes = {f"{part}_molecules": len(records) for part, records in parts.items()}
    row = {"set": name, "method": method, "seed": seed, **sizes}
    row |= scores(found, labels(parts["test"], columns))
    print(
        f"{name:<10} {method:<24} seed {seed}  MAE {row['mae']:.4f}  RMSE {row['rmse']:.4f}  "
        f"({row['predicted']:,} of {row['labelled']:,} labels)",
        flush=True,
    )
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds."""
    lines = [f"{'set':<10} {'method':<24} {'MAE':>18} {'RMSE':>18}  seeds"]
    for name, method in dict.fromkeys((r["set"], r["method"]) for r in found):
        own = [r for r in found if (r["set"], r["method"]) == (name, method)]
        cells = []
        for key in ("mae", "rmse"):
            values = np.array([r[key] for r in own])
            spread = f" +- {values.std(ddof=1):.4f}" if len(own) > 1 else ""
            cells.append(f"{values.mean():.4f}{spread}")
        lines.append(f"{name:<10} {method:<24} {cells[0]:>18} {cells[1]:>18}  {len(own)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["esol", "freesolv", "lipo", "qm8"])
    parser.add_argument("--recipes", default="moleculenet", help="RECIPES-SET is trained")
    parser.add_argument("--init", default="", help="model folder to fine-tune")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0: the recipe's")
    parser.add_argument("--epochs", type=int, default=100, help="most epochs of the graph network")
    parser.add_argument("--views", type=int, default=0, help="encodings averaged at test time")
    parser.add_argument("--limit", type=int, default=0, help="molecules of each part, for trials")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--json", default="")
    options = parser.parse_args(arguments)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        for name in options.sets:
            found += rows(name, options, Path(work))
    print(table(found))
    if options.json:
        write_json(
            options.json, {"options": {k: str(v) for k, v in vars(options).items()}, "rows": found}
        )
    return found


if __name__ == "__main__":
    main()
