"""Which positions a network is fed: contents alone, or a question before each word to predict.

A question stands where a word will be and knows what is announced of it, but not what it is
(masked next-token prediction, Uni-3DAR, arXiv:2503.16278). Sequences hold contents only; questions
are put between them on the fly.

Shape letters: T positions of a pack, S fed positions, B sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciar.tokenization.packing import Pack


@dataclass(frozen=True, eq=False)
class Feed:
    """S fed positions, sequence after sequence.

    Attributes:
        at: (S,) position of the pack that each one is, or asks about.
        asks: (S,) whether it is a question.
        has_next: (S,) whether a content follows next, which is then announced.
        index: (S,) place in its own sequence, questions counted unless they are private.
        source: (T,) fed position whose state predicts each position of the pack; -1: none does.
        lengths: (B,) fed positions of each sequence.
        floors: (S,) fed place in its own sequence from which on a position sees nothing but itself;
            ``None``: all see everything before them.
        begins: (S,) position of the pack whose anchor is announced in place of the position's own;
            ``None``: each has its own.
    """

    at: Tensor
    asks: Tensor
    has_next: Tensor
    index: Tensor
    source: Tensor
    lengths: Tensor
    floors: Tensor | None = None
    begins: Tensor | None = None


def at_once(pack: Pack, fed: Feed, blind: Tensor) -> Feed:
    """The feed in which questions that can be put at once do not see each other's answers.

    Words that follow each other under one label (the nodes of one level) are all announced before
    the first of them is known. In some sequences their questions then see only what was there at
    the first of them, and are told its anchor, as when a whole level is drawn in one pass.

    Args:
        pack: what is fed.
        fed: how, with private questions.
        blind: (B,) in which sequences.
    """
    place = torch.arange(len(pack), device=pack.ids.device)
    asked = torch.zeros_like(place, dtype=torch.bool)
    asked[fed.at[fed.asks]] = True
    follows = torch.zeros_like(asked)
    follows[1:] = asked[1:] & asked[:-1] & (pack.labels[1:] == pack.labels[:-1])
    follows &= blind.repeat_interleave(pack.lengths) & (pack.labels >= 0)
    first = torch.where(follows, 0, place).cummax(0).values
    source = (fed.source + 1).clamp_min(0)  # fed position of each content
    starts = (fed.lengths.cumsum(0) - fed.lengths).repeat_interleave(fed.lengths)
    begins = torch.where(fed.asks, first[fed.at], fed.at)
    floors = torch.where(fed.asks, source[begins] - starts, torch.iinfo(torch.long).max)
    return replace(fed, floors=floors, begins=begins)


def feed(pack: Pack, questions: bool, private: bool = False) -> Feed:
    """What a network is fed of a pack; with ``questions``, one before each word that carries loss.

    Slots need no question: what stands before a slot announces it. ``private`` questions take up no
    index: each has that of the word it asks about.
    """
    device = pack.ids.device
    place = torch.arange(len(pack), device=device)
    asked = (pack.kinds == 0) & (pack.weights > 0) & questions
    counts = 1 + asked.long()
    content = counts.cumsum(0) - 1  # fed position of each content
    at = place.repeat_interleave(counts)
    asks = torch.zeros(len(at), dtype=torch.bool, device=device)
    asks[content[asked] - 1] = True
    ends = pack.lengths.cumsum(0)
    first = torch.zeros(len(pack), dtype=torch.bool, device=device)
    first[ends - pack.lengths] = True
    source = torch.where(first & ~asked, -1, content - 1)
    # A content announces the position after it, unless a question stands between.
    has_next = torch.ones(len(at), dtype=torch.bool, device=device)
    has_next[content[ends - 1]] = False
    has_next[:-1] &= ~(~asks[:-1] & asks[1:])
    lengths = torch.zeros_like(pack.lengths)
    owner = torch.arange(len(lengths), device=device).repeat_interleave(pack.lengths)
    lengths = lengths.index_add(0, owner, counts)
    starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    index = torch.arange(len(at), device=device) - starts
    if private:
        begins = (pack.lengths.cumsum(0) - pack.lengths).repeat_interleave(lengths)
        index = at - begins
    return Feed(at, asks, has_next, index, source, lengths)
