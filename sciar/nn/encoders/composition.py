"""What a linear method reads of a whole chain: shares of residues and neighbours, and its length.

Attention can find these out, but with a thousand labelled proteins it finds sooner what is true of
single ones; a linear model on just these numbers is hard to beat there (docs/protein-baselines.md).

Shapes: N residues of S chains, back to back; V ids; H width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sciar.errors import UsageError

ROWS = 8191
"""Most rows of a table, a prime: runs of three letters share them by their remainder."""
LONGEST = 3


class Composition(nn.Module):
    """One vector for each chain, given to each of its residues; nothing before training.

    Args:
        ids: V, how many different ids there are.
        hidden: H.
        longest: longest runs of residues that are counted: 1 letters, 2 also neighbours, 3 also
            runs of three, by which close relatives know each other.

    Raises:
        UsageError: longer runs.
    """

    def __init__(self, ids: int, hidden: int, longest: int = 2) -> None:
        super().__init__()
        if not 1 <= longest <= LONGEST:
            raise UsageError(f"composition counts runs of 1 to {LONGEST} residues, got {longest}")
        self.ids = ids
        rows = [min(ids**k, ROWS) for k in range(1, longest + 1)]
        self.runs = nn.ParameterList(torch.zeros(n, hidden) for n in rows)
        self.length = nn.Parameter(torch.zeros(hidden))

    def forward(self, ids_N: Tensor, lengths: Tensor) -> Tensor:
        """(N,) ids and the (S,) lengths of the chains -> (N, H)."""
        sizes = lengths.to(self.length.dtype).repeat_interleave(lengths)[:, None]
        ends = lengths.cumsum(0).repeat_interleave(lengths)
        left = ends - torch.arange(len(ids_N), device=ids_N.device)
        run, made = torch.zeros_like(ids_N), torch.zeros_like(sizes)
        for i, table in enumerate(self.runs):
            # The run of i + 1 residues that begins at each place, if the chain reaches so far.
            run = run * self.ids + torch.cat([ids_N[i:], ids_N[:i]])
            made = made + table[run % len(table)] * (left > i)[:, None]
        # Twenty letters: a share of a letter comes to about one.
        return 20 * sums(made, lengths) / sizes + (sizes / 300).log() * self.length


def sums(x_NH: Tensor, lengths: Tensor) -> Tensor:
    """(N, H) vectors and (S,) lengths of chains -> (N, H): each residue has its chain's sum."""
    chain = torch.arange(len(lengths), device=x_NH.device).repeat_interleave(lengths)
    return x_NH.new_zeros(len(lengths), x_NH.shape[1]).index_add(0, chain, x_NH)[chain]
