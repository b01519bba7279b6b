"""Weights of a trained model for a new one: tables row by row, by name.

A vocabulary that grows at its end keeps its ids. Old inputs then give the same hidden states and
the same logits over the old symbols, and can keep them while the new ones are trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciar.errors import ModelError
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel
from sciar.tokenization.vocabulary import Vocabulary

_BY_SLOT = re.compile(r"(embedding\.payload|heads)\.(\d+)\.(.+)")
_FAMILY = re.compile(r"<?[a-z0-9]+(?=[_:])")
_TABLES = {
    "embedding.token.weight": 0,
    "words.out.weight": 0,
    "embedding.label.weight": 1,
    "embedding.next_label.weight": 1,
}
"""Tables with a row a symbol, and how many rows stand before the first."""
_BY_SYMBOL = {**_TABLES, "embedding.reference.label.weight": 1}
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


def grows(old: Vocabulary, new: Vocabulary) -> bool:
    """Whether a vocabulary is the beginning of another one."""
    return old.names == new.names[: len(old)]


@torch.no_grad()
def inherit(source: ModelFolder, target: AutoregressiveModel) -> Inheritance:
    """Start a new model from the weights of a trained one of the same size.

    Symbols and slot kinds are matched by name, whatever their ids: a row of the old model becomes
    the row of the same name; what only the new one has keeps its initial values. Where the old
    vocabulary is the beginning of the new one, a new symbol begins at the mean of the old ones of
    its family, which is what its name says before the first ``_`` or ``:`` (``<task_ec>``,
    ``idx:7``), plus the noise of its own beginning.

    Raises:
        ModelError: no slot kind in common, a slot kind of another width or geometry, or other
            sizes of the decoder.
    """
    old, new = source.model.vocabulary, target.vocabulary
    pairs = _slot_pairs(source.name, old, new)
    rows = _rows(old.names, new.names)
    state = source.model.state_dict()
    used: set[str] = set()
    fresh: list[str] = []
    for name, value in target.state_dict().items():
        origin = _origin(name, pairs)
        if origin is None:
            continue
        used.add(origin)
        found = state.get(origin)
        if found is None:
            if not name.startswith(_OPTIONAL):
                raise ModelError(f"{source.name} has other sizes than the new model: no {name}")
            fresh.append(name)
        elif name in _BY_SYMBOL:
            _copy_rows(source.name, name, found, value, rows, _BY_SYMBOL[name])
            if name in _TABLES and grows(old, new):
                begin = _TABLES[name]
                value[len(old) + begin :] += _beginnings(found, old.names, new.names, begin)
        elif name == _BY_KIND:
            _copy_rows(source.name, name, found, value, pairs, 1)
        elif name in _BY_ANCHOR:
            count = min(len(found), len(value))
            _copy_rows(source.name, name, found, value, [(i, i) for i in range(count)], 0)
        elif found.shape == value.shape:
            value.copy_(found)
        else:
            raise _sizes(source.name, name, found, value)
    _refuse_lost(source.name, [n for n in state if n not in used], pairs)
    known, slots = {old.names[i] for i, _ in rows}, {old.slots[i].name for i, _ in pairs}
    return Inheritance(
        tuple(n for n in new.names if n in known),
        tuple(n for n in new.names if n not in known),
        tuple(s.name for s in new.slots if s.name in slots),
        tuple(s.name for s in new.slots if s.name not in slots),
        tuple(fresh),
    )


def train_only_new(old: Vocabulary, model: AutoregressiveModel) -> list[str]:
    """Freeze everything but what new symbols have brought, so that old answers stay as they are.

    Trained are the rows of new symbols, and input modules and heads of new slot kinds. Old logits
    over old symbols stay bit for bit, because nothing that they hang on moves.

    Returns:
        Names of the parameters that are trained, wholly or in part.

    Raises:
        ModelError: the old symbols and slot kinds are not the first of the new ones, or no symbol
            is new.
    """
    new = model.vocabulary
    kinds = [slot.name for slot in old.slots]
    if not grows(old, new) or kinds != [slot.name for slot in new.slots[: len(kinds)]]:
        raise ModelError(
            "the model to start from has other symbols than the new one, so that they cannot stay "
            "as they are; train all, or let the new tokenizer extend the old one"
        )
    if len(old) == len(new):
        raise ModelError("no symbol is new, so there is nothing to train by new_only")
    added = tuple(
        f"{part}.{i}."
        for part in ("embedding.payload", "heads")
        for i in range(len(old.slots), len(new.slots))
    )
    trained = []
    for name, parameter in model.named_parameters():
        if name in _TABLES:
            fixed = len(old) + _TABLES[name]
            parameter.register_hook(_without_rows(fixed))
        elif not name.startswith(added or ("\0",)):
            parameter.requires_grad_(False)
            continue
        trained.append(name)
    return trained


def _without_rows(count: int) -> Callable[[Tensor], Tensor]:
    """A hook that takes the gradient of the first rows away."""

    def hook(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[:count] = 0.0
        return gradient

    return hook


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


def _refuse_lost(model: str, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
    """Weights that the new model has no use for, though it reads the slots that they are for."""
    for name in names:
        match = _BY_SLOT.fullmatch(name)
        dropped = match is not None and int(match[2]) not in {old for old, _ in pairs}
        if not dropped and not name.startswith(_OPTIONAL):
            raise ModelError(
                f"{model} has other sizes than the new model: it has {name}, which the new model "
                "has not"
            )


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


def _beginnings(rows: Tensor, old: tuple[str, ...], new: tuple[str, ...], before: int) -> Tensor:
    """(new symbols, width) mean of the old rows of each new symbol's family, or zero."""
    members: dict[str, list[int]] = {}
    for i, name in enumerate(old):
        members.setdefault(_family(name), []).append(i + before)
    start = rows.new_zeros(len(new) - len(old), rows.shape[1])
    means = {f: rows[torch.tensor(at)].mean(0) for f, at in members.items() if f}
    for i, name in enumerate(new[len(old) :]):
        family = _family(name)
        if family in means:
            start[i] = means[family]
    return start


def _family(name: str) -> str:
    found = _FAMILY.match(name)
    return found[0] if found else ""
