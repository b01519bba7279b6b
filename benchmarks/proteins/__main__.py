"""Baselines and our models on one real set of proteins: ``python -m benchmarks.proteins NAME``.

All methods are trained on the same records of the set's own training split, their settings are
chosen on its validation split, and the test splits are scored once. ``--model`` adds predictions of
model folders of answers; their recipes say what they were trained on.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.proteins import linear
from benchmarks.proteins.networks import Baseline, Encoded, OneHot, Training
from benchmarks.proteins.sets import EXPERIMENTS, Example, Experiment, experiment, scores
from sciar import zoo
from sciar.datasets.files import write_json
from sciar.nn.encoders.esm2 import Esm2
from sciar.nn.encoders.esm2_weights import load_esm2

Parts = dict[str, list[Example]]
Method = Callable[[], tuple[dict[str, list[Any]], dict[str, Any]]]
SAMPLES = 50
METHODS = (
    "ridge", "ridge-pairs", "ridge-pairs-1", "ridge-pairs-log", "nearest", "cnn",
    "linear-probe", "attention-pool", "last-k",
)  # fmt: skip


def methods(
    given: Experiment, parts: Parts, encoder: Esm2 | None, blocks: int, training: Training
) -> Iterator[tuple[str, Method]]:
    """Name and run of every method that makes sense for an experiment."""
    per_residue = given.kind in ("residues", "sites")
    if per_residue:
        yield "ridge", partial(linear.ridge_windows, given, parts)
    elif given.variants:
        places = linear.varying(parts["train"])
        features = partial(linear.one_hot, places=places)
        yield "ridge", partial(linear.ridge, given, parts, features)
        if len(places) <= 4:
            paired: Callable[[str], np.ndarray] = lambda s: linear.with_pairs(features(s))  # noqa: E731
            yield "ridge-pairs", partial(linear.ridge, given, parts, paired)
            # A fixed penalty beside it: with few validation records the choice is a lottery.
            yield "ridge-pairs-1", partial(linear.ridge, given, parts, paired, (1.0,))
            if min(e.label for e in (*parts["train"], *parts["val"])) > -0.05:
                yield "ridge-pairs-log", partial(linear.ridge_of_logarithms, given, parts, paired)
    else:
        yield "ridge", partial(linear.ridge, given, parts, linear.composition)
        yield "nearest", partial(linear.nearest, given, parts)
    yield "cnn", partial(_network, given, parts, OneHot, "cnn", training)
    if encoder is None:
        return
    frozen, last = partial(Encoded, encoder), partial(Encoded, encoder, blocks)
    if per_residue:
        yield "linear-probe", partial(_network, given, parts, frozen, "linear", training)
    else:
        yield "linear-probe", partial(_probe, given, parts, encoder)
    yield "attention-pool", partial(_network, given, parts, frozen, "attention", training)
    yield "last-k", partial(_network, given, parts, last, "attention", training)


def _network(
    given: Experiment, parts: Parts, reader: Callable[[], Any], head: str, training: Training
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    baseline = Baseline(given, parts, reader(), head, training)
    settings = baseline.fit()
    return {name: baseline.predict(name) for name in given.tests}, settings


def _probe(
    given: Experiment, parts: Parts, encoder: Esm2
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Ridge regression on the mean of the frozen encoder's vectors."""
    reader = Encoded(encoder)
    texts = list({e.sequence for part in parts.values() for e in part})
    vectors = reader.prepare(texts)
    means = {
        t: v[1:-1].float().mean(0).double().numpy() for t, v in zip(texts, vectors, strict=True)
    }
    return linear.ridge(given, parts, means.__getitem__)


def ours(given: Experiment, folder: str, part: str, limit: int) -> dict[str, Any]:
    """Figures of a model folder's answers, for each of its tasks that answers the question."""
    from sciar.api.model import load
    from sciar.api.scoring import score
    from sciar.datasets.protein_sets import read_split

    model = load(folder)
    known: Any = model.tokenizer
    records = read_split(given.source, part, given.split)
    if limit and len(records) > limit:
        records = [records[i] for i in np.linspace(0, len(records) - 1, limit).astype(int)]
    found = {}
    for task in (t for t in given.tasks if t in known.tasks):
        # Scores of terms are their frequencies among sampled answers.
        figures = score(model, task, records, samples=SAMPLES if given.kind == "terms" else 0)
        found[task] = figures | figures.get("fmax", {})
    return found


def run(
    name: str,
    chosen: Sequence[str] = METHODS,
    encoder: str = "",
    blocks: int = 2,
    limit: int = 0,
    training: Training | None = None,
    models: Sequence[str] = (),
) -> dict[str, Any]:
    """Run the methods of one experiment; see :func:`main` for the arguments."""
    given = experiment(name)
    parts = {part: given.examples(part, limit) for part in ("train", "val", *given.tests)}
    network = load_esm2(zoo.find(encoder)) if encoder else None
    counts = {part: len(examples) for part, examples in parts.items()}
    out: dict[str, Any] = {
        "experiment": name, "records": counts, "limit": limit or None, "encoder": encoder or None,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads", "rows": [],
    }  # fmt: skip
    for method, start in methods(given, parts, network, blocks, training or Training()):
        if method not in chosen:
            continue
        began = time.perf_counter()
        made, settings = start()
        seconds = time.perf_counter() - began
        for part in given.tests:
            figures = scores(given, parts[part], made[part])
            row = {"method": method, "split": part, "figures": figures, "settings": settings}
            out["rows"].append({**row, "seconds": round(seconds, 1)})
            print(line(given, out["rows"][-1]), flush=True)
    for folder in models:
        for part in given.tests:
            for task, figures in ours(given, folder, part, limit).items():
                method = f"{Path(folder).name}:{task}"
                out["rows"].append({"method": method, "split": part, "figures": figures})
                print(line(given, out["rows"][-1]), flush=True)
    return out


def line(given: Experiment, row: dict[str, Any]) -> str:
    """One row as text: the figures that matter, each with its count."""
    f = row["figures"]
    if "spearman" in f:
        shown = f"spearman {_number(f['spearman'])}  ndcg {_number(f['ndcg'])}  of {f['count']:,}"
    elif "fmax" in f:
        shown = f"Fmax {_number(f['fmax'])} at {f['threshold']:.2f}  of {f['proteins']:,} proteins"
    elif "macro_f1" in f:
        shown = f"accuracy {_rate(f['accuracy'])}  macro F1 {_number(f['macro_f1'])}"
    elif "residues" in f and isinstance(f["residues"], dict):
        shown = (
            f"residues {_rate(f['residues'])}  mean of proteins {_number(f['proteins']['mean'])}"
        )
        for name in ("metal", "nucleic", "small"):
            if name in f:
                shown += f"  {name} F1 {_number(f[name]['f1'])} MCC {_number(f[name]['mcc'])}"
    else:
        shown = f"F1 {_number(f.get('f1', f.get('f1_micro')))}  MCC {_number(f.get('mcc'))}"
    return f"{given.name:<22} {row['split']:<5} {row['method']:<28} {shown}"


def _number(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"


def _rate(row: dict[str, Any]) -> str:
    share = row["count"] / row["of"] if row["of"] else 0.0
    return f"{share:.3f} ({row['count']:,} of {row['of']:,})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proteins", description=__doc__)
    parser.add_argument("name", nargs="+", choices=[*EXPERIMENTS, "all"], help="experiments")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    parser.add_argument("--encoder", default="", help="name or folder of a pretrained encoder")
    parser.add_argument("--blocks", type=int, default=2, help="blocks that last-k trains")
    parser.add_argument("--limit", type=int, default=0, help="most records of each split")
    parser.add_argument("--epochs", type=int, default=Training.epochs)
    parser.add_argument("--lr", type=float, default=Training.lr)
    parser.add_argument(
        "--model", action="append", default=[], help="folder of our own; repeatable"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", default="", help="file for all figures and settings")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    names = list(EXPERIMENTS) if "all" in given.name else given.name
    training = Training(epochs=given.epochs, lr=given.lr, seed=given.seed)
    found = []
    for name in names:
        found.append(
            run(name, given.methods.split(","), given.encoder, given.blocks, given.limit, training,
                given.model)
        )  # fmt: skip
        if given.json:
            write_json(given.json, found)
    if not given.json:
        print(json.dumps([{k: v for k, v in f.items() if k != "rows"} for f in found]))


if __name__ == "__main__":
    main()
