"""An encoder with the head of masked language modelling, as ESM-2 has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import Esm2, Esm2Config

_FLOOR = 1e-6


class MaskedLM(nn.Module):
    """Ids with hidden tokens -> logits of what stands there.

    The head is a linear layer, GELU, a LayerNorm, and the transposed embedding with a bias. The
    bias starts at the logarithm of the background frequencies, so training starts from these.

    Args:
        config: sizes of the encoder.
        background: frequency of each id; uniform if not given.

    Raises:
        UsageError: not one frequency for each id.
    """

    background: Tensor

    def __init__(self, config: Esm2Config, background: Sequence[float] | None = None) -> None:
        super().__init__()
        self.encoder = Esm2(config)
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        frequencies = torch.ones(config.vocabulary)
        if background is not None:
            frequencies = torch.tensor(background, dtype=torch.float64)
        if len(frequencies) != config.vocabulary:
            raise UsageError(
                f"{len(frequencies)} background frequencies for {config.vocabulary} tokens"
            )
        frequencies = frequencies / frequencies.sum()
        smooth = (1 - _FLOOR * config.vocabulary) * frequencies + _FLOOR
        self.register_buffer("background", smooth.float())
        self._initialise()

    def forward(self, ids: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
        """Logits of some tokens of a pack.

        Args:
            ids: (T,) token ids of S sequences, back to back.
            lengths: (S,) their lengths.
            chosen: (T,) which tokens are asked for, or (C,) their indices.

        Returns:
            (C, V) logits.
        """
        x = self.encoder.packed(ids, lengths)[chosen]
        x = self.norm(F.gelu(self.dense(x)))
        return F.linear(x, self.encoder.embed.weight, self.bias)

    @torch.no_grad()
    def _initialise(self) -> None:
        """Xavier-uniform matrices; those that write to the stream are scaled by its depth."""
        config = self.encoder.config
        depth = 1 / math.sqrt(2 * config.layers)
        for name, parameter in self.named_parameters():
            if name.endswith("embed.weight"):
                nn.init.normal_(parameter, std=config.width**-0.5)
                parameter[config.pad] = 0.0
            elif parameter.ndim == 2:
                last = name.endswith(("output.weight", "down.weight"))
                nn.init.xavier_uniform_(parameter, gain=depth if last else 1.0)
            elif name.endswith("bias") and name != "bias":
                nn.init.zeros_(parameter)
        self.bias.copy_(self.background.log())
