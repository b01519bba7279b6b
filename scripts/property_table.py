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
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from property_baselines import Parts, graph_network, labels, ridge

import sciar
from sciar.datasets.datamodule import StructureData
from sciar.datasets.files import write_json
from sciar.evaluation.properties import score_numbers
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tokenization.property import PropertyTokenizer
from sciar.training import TrainingCLI, with_recipes
from sciar.training import main as train

METHODS = ("pretrained", "scratch", "graph", "ridge")


def words_of(recipe: str, options: argparse.Namespace) -> list[str]:
    """What every run of a recipe has in common."""
    words = ["fit", "--config", recipe, "--trainer.accelerator", "cpu"]
    words += ["--trainer.enable_progress_bar", "false", "--data.cache", str(options.cache)]
    words += ["--data.limit", str(options.limit)] if options.limit else []
    return words + (["--data.batch_tokens", str(options.tokens)] if options.tokens else [])


def split(recipe: str, options: argparse.Namespace) -> tuple[Parts, list[str]]:
    """Records of each part, coordinates included, and the columns that are asked for."""

    class Made(TrainingCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Only the data is wanted."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words = with_recipes(words_of(recipe, options))
        data = Made(AutoregressiveTask, StructureData, args=words).datamodule
        assert isinstance(data, StructureData) and isinstance(data.tokenizer, PropertyTokenizer)
        parts = {part: data.records(part) for part in ("train", "val", "test")}
    return parts, [target.column for target in data.tokenizer.asked]


def trained(
    recipe: str,
    seed: int,
    folder: Path,
    options: argparse.Namespace,
    init: str,
    parts: Parts,
    columns: Sequence[str],
) -> np.ndarray:
    """(N test, T) predictions of one training run; NaN where one failed."""
    words = words_of(recipe, options) + ["--trainer.default_root_dir", str(folder)]
    words += ["--seed_everything", str(seed), "--model.seed", str(seed), "--data.seed", str(seed)]
    if options.steps:
        words += ["--trainer.max_steps", str(options.steps)]
        words += [
            "--trainer.val_check_interval",
            "1.0",
            "--trainer.check_val_every_n_epoch",
            "9999",
        ]
    if init:
        words += ["--model.init_from", init]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(words)
    model = sciar.load(folder / "model")
    found = list(model.predict(parts["test"], views=options.views))
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
    parts, columns = split(recipe, options)

    def row(method: str, seed: int, predicted: Callable[[], np.ndarray]) -> dict[str, Any]:
        start = time.perf_counter()
        return _row(name, method, seed, predicted(), parts, columns, start)

    for method, init in (("pretrained", options.init), ("scratch", "")):
        for seed in options.seeds if method in options.methods else ():
            folder = work / f"{name}-{method}-{seed}"
            yield row(
                f"decoder, {method}",
                seed,
                lambda f=folder, s=seed, i=init: trained(recipe, s, f, options, i, parts, columns),
            )
    for seed in options.seeds if "graph" in options.methods else ():
        yield row(
            "AttentiveFP (PyG)",
            seed,
            lambda s=seed: graph_network(parts, columns, s, options.epochs),
        )
    if "ridge" in options.methods:
        yield row("Morgan + ridge", 0, lambda: ridge(parts, columns))


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
    parser.add_argument("--tokens", type=int, default=0, help="tokens a batch; 0: the recipe's")
    parser.add_argument("--epochs", type=int, default=100, help="most epochs of the graph network")
    parser.add_argument("--views", type=int, default=0, help="encodings averaged at test time")
    parser.add_argument("--limit", type=int, default=0, help="molecules of each part, for trials")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--json", default="")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args(arguments)
    if not options.init:
        options.methods = [m for m in options.methods if m != "pretrained"]
    if "ridge" in options.methods and find_spec("sklearn") is None:
        parser.error("the ridge baseline needs scikit-learn: pip install 'sciar[baselines]'")
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
