"""From a user's words to requests: which compositions, SMILES or records are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sciar.datasets.formats.smiles import smiles_of
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.composition import parse_composition
from sciar.tokenization.cursor import Request

Composition = str | Mapping[str, int]


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

    def prompts(self, tokenizer: LayoutTokenizer) -> list[Prompt]:
        """One prompt for each thing asked for.

        Raises:
            UsageError: contradictory arguments, or such as the model does not take.
            RecordError: a single composition or SMILES is bad. In a list it becomes a prompt with
                an error, and the others go on.
        """
        self._check(tokenizer)
        options = {"elements": self._elements(), "max_atoms": self.max_atoms, "kind": self.kind}
        common: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
        if self._several() is None:
            given = {"composition": self.composition, "smiles": self.smiles}
            wanted = {**common, **{k: v for k, v in given.items() if v is not None}}
            name = _name(wanted)
            return [Prompt(name, tokenizer.request(wanted, name))]
        unique = _UniqueNames()
        found = [_prompt(tokenizer, unique, *item, common) for item in self._items()]
        if not found:
            raise UsageError("nothing is asked for: the list is empty")
        return found

    def _several(self) -> object:
        smiles = None if isinstance(self.smiles, str) else self.smiles
        lists = (self.compositions, smiles, self.records)
        return next((x for x in lists if x is not None), None)

    def _check(self, tokenizer: LayoutTokenizer) -> None:
        names = ("composition", "compositions", "smiles", "records")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"give only one of {' and '.join(given)}")
        if tokenizer.layout.name.startswith("crystal") and self.smiles is not None:
            raise UsageError("this model makes crystals; a SMILES asks for a molecule")

    def _elements(self) -> list[str] | None:
        if self.elements is None:
            return None
        parts = self.elements.replace(",", " ").split() if isinstance(self.elements, str) else None
        found = list(self.elements) if parts is None else parts
        if not found:
            raise UsageError("elements is empty; give symbols such as Li,Fe,P,O")
        return found

    def _items(self) -> Iterator[tuple[str, dict[str, Any] | RecordError]]:
        """(id, constraints or what is wrong) of each item of the list that was given."""
        if self.records is not None:
            yield from map(_record_item, self.records)
        elif self.compositions is not None:
            for composition in self.compositions:
                wanted = {"composition": composition}
                yield _name(wanted), wanted
        else:
            assert self.smiles is not None
            for i, smiles in enumerate(self.smiles):
                yield f"molecule{i}", {"smiles": smiles}


def _record_item(record: Record | RecordFailure) -> tuple[str, dict[str, Any] | RecordError]:
    if isinstance(record, RecordFailure):
        return record.id, record.error
    if isinstance(record.structure, Crystal):
        return record.id, {"composition": dict(record.structure.composition)}
    try:
        return record.id, {"smiles": smiles_of(record)}
    except RecordError as error:
        return record.id, error.located(source=record.source)


def _prompt(
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
        _check_kind(tokenizer, wanted)
        return Prompt(name, tokenizer.request({**wanted, **common}, name))
    except RecordError as error:
        return Prompt(name, None, str(error.located(record=name)))


def _check_kind(tokenizer: LayoutTokenizer, wanted: Mapping[str, Any]) -> None:
    """One record of the wrong kind costs that record, not the run."""
    layout = tokenizer.layout.name
    if layout.startswith("crystal") and "smiles" in wanted:
        raise RecordError("this is a molecule; the model makes crystals")
    if layout.startswith("molecule") and "composition" in wanted:
        raise RecordError("this is a crystal or a composition; the model makes molecules")


def _name(wanted: Mapping[str, Any]) -> str:
    """An id that can be read: the formula, or what kind of thing it is."""
    if "smiles" in wanted:
        return "molecule"
    if "composition" not in wanted:
        return "sample"
    try:
        counts = parse_composition(wanted["composition"])
    except RecordError:
        return "composition"
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in counts.items())


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
