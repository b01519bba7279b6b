"""What a linear method reads of a whole chain: shares of residues and neighbours, and its length.

Attention can find these out, but with a thousand labelled proteins it finds sooner what is true of
single ones; a linear model on just these numbers is hard to beat there (docs/protein-baselines.md).

Shapes: N residues of S chains, back to back; V ids; H width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Composition(nn.Module):
    """One vector for each chain, given to each of its residues.

    Args:
        ids: V, how many different ids there are.
        hidden: H.
    """

    def __init__(self, ids: int, hidden: int) -> None:
        super().__init__()
        self.ids = ids
        self.letter = nn.Parameter(torch.zeros(ids, hidden))
        self.pair = nn.Parameter(torch.zeros(ids * ids, hidden))
        self.length = nn.Parameter(torch.zeros(hidden))

    def forward(self, ids_N: Tensor, lengths: Tensor) -> Tensor:
        """(N,) ids and the (S,) lengths of the chains -> (N, H)."""
        sizes = lengths.to(self.letter.dtype).repeat_interleave(lengths)[:, None]
        chain = torch.arange(len(lengths), device=ids_N.device).repeat_interleave(lengths)
        pair = self.pair[ids_N[:-1] * self.ids + ids_N[1:]] * (chain[1:] == chain[:-1])[:, None]
        made = self.letter[ids_N]
        made = made + torch.cat([pair, pair.new_zeros(min(1, len(ids_N)), pair.shape[1])])
        # Twenty letters: a share of a letter comes to about one.
        return 20 * sums(made, lengths) / sizes + (sizes / 300).log() * self.length


def sums(x_NH: Tensor, lengths: Tensor) -> Tensor:
    """(N, H) vectors and (S,) lengths of chains -> (N, H): each residue has its chain's sum."""
    chain = torch.arange(len(lengths), device=x_NH.device).repeat_interleave(lengths)
    return x_NH.new_zeros(len(lengths), x_NH.shape[1]).index_add(0, chain, x_NH)[chain]
