"""Start a model from the weights of another: the same symbols, or the same and more of them.

A vocabulary only ever grows at its end, so every table keeps its old rows in place, by name. Old
inputs then give the same hidden states and the same logits over the old symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from sciar.errors import ModelError
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel
from sciar.tokenization.vocabulary import Vocabulary

_FAMILY = re.compile(r"<?[a-z0-9]+(?=[_:])")
_TABLES = {"embedding.token.weight": 0, "embedding.label.weight": 1,
           "embedding.next_label.weight": 1, "words.out.weight": 0}  # fmt: skip
"""Tables with one row a symbol, and how many rows come before them."""


def grows(old: Vocabulary, new: Vocabulary) -> bool:
    """Whether a vocabulary is the beginning of another one that has the same slot kinds."""
    slots = [slot.name for slot in old.slots]
    return old.names == new.names[: len(old)] and slots == [slot.name for slot in new.slots]


def copy_weights(source: ModelFolder, target: AutoregressiveModel) -> None:
    """Copy all weights by name; new symbols, slot kinds and anchors keep their own beginning.

    A new symbol begins at the mean of the old ones of its family, which is what its name says
    before the first ``_`` or ``:`` (``<task_ec>``, ``idx:7``), plus the noise of its own beginning.

    Raises:
        ModelError: the old symbols are not the first of the new ones, or other sizes.
    """
    old, new = source.model.vocabulary, target.vocabulary
    if old.names != new.names[: len(old)] or [s.name for s in old.slots] != [
        s.name for s in new.slots[: len(old.slots)]
    ]:
        raise ModelError(
            f"{source.name} has other symbols than the new model; train from scratch, or let the "
            "new tokenizer extend its vocabulary"
        )
    given, own = source.model.state_dict(), target.state_dict()
    # Extras belong to an objective: another one has others, and its own begin fresh.
    lost = [name for name in given if name not in own and not name.startswith("extras.")]
    if lost:
        raise ModelError(
            f"{source.name} has other sizes than the new model: it has {lost[0]}, which the new "
            "model has not"
        )
    added = {f"{part}.{i}." for part in ("embedding.payload", "heads")
             for i in range(len(old.slots), len(new.slots))}  # fmt: skip
    for name, value in own.items():
        if name not in given:
            if not any(name.startswith(prefix) for prefix in (*added, "extras.")):
                raise ModelError(f"{source.name} lacks {name}, which the new model has")
            continue
        rows = given[name]
        if rows.shape[1:] != value.shape[1:] or len(rows) > len(value):
            raise ModelError(
                f"{source.name} has other sizes than the new model: {name} is "
                f"{tuple(rows.shape)} there and {tuple(value.shape)} here"
            )
        if len(rows) < len(value) and name in _TABLES:
            value[len(rows) :] += _beginnings(rows, old.names, new.names, _TABLES[name])
        elif len(rows) < len(value) and name not in _GROWING:
            raise ModelError(f"{source.name} has other sizes than the new model: {name}")
        value[: len(rows)] = rows
    target.load_state_dict(own)


def train_only_new(old: Vocabulary, model: AutoregressiveModel) -> list[str]:
    """Freeze everything but what new symbols have brought, so that old answers stay as they are.

    Trained are the rows of new symbols, and input modules and heads of new slot kinds. Old logits
    over old symbols stay bit for bit, because nothing that they hang on moves.

    Returns:
        Names of the parameters that are trained, wholly or in part.

    Raises:
        ModelError: no symbol is new.
    """
    new = model.vocabulary
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


_GROWING = (
    "embedding.anchor.weight", "embedding.next_anchor.weight", "embedding.next_kind.weight",
    "embedding.reference.label.weight",
)  # fmt: skip


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
