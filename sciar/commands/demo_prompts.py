"""What the demo asks each model for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import yaml

from sciar.errors import RecordError, UsageError
from sciar.records import Record

if TYPE_CHECKING:
    from sciar.api import Model


@dataclass(frozen=True)
class Prompts:
    """Arguments of :meth:`sciar.api.Model.stream`, and where they come from, in words."""

    arguments: dict[str, Any]
    what: str


def prompts_for(model: Model, kind: str, n: int) -> Prompts:
    """From nothing if the model can; else the model's own examples, test data, or the sample.

    Examples are compositions or SMILES (values of the first condition of its tokenizer) in
    ``info: {examples: [...]}`` of the model's config.yaml.
    """
    tokenizer = model.tokenizer
    several = len(tokenizer.makes) > 1
    free: dict[str, Any] = {"kind": kind} if several else {}
    try:
        tokenizer.request(free)
    except UsageError:
        pass  # it needs something given
    else:
        return Prompts({**free, "n": n}, f"{n} {kind} from nothing.")
    examples = model.info.get("examples")
    if examples and not several:
        name = tokenizer.conditions[0]
        wanted = [{name: example} for example in examples[:n]]
        return Prompts({"conditions": wanted}, f"The first {n} examples stored with the model.")
    source, records = _first_accepted(model, kind, n)
    return Prompts({"records": records}, f"The first {len(records)} of {source} that fit.")


def _first_accepted(model: Model, kind: str, n: int) -> tuple[str, list[Record]]:
    """The first that fit, of the test data if it is here, else of the shipped sample."""
    sample = [(f"sample-{kind}", split) for split in ("test", "val", "train")]
    for sources in [*([s] for s in _test_sets(model.name)), sample]:
        fitting = chain.from_iterable(_accepted(model, *source) for source in sources)
        records = list(islice(fitting, n))
        if records:
            return f"{sources[0][0]}, {sources[0][1]} split first", records
    raise UsageError(f"{model.name}: no composition or SMILES at hand fits this model")


def _test_sets(name: str) -> list[tuple[str, str]]:
    """The test split of the data that the packaged recipe of this name trains on, if it is here."""
    from importlib.resources import files

    from sciar.datasets.registry import resolve

    recipe = files("sciar").joinpath(f"configs/{name}.yaml")
    if not recipe.is_file():
        return []
    data = yaml.safe_load(recipe.read_text("utf-8")).get("data") or {}
    found = []
    for source in data.get("train") or []:
        try:
            resolve(source, "test")
        except UsageError:
            continue  # not on this machine: the shipped sample serves
        found.append((source, "test"))
    return found


def _accepted(model: Model, source: str, split: str) -> Iterator[Record]:
    """Records whose composition or SMILES the model takes, one at a time."""
    from sciar.api.prompts import Wish
    from sciar.datasets.readers import read
    from sciar.datasets.registry import resolve

    for record in read(resolve(source, split)):
        if not isinstance(record, Record):
            continue
        try:
            prompt = Wish(records=[record]).prompts(model.tokenizer)[0]
        except (UsageError, RecordError):
            continue
        if prompt.request is not None:
            yield record
