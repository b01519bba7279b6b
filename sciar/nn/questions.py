"""Which positions a network is fed: contents alone, or a question before each word to predict.

A question stands where a word will be and knows what is announced of it, but not what it is
(masked next-token prediction, Uni-3DAR, arXiv:2503.16278). Sequences hold contents only; questions
are put between them on the fly.

Shape letters: T positions of a pack, S fed positions, B sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    at: Tensor
    asks: Tensor
    has_next: Tensor
    index: Tensor
    source: Tensor
    lengths: Tensor


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
