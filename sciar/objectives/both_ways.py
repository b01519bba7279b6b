"""Sequences that are read in both directions, with some of their slots hidden.

Attention reads a whole sequence when all of it is a prefix. A recurrent layer cannot, so there the
sequence is read once more from its end, by the same weights, and the states are added.
"""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.tokenization.packing import Pack

_OF_SEQUENCES = ("lengths", "contexts", "keys")


def both_ways(model: AutoregressiveModel, pack: Pack) -> Tensor:
    """(T, H) states of a pack, each of which hangs on the whole sequence.

    Raises:
        UsageError: the network is asked questions, or slots refer to each other: neither can be
            turned round.
    """
    if model.config.questions or pack.references.shape[1]:
        raise UsageError("sequences with questions or references cannot be read backwards")
    whole = replace(pack, contexts=pack.lengths)
    states, _ = model(whole)
    if "m" not in model.config.decoder.mixers:
        return states
    order = backwards(pack.lengths)
    turned = {
        f.name: getattr(whole, f.name)[order] for f in fields(Pack) if f.name not in _OF_SEQUENCES
    }
    kept = {name: getattr(whole, name) for name in _OF_SEQUENCES}
    back, _ = model(Pack(**turned, **kept))
    return states + torch.zeros_like(back).index_copy(0, order, back)


def backwards(lengths: Tensor) -> Tensor:
    """(T,) order of the tokens of a pack with each sequence reversed behind its first token."""
    ends = lengths.cumsum(0)
    owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    place = torch.arange(int(lengths.sum()), device=lengths.device)
    starts = (ends - lengths)[owner]
    return torch.where(place == starts, place, starts + ends[owner] - place)


def hidden_slots(pack: Pack, where: Tensor, mask: int) -> Pack:
    """The pack with a word in the place of some slots.

    Args:
        pack: T tokens.
        where: (T,) bool.
        mask: id of the word.
    """
    return replace(
        pack,
        ids=torch.where(where, mask, pack.ids),
        kinds=torch.where(where, 0, pack.kinds),
        values=pack.values.masked_fill(where[:, None], 0.0),
        weights=pack.weights.masked_fill(where, 0.0),
    )
