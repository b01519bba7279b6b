"""Scores of samples that were asked for properties: requested against obtained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciar.api.inputs import is_dataset
from sciar.api.results import Evaluation, Options
from sciar.api.samples import ASKED
from sciar.datasets.preparing import source_path
from sciar.datasets.readers import RecordFailure, read
from sciar.errors import RecordError, UsageError
from sciar.evaluation.properties import score_numbers
from sciar.evaluation.wanted import bounds
from sciar.oracle.folder import load_oracle
from sciar.oracle.network import Oracle
from sciar.records import Record
from sciar.tokenization.computed import COMPUTED
from sciar.tokenization.targets import Target

Values = list[float | None]


def evaluate_wanted(
    generated: str | Path,
    oracle: str | Path | None = None,
    reference: str | None = None,
    train: str | None = None,
    options: Options | None = None,
) -> Evaluation:
    """MAE of each property that samples were asked for, each with its counts.

    What follows from a structure (density, QED, ...) is computed; other properties are judged by an
    oracle. With a reference the bounds of EDM's protocol stand beside: random labels, the number of
    atoms alone, and the oracle on real structures.

    Args:
        generated: file of ``sciar generate``; with ``--raw`` it also holds rejected structures.
        oracle: folder of ``sciar oracle``.
        reference: file or data set (its test split) with columns of these properties.
        train: file or data set (train split) for the bound by the number of atoms; default: that of
            a reference given by name, else the reference.
        options: ``bootstrap`` and ``seed`` are used.

    Raises:
        UsageError: no sample was asked for anything, or for something that nothing can judge.
        ModelError: the oracle cannot be read.
    """
    chosen = options or Options()
    draws = {"bootstrap": chosen.bootstrap, "seed": chosen.seed}
    items = list(read(generated))
    records = [r for r in items if isinstance(r, Record)]
    names = _asked(records)
    if not names:
        raise UsageError(f"{generated}: no sample says what it was asked for ({ASKED}NAME)")
    judge = load_oracle(oracle) if oracle else None
    obtained = {name: _values(name, records, judge) for name in names}
    wanted = {name: [_number(r.properties.get(ASKED + name)) for r in records] for name in names}
    summary = {name: score_numbers(obtained[name], wanted[name], **draws) for name in names}
    beside = {} if reference is None else _beside(names, reference, train, judge, draws)
    rows = [
        {"id": r.id, **{f"{ASKED}{n}": wanted[n][i] for n in names}}
        | {f"obtained_{n}": obtained[n][i] for n in names}
        for i, r in enumerate(records)
    ]
    return Evaluation("wanted", summary, rows, beside, notes=_notes(items, records, judge))


def _asked(records: Sequence[Record]) -> list[str]:
    found = (key for r in records for key in r.properties if key.startswith(ASKED))
    return list(dict.fromkeys(key.removeprefix(ASKED) for key in found))


def _number(value: Any) -> float | None:
    return Target("value").payload(value)


def _values(name: str, records: Sequence[Record], judge: Oracle | None) -> Values:
    """The property of each structure; ``None`` where it cannot be had."""
    if judge is not None and name in judge.names:
        column = judge.predict([r.structure for r in records])[:, judge.names.index(name)]
        return [None if math.isnan(x) else x for x in column.tolist()]
    if name not in COMPUTED:
        known = ", ".join(judge.names) if judge else "there is no oracle"
        raise UsageError(
            f"{name} does not follow from a structure: give an oracle of it ({known}); "
            "sciar oracle makes one"
        )
    found: Values = []
    for record in records:
        try:
            found.append(COMPUTED[name].of(record.structure))
        except RecordError:
            found.append(None)
    return found


def _beside(
    names: Sequence[str],
    reference: str,
    train: str | None,
    judge: Oracle | None,
    draws: dict[str, int],
) -> dict[str, dict[str, Any]]:
    """Bound -> property -> its score."""
    real = _records(reference, "test")
    other = train or (reference if is_dataset(reference) else None)
    learnt = real if other is None else _records(other, "train")
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        scores = bounds(
            _values(name, real, judge),
            _labels(name, real),
            [len(r.structure) for r in real],
            _labels(name, learnt),
            [len(r.structure) for r in learnt],
            **draws,
        )
        for bound, score in scores.items():
            found.setdefault(bound, {})[name] = score
    return found


def _records(source: str, split: str) -> list[Record]:
    path = source_path(source, split) if is_dataset(source) else Path(source)
    found = [r for r in read(path) if isinstance(r, Record)]
    if not found:
        raise UsageError(f"{source}: no usable record")
    return found


def _labels(name: str, records: Sequence[Record]) -> Values:
    """The column of the records, or what follows from their structures."""
    known = [_number(r.properties.get(name)) for r in records]
    if any(value is not None for value in known) or name not in COMPUTED:
        return known
    return _values(name, records, None)


def _notes(
    items: Sequence[Record | RecordFailure], records: Sequence[Record], judge: Oracle | None
) -> list[str]:
    """What the figures are over."""
    notes = [f"{len(records):,} structures of {len(items):,} records of the file."]
    requested = {r.properties.get("requested") for r in records} - {None}
    if len(requested) == 1:
        held = {str(r.properties.get("selection")) for r in records}
        notes.append(
            f"{requested.pop():,} samples were requested; the file holds {'/'.join(held)} ones."
        )
    if judge is not None:
        facts = judge.facts
        notes.append(
            f"Oracle: {facts.get('molecules'):,} molecules of {facts.get('data', 'unnamed data')}, "
            f"{facts.get('half') or 'not halved'}."
        )
    return notes
