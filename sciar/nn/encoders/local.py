"""Convolutions along chains: cheap sight of the nearest residues.

An encoder that has seen few sequences knows little of what a residue's neighbours say about it;
secondary structure, binding and conservation hang on these first of all.

Shapes: N residues of S chains, back to back; H width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError


class LocalLayers(nn.Module):
    """Residual convolutions over (N, H) vectors; nothing passes from one chain to another.

    Args:
        hidden: H.
        kernels: residues that each layer sees, odd.

    Raises:
        UsageError: a kernel that has no middle.
    """

    def __init__(self, hidden: int, kernels: Sequence[int]) -> None:
        super().__init__()
        if any(k < 1 or k % 2 == 0 for k in kernels):
            raise UsageError(f"kernels of local layers are odd and positive, got {list(kernels)}")
        self.kernels = tuple(kernels)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in kernels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden, hidden, k, padding=k // 2) for k in kernels
        )
        outs = [nn.Linear(hidden, hidden) for _ in kernels]
        self.outs = nn.ModuleList(outs)
        for out in outs:
            # The stream begins as small as embeddings are (0.02); what is added, likewise.
            nn.init.normal_(out.weight, std=0.04 * hidden**-0.5)
            nn.init.zeros_(out.bias)

    def forward(self, x_NH: Tensor, lengths: Tensor) -> Tensor:
        """(N, H) and the (S,) lengths of the chains -> (N, H)."""
        gap = max(self.kernels, default=0) // 2
        chain = torch.arange(len(lengths), device=x_NH.device).repeat_interleave(lengths)
        # Zeros between the chains, as many as a kernel reaches over.
        place = torch.arange(len(x_NH), device=x_NH.device) + gap * chain
        size = len(x_NH) + gap * max(0, len(lengths) - 1)
        for norm, convolve, out in zip(self.norms, self.convolutions, self.outs, strict=True):
            y = norm(x_NH)
            wide = y.new_zeros(size, y.shape[1]).index_copy(0, place, y)
            seen = convolve(wide.T[None])[0].T[place]
            x_NH = x_NH + out(F.gelu(seen))
        return x_NH
