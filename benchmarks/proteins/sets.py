"""The experiments: which records, which label, which splits, which figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciar.datasets.protein_sets import read_split
from sciar.errors import UsageError
from sciar.evaluation.classes import accuracy, residue_accuracy, sites
from sciar.evaluation.fmax import fmax
from sciar.evaluation.ranking import regression
from sciar.records import ProteinRecord

LIGANDS = {"metal": "1357", "nucleic": "2367", "small": "4567"}
"""Ligand class -> digits of the bind labels that contain it."""


@dataclass(frozen=True)
class Example:
    """One protein with its label.

    Attributes:
        id: of the record.
        sequence: residues that a model reads.
        label: number, class, tuple of terms, text of one letter a residue, or tuple of positions.
        counted: (L,) residues whose label counts.
    """

    id: str
    sequence: str
    label: Any
    counted: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """One set with one label.

    Attributes:
        name: what the user types.
        source: named set of proteins.
        kind: ``number``, ``class``, ``terms``, ``residues`` (a class each) or ``sites``.
        label: field of the record.
        split: label that names the split; empty: the set's usual one.
        tests: splits that are scored.
        residues: candidates of ``sites``; empty: all.
        variants: all sequences are variants of one protein and have one length.
        crop: residues that are kept from the start (0: all).
        tasks: our tasks that answer the same question.
        monitor: figure by which settings are chosen on validation data.
    """

    name: str
    source: str
    kind: str
    label: str
    split: str = ""
    tests: tuple[str, ...] = ("test",)
    residues: str = ""
    variants: bool = False
    crop: int = 0
    tasks: tuple[str, ...] = ()
    monitor: str = ""
    figures: Callable[..., dict[str, Any]] | None = field(default=None, compare=False)

    def examples(self, split: str, limit: int = 0) -> list[Example]:
        """Records of a split that have the label; with ``limit``, evenly spaced ones of them."""
        records = read_split(self.source, split, self.split)
        if limit and len(records) > limit:
            records = [records[i] for i in np.linspace(0, len(records) - 1, limit).astype(int)]
        return [self.example(r) for r in records if r.labels.get(self.label) is not None]

    def example(self, record: ProteinRecord) -> Example:
        """The label of a record as the experiment asks for it."""
        sequence = record.protein.sequence[: self.crop or None]
        label = record.labels[self.label]
        counted = np.ones(len(sequence), dtype=bool)
        if self.kind == "number":
            label = float(label)
        elif self.kind == "terms":
            label = tuple(label)
        elif self.kind == "residues" and "mask" in record.labels:
            counted = np.array([m == "1" for m in record.labels["mask"]])
        elif self.kind == "sites":
            label = tuple(int(i) for i in label)
            counted = np.array([letter in self.residues for letter in sequence])
        return Example(record.id, sequence, label, counted)


def scores(experiment: Experiment, examples: Sequence[Example], made: Sequence[Any]) -> dict:
    """Figures of predictions, in the order of the examples.

    Args:
        experiment: what was asked.
        examples: with their labels.
        made: a number, a class, term -> score, a text of labels, or (L,) booleans a protein.
    """
    truth = [e.label for e in examples]
    if experiment.kind == "number":
        return regression(np.array(truth), np.array(made, dtype=float))
    if experiment.kind == "class":
        return accuracy(truth, list(made))
    if experiment.kind == "terms":
        return fmax([set(t) for t in truth], list(made))
    counted = [e.counted for e in examples]
    if experiment.kind == "sites":
        flags = [_flags(e) for e in examples]
        return sites(
            [f[c] for f, c in zip(flags, counted, strict=True)],
            [np.asarray(m)[c] for m, c in zip(made, counted, strict=True)],
        )
    row = residue_accuracy(truth, list(made), counted)
    if experiment.name == "bind":
        row |= {name: _ligand(truth, made, digits) for name, digits in LIGANDS.items()}
    return row


def _flags(example: Example) -> np.ndarray:
    flags = np.zeros(len(example.sequence), dtype=bool)
    flags[[i for i in example.label if i < len(flags)]] = True
    return flags


def _ligand(truth: Sequence[str], made: Sequence[str], digits: str) -> dict[str, Any]:
    def of(labels: str) -> np.ndarray:
        return np.array([letter in digits for letter in labels])

    return sites([of(t) for t in truth], [of(m) for m in made])


def headline(experiment: Experiment, figures: dict[str, Any]) -> float:
    """The one number by which settings are compared, larger is better."""
    found: Any = figures
    default = {
        "number": "spearman", "class": "accuracy.rate", "terms": "fmax",
        "residues": "residues.rate", "sites": "f1",
    }[experiment.kind]  # fmt: skip
    if experiment.name == "bind":
        return float(np.mean([figures[name]["f1"] or 0.0 for name in LIGANDS]))
    for part in (experiment.monitor or default).split("."):
        found = found[part]
    return -1.0 if found is None else float(found)


def _gb1(split: str) -> Experiment:
    # All four sites that vary lie in the first 56 residues; the rest is the same everywhere.
    return Experiment(
        f"gb1-{split.replace('_', '-')}", "flip_gb1", "number", "target", split,
        variants=True, crop=56, tasks=(f"gb1_{split}", f"gb1_{split}_number"),
    )  # fmt: skip


def _scan(name: str) -> Experiment:
    task = f"dms_{name}"
    return Experiment(
        f"dms-{name}", task, "number", "score", variants=True, tasks=(task, f"{task}_number")
    )


EXPERIMENTS = {
    e.name: e
    for e in (
        *map(_gb1, ("sampled", "three_vs_rest", "two_vs_rest", "low_vs_high")),
        Experiment("meltome", "meltome", "number", "target", tasks=("meltome", "meltome_number")),
        _scan("avgfp"),
        _scan("pab1"),
        Experiment(
            "secondary-structure", "flip_secondary_structure", "residues", "labels",
            tasks=("secondary_structure",),
        ),
        Experiment(
            "conservation", "flip_conservation", "residues", "labels", tasks=("conservation",)
        ),
        Experiment(
            "bind", "flip_bind", "residues", "labels",
            tasks=("bind", "bind_metal", "bind_nucleic", "bind_small"),
        ),
        Experiment(
            "deeploc", "deeploc", "class", "location", tests=("test", "hard"), tasks=("deeploc",)
        ),
        Experiment("ec", "ec_nrpdb", "terms", "ec", tasks=("ec",)),
        Experiment(
            "phospho-y", "phospho_y", "sites", "sites", residues="Y",
            tasks=("phospho_y", "phospho_y_labels"),
        ),
        Experiment(
            "phospho-st", "phospho_st", "sites", "sites", residues="ST",
            tasks=("phospho_st", "phospho_st_labels"),
        ),
        Experiment(
            "sample", "sample_proteins", "residues", "labels", tasks=("secondary_structure",)
        ),
    )
}  # fmt: skip


def experiment(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        UsageError: unknown; the message lists the known ones.
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"unknown experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
