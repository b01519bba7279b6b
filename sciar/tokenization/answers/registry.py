"""The tasks of a model: read from YAML, one entry a task; a vocabulary that only ever grows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sciar.errors import UsageError
from sciar.tokenization.answers.base import SPECIALS
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.ontology import Ontology, read_obo
from sciar.tokenization.answers.task import Task
from sciar.tokenization.answers.types import TYPES
from sciar.tokenization.vocabulary import Vocabulary, fingerprint

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMON = ("inputs", "field", "metric", "weight", "sampling_weight", "mask", "crop", "skip")
STANDARD = Path(__file__).with_name("tasks.yaml")
"""The tasks of the data sets that SciAR knows."""


class Tasks:
    """Tasks by name, in the order in which they were added.

    An entry names the ``type`` of answer (one of ``TYPES``), may set ``inputs``, ``field``,
    ``metric``, ``weight``, ``sampling_weight``, ``mask``, ``crop`` and ``skip`` (see
    :class:`~sciar.tokenization.answers.task.Task`), and passes everything else to the codec.
    ``labels_file`` names a text file with one label a line, ``ontology`` an OBO file; both are
    sought beside the YAML file.

    Args:
        entries: task name -> entry.
        folder: where files that entries name are sought.

    Raises:
        UsageError: a malformed entry; the message names the task and the option.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Any]], folder: Path = Path()) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, Task] = {}
        for name, entry in entries.items():
            self._add(str(name), entry, folder)

    @classmethod
    def from_yaml(cls, path: str | Path = STANDARD) -> Tasks:
        """Tasks of a YAML file.

        Raises:
            UsageError: the file cannot be read, is no mapping, or holds a malformed entry.
        """
        path = Path(path)
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"{path}: cannot be read as a YAML file of tasks ({error})") from error
        if not isinstance(data, dict):
            raise UsageError(f"{path}: expected task names with their entries")
        try:
            return cls(data, path.parent)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    def __getitem__(self, name: str) -> Task:
        try:
            return self._tasks[name]
        except KeyError:
            known = ", ".join(self._tasks) or "none"
            raise UsageError(f"unknown task {name!r}; known: {known}") from None

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    def only(self, names: Iterable[str]) -> Tasks:
        """A part of the tasks, in the order of ``names``."""
        return Tasks({name: self.entries[self[name].name] for name in names})

    def plus(self, other: Tasks) -> Tasks:
        """These tasks, then those of ``other``.

        Raises:
            UsageError: a task of the same name and another definition.
        """
        for name, entry in other.entries.items():
            if self.entries.get(name, entry) != entry:
                raise UsageError(f"task {name}: it is already defined, and differently")
        return Tasks({**self.entries, **other.entries})

    def vocabulary(self, old: Vocabulary | None = None) -> Vocabulary:
        """The vocabulary of these tasks.

        Args:
            old: vocabulary of a trained model. It is kept as a prefix, so that every old id keeps
                its meaning; what is new comes after it.
        """
        names = dict.fromkeys(SPECIALS if old is None else old.names)
        slots = {slot.name: slot for slot in (old.slots if old is not None else ())}
        for task in self:
            names.update(dict.fromkeys(task.names))
            for slot in task.codec.slots:
                slots.setdefault(slot.name, slot)
        return Vocabulary(tuple(names), tuple(slots.values()))

    def to_dict(self) -> dict[str, Any]:
        """Plain form that needs no other file, stored with a model; ``Tasks`` reads it back."""
        return {name: dict(entry) for name, entry in self.entries.items()}

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any task."""
        return fingerprint(self.to_dict())

    def _add(self, name: str, entry: Mapping[str, Any], folder: Path) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(f"task {name!r}: a name has small letters, digits and _ only")
        if not isinstance(entry, Mapping):
            raise UsageError(f"task {name}: expected options, got {entry!r}")
        try:
            plain = _resolved(entry, folder)
            self._tasks[name] = _task(name, plain)
        except (UsageError, TypeError, ValueError) as error:
            raise UsageError(f"task {name}: {error}") from error
        self.entries[name] = plain


def _resolved(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with the contents of its files in place of their names."""
    plain = {key: value for key, value in entry.items() if key != "labels_file"}
    if "labels_file" in entry:
        path = folder / str(entry["labels_file"])
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"labels_file {path} cannot be read ({error})") from error
        plain["labels"] = [line.strip() for line in lines if line.strip()]
    if isinstance(entry.get("ontology"), str):
        found = read_obo(folder / entry["ontology"])
        plain["ontology"] = {
            "parents": {term: list(above) for term, above in found.parents.items()},
            "namespaces": found.namespaces,
            "aliases": found.aliases,
        }
    return plain


def _task(name: str, entry: Mapping[str, Any]) -> Task:
    kind = entry.get("type")
    if kind not in TYPES:
        raise UsageError(f"type {kind!r} is unknown; known: {', '.join(TYPES)}")
    options = {key: value for key, value in entry.items() if key not in ("type", *_COMMON)}
    known = inspect.signature(TYPES[kind]).parameters
    wrong = [key for key in options if key not in known]
    if wrong:
        files = {"labels_file"} if "labels" in known else set()
        offered = sorted({"type", *_COMMON, *files, *known})
        raise UsageError(f"the option {wrong[0]!r} is unknown; known: {', '.join(offered)}")
    missing = [
        key
        for key, p in known.items()
        if p.default is inspect.Parameter.empty
        if key not in options
    ]
    if missing:
        raise UsageError(f"the option {missing[0]!r} is missing")
    if "space" in known:
        options.setdefault("space", name)
    if "labels" in options:
        _check_labels(options["labels"])
    if "ontology" in options:
        options["ontology"] = Ontology(**options["ontology"])
    codec = TYPES[kind](**options)
    pairs = isinstance(codec, Contacts) and codec.chains == 2
    inputs = int(entry.get("inputs", 2 if pairs else 1))
    if inputs not in (1, 2) or inputs < (2 if pairs or options.get("chain") == 1 else 1):
        raise UsageError(f"inputs {inputs} does not fit this type of answer")
    weight, share = (float(entry.get(key, 1.0)) for key in ("weight", "sampling_weight"))
    if min(weight, share) < 0:
        raise UsageError("weight and sampling_weight must not be negative")
    field, metric = str(entry.get("field", name)), str(entry.get("metric", ""))
    mask = str(entry.get("mask", ""))
    crop, skip = int(entry.get("crop", 0)), int(entry.get("skip", 0))
    if mask and not codec.parallel:
        raise UsageError("mask is for answers with one token a residue")
    if min(crop, skip) < 0 or ((crop or skip) and codec.positional):
        raise UsageError("crop and skip are not negative, and not for answers that name residues")
    if crop and crop <= skip:
        raise UsageError(f"crop {crop} leaves nothing after the {skip} residues of skip")
    return Task(name, codec, inputs, field, metric, weight, share, mask, crop, skip)


def _check_labels(labels: Any) -> None:
    """YAML turns ``no`` into a truth value and ``0123`` into a number; neither is a label."""
    if not isinstance(labels, str | list | tuple) or any(isinstance(x, bool) for x in labels):
        raise UsageError("labels must be a list or a text; put names such as 'no' into quotes")
