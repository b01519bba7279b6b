"""From a user's words to requests: which compositions, SMILES or records are asked for."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.records import PowderPattern, Record, formula_text
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.composition import parse_composition
from sciar.tokenization.cursor import Request

Composition = str | Mapping[str, int]
_Item = tuple[str, dict[str, Any] | RecordError]
"""Id, and the constraints or what is wrong with them."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One thing asked for; its samples share one request, and so the prefill of its tokens.

    Attributes:
        id: identity, unique in the run.
        request: what the engine needs, ``None`` if the model cannot do it.
        error: why not.
    """

    id: str
    request: Request | None
    error: str = ""


@dataclass(frozen=True)
class Wish:
    """The arguments of :meth:`sciar.api.model.Model.generate` that say what to make."""

    composition: Composition | None = None
    compositions: Iterable[Composition] | None = None
    elements: str | Iterable[str] | None = None
    max_atoms: int | None = None
    smiles: str | Iterable[str] | None = None
    records: Iterable[Record | RecordFailure] | None = None
    kind: str | None = None
    conditions: Mapping[str, Any] | Iterable[Mapping[str, Any] | RecordError] | None = None
    strict_range: bool = False

    def prompts(self, tokenizer: LayoutTokenizer) -> list[Prompt]:
        """One prompt for each thing asked for.

        A value outside the range of the training data gives a warning, or with ``strict_range`` an
        error of its prompt.

        Raises:
            UsageError: contradictory arguments, or such as the model does not take.
            RecordError: a single composition or SMILES is bad. In a list it becomes a prompt with
                an error, and the others go on.
        """
        self._check()
        tokenizer.known(self._named())
        several = self._items(tokenizer)
        common = self._common()
        if several is None:
            given = {"composition": self.composition, "smiles": self.smiles}
            wanted = {**common, **{k: v for k, v in given.items() if v is not None}}
            name = _name(wanted)
            return [Prompt(name, self._request(tokenizer, wanted, name))]
        unique = _UniqueNames()
        found = [self._prompt(tokenizer, unique, *item, common) for item in several]
        if not found:
            raise UsageError("nothing is asked for: the list is empty")
        return found

    def _request(self, tokenizer: LayoutTokenizer, wanted: Mapping[str, Any], name: str) -> Request:
        request = tokenizer.request(wanted, name)
        messages = tokenizer.outside(wanted)
        if messages and self.strict_range:
            raise RecordError("; ".join(messages))
        for message in messages:
            warnings.warn(message, stacklevel=2)
        return request

    def _prompt(
        self,
        tokenizer: LayoutTokenizer,
        unique: _UniqueNames,
        name: str,
        wanted: dict[str, Any] | RecordError,
        common: Mapping[str, Any],
    ) -> Prompt:
        name = unique.claim(name)
        if isinstance(wanted, RecordError):
            return Prompt(name, None, str(wanted))
        try:
            return Prompt(name, self._request(tokenizer, {**wanted, **common}, name))
        except RecordError as error:
            return Prompt(name, None, str(error.located(record=name)))

    def _check(self) -> None:
        names = ("composition", "compositions", "smiles", "records")
        given = [name for name in names if getattr(self, name) is not None]
        if self.conditions is not None and not isinstance(self.conditions, Mapping):
            given.append("a list of conditions")
        if len(given) > 1:
            raise UsageError(f"give only one of {' and '.join(given)}")

    def _named(self) -> dict[str, Any]:
        """The constraints that the arguments set for everything asked for, with any value."""
        composition = self.composition if self.compositions is None else self.compositions
        return {"composition": composition, "smiles": self.smiles, **self._common()}

    def _common(self) -> dict[str, Any]:
        """Constraints that hold for each thing asked for."""
        options = {"elements": self._elements(), "max_atoms": self.max_atoms, "kind": self.kind}
        found = {k: v for k, v in options.items() if v is not None}
        if isinstance(self.conditions, Mapping):
            twice = sorted(set(found) & set(self.conditions))
            if twice:
                raise UsageError(f"{', '.join(twice)}: given twice, once among the conditions")
            found |= self.conditions
        return found

    def _elements(self) -> list[str] | None:
        if self.elements is None:
            return None
        parts = self.elements.replace(",", " ").split() if isinstance(self.elements, str) else None
        found = list(self.elements) if parts is None else parts
        if not found:
            raise UsageError("elements is empty; give symbols such as Li,Fe,P,O")
        return found

    def _items(self, tokenizer: LayoutTokenizer) -> Iterator[_Item] | None:
        """Each item of the list that was given; ``None`` if none was."""
        if self.records is not None:
            return (_record_item(tokenizer, record) for record in self.records)
        if self.compositions is not None:
            wanted = ({"composition": composition} for composition in self.compositions)
            return ((_name(w), w) for w in wanted)
        if self.smiles is not None and not isinstance(self.smiles, str):
            return ((f"molecule{i}", {"smiles": s}) for i, s in enumerate(self.smiles))
        if self.conditions is not None and not isinstance(self.conditions, Mapping):
            return (_asked_item(w) for w in self.conditions)
        return None


def _record_item(tokenizer: LayoutTokenizer, record: Record | RecordFailure) -> _Item:
    if isinstance(record, RecordFailure):
        return record.id, record.error
    try:
        return record.id, tokenizer.conditions_of(record)
    except RecordError as error:
        return record.id, error.located(source=record.source)


def _asked_item(wanted: Mapping[str, Any] | RecordError) -> _Item:
    """A set of conditions, or what is wrong with a row of a file; ``id`` names it."""
    if isinstance(wanted, RecordError):
        return wanted.record or "sample", wanted
    rest = {k: v for k, v in wanted.items() if k != "id"}
    return str(wanted.get("id") or _name(rest)), rest


def _name(wanted: Mapping[str, Any]) -> str:
    """An id that can be read: of the pattern, the formula, or what kind of thing it is."""
    pattern = wanted.get("pxrd")
    if isinstance(pattern, PowderPattern):
        return pattern.id
    if isinstance(pattern, RecordError) and pattern.record:
        return pattern.record
    if "smiles" in wanted:
        return "molecule"
    if "composition" not in wanted:
        return "sample"
    try:
        counts = parse_composition(wanted["composition"])
    except RecordError:
        return "composition"
    return formula_text(counts)


class _UniqueNames:
    """Hands out each id once: the second ``NaCl`` becomes ``NaCl-2``."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._count: Counter[str] = Counter()

    def claim(self, name: str) -> str:
        self._count[name] += 1
        made = name if self._count[name] == 1 else f"{name}-{self._count[name]}"
        if made in self._seen:
            return self.claim(name)
        self._seen.add(made)
        return made
