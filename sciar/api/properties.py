"""Properties of structures: one row a record, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from sciar.api.samples import FAILED, OK
from sciar.datasets.preparing import prepared
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.generation.answers import Answers, answers
from sciar.records import Record
from sciar.tokenization.property import PropertyTokenizer
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.targets import Target

if TYPE_CHECKING:
    from sciar.api.model import Model

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one record.

    Attributes:
        id: of the record.
        status: ``ok`` or ``failed``.
        message: why it failed; empty if it did not.
        values: target -> number or class, or a list of one an atom in the order of the record
            (``None`` for atoms that the tokenizer leaves out).
        sd: target -> the model's own standard deviation of a number, likewise.
        probabilities: target -> class -> probability, likewise.
        spread: target -> standard deviation over views of the number, or of the probability of the
            predicted class; empty with one view.
        views: encodings that were averaged.
        atom_names: names of the atoms that values are about, where the record gives them (property
            ``atom_names``, such as the residue of a protein).
    """

    id: str
    status: str
    message: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    sd: dict[str, Any] = field(default_factory=dict)
    probabilities: dict[str, dict[str, Any]] = field(default_factory=dict)
    spread: dict[str, Any] = field(default_factory=dict)
    views: int = 1
    atom_names: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are values."""
        return self.status == OK

    def row(self) -> dict[str, Any]:
        """One flat row of a table: ``NAME``, ``NAME_sd``, ``NAME_p:CLASS``, ``NAME_spread``."""
        row: dict[str, Any] = {"id": self.id, "status": self.status, "message": self.message}
        if self.atom_names:
            row["atom_names"] = list(self.atom_names)
        for name, value in self.values.items():
            row[name] = value
            if name in self.sd:
                row[f"{name}_sd"] = self.sd[name]
            for label, share in self.probabilities.get(name, {}).items():
                row[f"{name}_p:{label}"] = share
            if name in self.spread:
                row[f"{name}_spread"] = self.spread[name]
        return row


def predict(
    model: Model,
    records: Iterable[Record | RecordFailure],
    *,
    views: int = 0,
    seed: int = 0,
    batch_tokens: int = 8192,
) -> Iterator[Prediction]:
    """Predictions in the order of the records; a bad record gives a failed one.

    Molecules without coordinates get those of ETKDG.

    Args:
        model: one with a :class:`~sciar.tokenization.property.PropertyTokenizer`.
        records: structures; what they say of the targets is not read.
        views: average over so many augmented encodings of each record (random rotation, order of
            atoms, origin: whatever its tokenizer varies) and report their spread; each draws from
            (seed, place of the record, view). 0: the one plain encoding.
        seed: of the views.
        batch_tokens: tokens in one pass; it never changes the predictions.

    Raises:
        UsageError: the model makes structures and predicts no properties.
    """
    tokenizer = model.tokenizer
    if not isinstance(tokenizer, PropertyTokenizer):
        raise UsageError(f"{model.name} makes structures; a model of properties is needed")
    if views < 0 or batch_tokens < 1:
        raise UsageError("views must be 0 or more, batch_tokens 1 or more")
    return _predictions(model, tokenizer, records, views, seed, batch_tokens)


def _predictions(
    model: Model,
    tokenizer: PropertyTokenizer,
    records: Iterable[Record | RecordFailure],
    views: int,
    seed: int,
    budget: int,
) -> Iterator[Prediction]:
    numbered = enumerate(records)
    while chunk := list(islice(numbered, _CHUNK)):
        made = [_encoded(tokenizer, record, place, views, seed) for place, record in chunk]
        flat = [s for item in made if not isinstance(item, Prediction) for s in item[1]]
        told = iter(answers(model.network, flat, budget))
        for (place, _), item in zip(chunk, made, strict=True):
            if isinstance(item, Prediction):
                yield item
            else:
                own = [next(told) for _ in item[1]]
                if tokenizer.about_atoms:
                    for view, answer in enumerate(own):
                        _in_order(tokenizer, answer, item[0], _generator(seed, place, view, views))
                yield _prediction(tokenizer, item[0], own)


def _encoded(
    tokenizer: PropertyTokenizer, record: Record | RecordFailure, place: int, views: int, seed: int
) -> Prediction | tuple[Record, list[TokenSequence]]:
    """The record as it was prepared and its encodings, or a failed prediction."""
    if isinstance(record, RecordFailure):
        return Prediction(record.id, FAILED, str(record.error))
    try:
        ready = prepared(record, graphs=tokenizer.needs_graph, conformers=True)
        structure = ready.structure
        each = [_generator(seed, place, view, views) for view in range(max(views, 1))]
        return ready, [tokenizer.encode(structure, augment=g) for g in each]
    except RecordError as error:
        located = error.located(source=record.source, record=record.id)
        return Prediction(record.id, FAILED, str(located))


def _generator(seed: int, place: int, view: int, views: int) -> np.random.Generator | None:
    """Of one view; ``None`` for the plain encoding."""
    return np.random.default_rng((seed, place, view)) if views else None


def _in_order(
    tokenizer: PropertyTokenizer,
    answer: Answers,
    record: Record,
    augment: np.random.Generator | None,
) -> None:
    """Turn answers about tokens into answers about the atoms of the record, NaN for the others."""
    order = np.array(tokenizer.answer_order(record.structure, augment), dtype=int)
    for target in tokenizer.asked:
        if target.each == "atom":
            values = answer[target.slot]
            every = np.full((len(record.structure), values.shape[1]), np.nan)
            every[order] = values
            answer[target.slot] = every


def _prediction(
    tokenizer: PropertyTokenizer, record: Record, told: Sequence[Answers]
) -> Prediction:
    names = record.properties.get("atom_names") if tokenizer.about_atoms else None
    found = Prediction(record.id, OK, views=len(told), atom_names=tuple(names or ()))
    for target in tokenizer.asked:
        stack = np.stack([answer[target.slot] for answer in told])  # (views, n, A)
        columns = _columns(target, stack)
        if target.each == "structure":
            columns = {k: v[0] for k, v in columns.items()}
        found.values[target.name] = columns.pop("value")
        if "spread" in columns:
            found.spread[target.name] = columns.pop("spread")
        if "sd" in columns:
            found.sd[target.name] = columns.pop("sd")
        if columns:
            found.probabilities[target.name] = columns
    return found


def _columns(target: Target, stack: np.ndarray) -> dict[str, Any]:
    """Columns of n values each: ``value``, ``sd`` or the classes, and ``spread``."""
    mean = stack.mean(0)
    several = len(stack) > 1
    if not target.classes:
        columns = {"value": mean[:, 0], "sd": np.sqrt((stack[..., 1] ** 2).mean(0))}
        columns |= {"spread": stack[..., 0].std(0, ddof=1)} if several else {}
        return {name: _known(column) for name, column in columns.items()}
    best = mean.argmax(1)
    known = ~np.isnan(mean[:, 0])
    named = [target.classes[i] if k else None for i, k in zip(best, known, strict=True)]
    found: dict[str, Any] = {"value": named}
    found |= {label: _known(mean[:, i]) for i, label in enumerate(target.classes)}
    if several:
        own = np.take_along_axis(stack, best[None, :, None], axis=2)[..., 0]
        found["spread"] = _known(own.std(0, ddof=1))
    return found


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]
