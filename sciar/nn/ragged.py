"""How the sequences of a pack are cut into chunks of equal length, for scans along them.

Shape letters: T flat tokens, B sequences, C chunks of Q places, K places before a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ragged:
    """B sequences back to back, each cut into chunks of its own.

    A chunk never holds tokens of two sequences, and what is padded is less than one chunk a
    sequence, however different the lengths are.

    Attributes:
        single: every sequence has exactly one token.
        size: Q, places in a chunk.
        tokens_CQ: flat token at each place; T where there is none.
        places_T: place, among C * Q, of each token.
        rounds: for the first, second, ... chunk of each sequence: which sequences have one, and its
            number among C.
        order_C: where each chunk comes in the rounds.
        shifted_T: place of each token when K places stand before each sequence.
        ahead_BK: those K places.
        behind_BK: the last K places of each sequence, its K places before counted.
    """

    single: bool
    size: int
    tokens_CQ: Tensor
    places_T: Tensor
    rounds: list[tuple[Tensor, Tensor]]
    order_C: Tensor
    shifted_T: Tensor
    ahead_BK: Tensor
    behind_BK: Tensor

    @classmethod
    def build(cls, lengths: Tensor, chunk: int, before: int) -> Ragged:
        """From (B,) lengths, the largest chunk, and K places before each sequence."""
        device, counts = lengths.device, lengths.tolist()
        total, longest = sum(counts), max(counts)
        size = max(1, min(chunk, longest))
        owner = torch.arange(len(counts), device=device).repeat_interleave(lengths)
        starts = lengths.cumsum(0) - lengths
        flat = torch.arange(total, device=device)
        chunks = -(-lengths // size)
        first = chunks.cumsum(0) - chunks
        places = first[owner] * size + flat - starts[owner]
        tokens = torch.full((int(chunks.sum()) * size,), total, device=device)
        tokens[places] = flat
        rounds, order = [], []
        for number in range(-(-longest // size)):
            sequences = (chunks > number).nonzero().squeeze(1)
            rounds.append((sequences, first[sequences] + number))
            order.append(rounds[-1][1])
        begins = starts + before * torch.arange(len(counts), device=device)
        window = torch.arange(before, device=device)
        return cls(
            single=longest == 1 and min(counts) == 1,
            size=size,
            tokens_CQ=tokens.view(-1, size),
            places_T=places,
            rounds=rounds,
            order_C=torch.cat(order).argsort(),
            shifted_T=flat + before * (owner + 1),
            ahead_BK=begins[:, None] + window,
            behind_BK=(begins + lengths)[:, None] + window,
        )
