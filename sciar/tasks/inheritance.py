"""Weights of a trained model for a new one: tables row by row, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciar.errors import ModelError
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel
from sciar.tokenization.vocabulary import Vocabulary

_BY_SLOT = re.compile(r"(embedding\.payload|heads)\.(\d+)\.(.+)")
_BY_SYMBOL = {
    "embedding.token.weight": 0,
    "words.out.weight": 0,
    "embedding.label.weight": 1,
    "embedding.next_label.weight": 1,
    "embedding.reference.label.weight": 1,
}
"""Tables with a row a symbol, and how many rows stand before the first."""
_BY_KIND = "embedding.next_kind.weight"
_BY_ANCHOR = ("embedding.anchor.weight", "embedding.next_anchor.weight")
_OPTIONAL = ("embedding.reference.", "embedding.question", "heads.", "extras.")


@dataclass(frozen=True)
class Inheritance:
    """What a new model took over.

    Attributes:
        symbols: names that both know.
        new_symbols: names that start fresh.
        slots: slot kinds that both know.
        new_slots: slot kinds that start fresh.
        fresh: other parameters that the old model did not have.
    """

    symbols: tuple[str, ...]
    new_symbols: tuple[str, ...]
    slots: tuple[str, ...]
    new_slots: tuple[str, ...]
    fresh: tuple[str, ...]

    def line(self, name: str) -> str:
        """One line for a log."""
        line = f"from {name}: {len(self.symbols)} symbols, slots {', '.join(self.slots)}"
        new = [*self.new_slots, *(n for n in self.new_symbols if n not in self.new_slots)]
        return line + (
            f"; new: {', '.join(new[:8])}{' ...' if len(new) > 8 else ''}" if new else ""
        )


@torch.no_grad()
def inherit(source: ModelFolder, target: AutoregressiveModel) -> Inheritance:
    """Start a new model from the weights of a trained one of the same size.

    Symbols and slot kinds are matched by name, whatever their ids: a row of the old model becomes
    the row of the same name; what only the new one has keeps its initial values.

    Raises:
        ModelError: no slot kind in common, a slot kind of another width or geometry, or other
            sizes of the decoder.
    """
    old, new = source.model.vocabulary, target.vocabulary
    pairs = _slot_pairs(source.name, old, new)
    rows = _rows(old.names, new.names)
    state = source.model.state_dict()
    fresh: list[str] = []
    for name, value in target.state_dict().items():
        origin = _origin(name, pairs)
        if origin is None:
            continue
        found = state.get(origin)
        if found is None:
            if not name.startswith(_OPTIONAL):
                raise ModelError(f"{source.name} has other sizes than the new model: no {name}")
            fresh.append(name)
        elif name in _BY_SYMBOL:
            _copy_rows(source.name, name, found, value, rows, _BY_SYMBOL[name])
        elif name == _BY_KIND:
            _copy_rows(source.name, name, found, value, pairs, 1)
        elif name in _BY_ANCHOR:
            count = min(len(found), len(value))
            _copy_rows(source.name, name, found, value, [(i, i) for i in range(count)], 0)
        elif found.shape == value.shape:
            value.copy_(found)
        else:
            raise _sizes(source.name, name, found, value)
    known, slots = {old.names[i] for i, _ in rows}, {old.slots[i].name for i, _ in pairs}
    return Inheritance(
        tuple(n for n in new.names if n in known),
        tuple(n for n in new.names if n not in known),
        tuple(s.name for s in new.slots if s.name in slots),
        tuple(s.name for s in new.slots if s.name not in slots),
        tuple(fresh),
    )


def _slot_pairs(name: str, old: Vocabulary, new: Vocabulary) -> list[tuple[int, int]]:
    """(old, new) numbers from 0 of the slot kinds of the same name."""
    places = {slot.name: i for i, slot in enumerate(old.slots)}
    pairs = []
    for j, slot in enumerate(new.slots):
        i = places.get(slot.name)
        if i is None:
            continue
        before = old.slots[i]
        if (before.width, before.geometry) != (slot.width, slot.geometry):
            raise ModelError(f"{name} has another slot {slot.name} than the new model")
        pairs.append((i, j))
    if not pairs:
        kinds = ", ".join(s.name for s in old.slots)
        raise ModelError(f"{name} has other symbols than the new model: its slots are {kinds}")
    return pairs


def _rows(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    places = {name: i for i, name in enumerate(old)}
    return [(places[name], j) for j, name in enumerate(new) if name in places]


def _origin(name: str, pairs: Sequence[tuple[int, int]]) -> str | None:
    """Name of the parameter that a parameter comes from; ``None`` for one of a new slot kind."""
    match = _BY_SLOT.fullmatch(name)
    if match is None:
        return name
    before = {new: old for old, new in pairs}.get(int(match[2]))
    return None if before is None else f"{match[1]}.{before}.{match[3]}"


def _copy_rows(
    model: str,
    name: str,
    found: Tensor,
    value: Tensor,
    rows: Sequence[tuple[int, int]],
    offset: int,
) -> None:
    if found.shape[1:] != value.shape[1:]:
        raise _sizes(model, name, found, value)
    source = torch.tensor([*range(offset), *(i + offset for i, _ in rows)])
    target = torch.tensor([*range(offset), *(j + offset for _, j in rows)])
    value[target] = found[source].to(value)


def _sizes(model: str, name: str, found: Tensor, value: Tensor) -> ModelError:
    shapes = f"{tuple(found.shape)}, not {tuple(value.shape)}"
    return ModelError(f"{model} has other sizes than the new model: {name} is {shapes}")
