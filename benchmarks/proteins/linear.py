"""Baselines without a network: ridge regression on residues, and the closest training protein."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.proteins.sets import Example, Experiment, headline, scores
from sciar.datasets.homologues import Homologues

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
STRENGTHS = tuple(10.0**p for p in range(-2, 6))
WINDOW = 17
_INDEX = {letter: i for i, letter in enumerate(LETTERS)}


def composition(sequence: str) -> np.ndarray:
    """(421,) shares of residues and of pairs of neighbours, and the log of the length."""
    ids = [_INDEX[a] for a in sequence if a in _INDEX]
    single = np.bincount(ids, minlength=20) / max(1, len(ids))
    pairs = [20 * a + b for a, b in itertools.pairwise(ids)]
    double = np.bincount(pairs, minlength=400) / max(1, len(pairs))
    return np.concatenate([single, 20 * double, [np.log(len(sequence))]])


def varying(examples: Sequence[Example]) -> np.ndarray:
    """Positions at which sequences of one length differ."""
    table = np.array([list(e.sequence) for e in examples])
    return np.flatnonzero((table != table[0]).any(0))


def one_hot(sequence: str, places: np.ndarray) -> np.ndarray:
    """(20 P,) the residue at each of P positions."""
    out = np.zeros((len(places), 20))
    for row, place in enumerate(places):
        if sequence[place] in _INDEX:
            out[row, _INDEX[sequence[place]]] = 1.0
    return out.ravel()


def with_pairs(features: np.ndarray) -> np.ndarray:
    """One-hot features of P positions, and of each pair of them: (20 P + 400 P (P - 1) / 2)."""
    blocks = features.reshape(-1, 20)
    pairs = [
        np.outer(blocks[i], blocks[j]).ravel()
        for i in range(len(blocks))
        for j in range(i + 1, len(blocks))
    ]
    return np.concatenate([features, *pairs])


class Ridge:
    """Linear least squares with a penalty on the weights, for several strengths at once.

    Inputs are centred, so the intercept carries no penalty. Solved by the eigenvectors of the
    smaller of the two Gram matrices.

    Args:
        x: (n, d) inputs.
        y: (n, m) targets.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.mean, self.offset = x.mean(0), y.mean(0)
        centred, target = x - self.mean, y - self.offset
        self.wide = x.shape[1] > x.shape[0]
        gram = centred @ centred.T if self.wide else centred.T @ centred
        self.values, self.vectors = np.linalg.eigh(gram)
        self.values = np.maximum(self.values, 0.0)
        self.x = centred
        self.right = self.vectors.T @ (target if self.wide else centred.T @ target)

    def weights(self, strength: float) -> np.ndarray:
        """(d, m) weights at one strength of the penalty."""
        solved = self.vectors @ (self.right / (self.values + strength)[:, None])
        return self.x.T @ solved if self.wide else solved

    def predict(self, x: np.ndarray, strength: float) -> np.ndarray:
        """(n, m) predictions."""
        return (x - self.mean) @ self.weights(strength) + self.offset


def ridge(
    experiment: Experiment,
    parts: dict[str, list[Example]],
    features: Callable[[str], np.ndarray],
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Ridge regression on features of whole proteins; the penalty is chosen on validation data.

    Classes and terms are regressed as 0 and 1; a class is the largest output, a term's score its
    output cut to [0, 1].

    Returns:
        Predictions for each test part, and the settings.
    """
    x = {name: np.stack([features(e.sequence) for e in part]) for name, part in parts.items()}
    labels = [e.label for e in parts["train"]]
    if experiment.kind == "number":
        names, y = [], np.array(labels, dtype=float)[:, None]
    else:
        sets = [{t} if isinstance(t, str) else set(t) for t in labels]
        names = sorted(set().union(*sets))
        y = np.array([[float(n in s) for n in names] for s in sets])
    model = Ridge(x["train"], y)

    def read(part: str, strength: float) -> list[Any]:
        out = model.predict(x[part], strength)
        if experiment.kind == "number":
            return out[:, 0].tolist()
        if experiment.kind == "class":
            return [names[i] for i in out.argmax(1)]
        cut = out.clip(0, 1)
        return [{n: float(v) for n, v in zip(names, row, strict=True) if v > 0} for row in cut]

    def value(strength: float) -> float:
        figures = scores(experiment, parts["val"], read("val", strength))
        return headline(experiment, figures)

    best = max(strengths, key=value)
    made = {name: read(name, best) for name in experiment.tests}
    return made, {"strength": best, "val": value(best), "features": x["train"].shape[1]}


def windows(sequence: str, width: int = WINDOW) -> np.ndarray:
    """(L, width) indices of the residues around each one; 20 where there is none."""
    ids = np.array([_INDEX.get(a, 20) for a in sequence])
    half = width // 2
    padded = np.concatenate([np.full(half, 20), ids, np.full(half, 20)])
    return np.lib.stride_tricks.sliding_window_view(padded, width)


def ridge_of_logarithms(
    experiment: Experiment,
    parts: dict[str, list[Example]],
    features: Callable[[str], np.ndarray],
    offset: float = 0.05,
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Ridge regression of ln(label + offset): effects of mutations on fitness multiply."""
    learnt = dict(parts)
    for name in ("train", "val"):
        learnt[name] = [replace(e, label=float(np.log(e.label + offset))) for e in parts[name]]
    made, settings = ridge(experiment, learnt, features)
    plain = {name: (np.exp(values) - offset).tolist() for name, values in made.items()}
    return plain, settings | {"offset": offset}


def ridge_windows(
    experiment: Experiment, parts: dict[str, list[Example]], width: int = WINDOW
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Ridge regression of each residue's label on the residues around it.

    The Gram matrix is summed protein by protein, so memory does not grow with the data. Sites and
    classes with few members are told by a threshold, chosen with the penalty on validation data.
    """
    names = sorted({c for e in parts["train"] for c in _letters(experiment, e)})
    size = 21 * width
    gram, right = np.zeros((size, size)), np.zeros((size, len(names)))
    for chosen, labels in _rows(experiment, parts["train"], names, width):
        x = np.zeros((len(chosen), size))
        x[np.arange(len(chosen))[:, None], chosen] = 1.0
        gram += x.T @ x
        right += x.T @ labels
    best: tuple[float, float, float] = (-2.0, 1.0, 0.5)
    outputs: dict[float, np.ndarray] = {}
    for strength in (1.0, 100.0, 10_000.0):
        outputs[strength] = np.linalg.solve(gram + strength * np.eye(size), right)
        for threshold in _thresholds(experiment):
            made = _read(experiment, parts["val"], outputs[strength], names, width, threshold)
            value = headline(experiment, scores(experiment, parts["val"], made))
            best = max(best, (value, strength, threshold))
    value, strength, threshold = best
    made = {
        name: _read(experiment, parts[name], outputs[strength], names, width, threshold)
        for name in experiment.tests
    }
    return made, {"strength": strength, "threshold": threshold, "val": value, "window": width}


def _letters(experiment: Experiment, example: Example) -> str:
    """One letter a residue, whatever the label."""
    if experiment.kind == "residues":
        return str(example.label)
    sites = set(example.label)
    return "".join("1" if i in sites else "0" for i in range(len(example.sequence)))


def _rows(
    experiment: Experiment, examples: Sequence[Example], names: list[str], width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns that are 1, and targets, of the counted residues, some proteins at a time."""
    columns, targets, total = [], [], 0
    place = {name: i for i, name in enumerate(names)}
    for example in examples:
        chosen = windows(example.sequence, width) + 21 * np.arange(width)
        labels = np.eye(len(names))[[place[c] for c in _letters(experiment, example)]]
        columns.append(chosen[example.counted])
        targets.append(labels[example.counted])
        total += len(targets[-1])
        if total > 20_000:
            yield np.concatenate(columns), np.concatenate(targets)
            columns, targets, total = [], [], 0
    if total:
        yield np.concatenate(columns), np.concatenate(targets)


def _thresholds(experiment: Experiment) -> tuple[float, ...]:
    rare = experiment.kind == "sites" or experiment.name == "bind"
    return tuple(np.arange(0.04, 0.6, 0.04).round(2)) if rare else (0.5,)


def _read(
    experiment: Experiment,
    examples: Sequence[Example],
    weights: np.ndarray,
    names: list[str],
    width: int,
    threshold: float,
) -> list[Any]:
    made: list[Any] = []
    for example in examples:
        columns = windows(example.sequence, width) + 21 * np.arange(width)
        made.append(read_labels(experiment, weights[columns].sum(1), names, threshold))
    return made


def read_labels(
    experiment: Experiment, out: np.ndarray, names: Sequence[str], threshold: float
) -> Any:
    """(L, classes) scores that sum to about one -> labels of a protein."""
    if experiment.kind == "sites":
        return out[:, list(names).index("1")] >= threshold
    if experiment.name != "bind":
        return "".join(names[i] for i in out.argmax(1))
    # Every ligand by the sum over the classes that contain it, then put together again.
    digits = np.zeros(len(out), dtype=int)
    for bit, members in ((1, "1357"), (2, "2367"), (4, "4567")):
        score = sum(out[:, i] for i, n in enumerate(names) if n in members)
        digits += bit * (np.asarray(score) >= threshold)
    return "".join(map(str, digits))


def nearest(
    experiment: Experiment, parts: dict[str, list[Example]]
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The label of the training protein with most 3-mers in common; terms score by the share."""
    train = parts["train"]
    index = Homologues([e.sequence for e in train], k=3)
    fallback = 0.0 if experiment.kind == "number" else train[0].label
    if experiment.kind == "number":
        fallback = float(np.mean([e.label for e in train]))

    def one(example: Example) -> Any:
        found = index.closest(example.sequence)
        if experiment.kind == "terms":
            return (
                {}
                if found is None
                else dict.fromkeys(train[found.reference].label, found.containment)
            )
        return fallback if found is None else train[found.reference].label

    return {name: [one(e) for e in parts[name]] for name in experiment.tests}, {"k": 3}
