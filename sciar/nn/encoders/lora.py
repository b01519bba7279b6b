"""Low-rank adaptation: frozen linear layers with a trainable product of two thin matrices beside.

``y = W x + b + (alpha / rank) B A dropout(x)`` (Hu et al., arXiv:2106.09685, equation 3). ``B``
starts at zero, so an adapted network computes what it computed before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError


class LoraLinear(nn.Module):
    """A linear layer with an adapter; its own weights are frozen.

    Args:
        base: the layer; its parameters become ours, without gradient.
        rank: inner width of the adapter.
        alpha: its scale is ``alpha / rank``.
        dropout: of the adapter's input.

    Raises:
        UsageError: a rank below 1, or no probability of dropout.
    """

    def __init__(
        self, base: nn.Linear, rank: int = 8, alpha: float = 32.0, dropout: float = 0.05
    ) -> None:
        super().__init__()
        if rank < 1 or not 0 <= dropout < 1:
            raise UsageError(
                f"an adapter has a rank of 1 or more and a dropout below 1, got {rank}, {dropout}"
            )
        self.weight, self.bias = base.weight, base.bias
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.scale, self.dropout = alpha / rank, dropout
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        thin = F.linear(F.dropout(x, self.dropout, self.training), self.down)
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(thin, self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear layer that computes the same (without dropout)."""
        out, width = self.weight.shape
        layer = nn.Linear(width, out, bias=self.bias is not None, device=self.weight.device)
        layer.weight.copy_(self.weight + self.scale * self.up @ self.down)
        if self.bias is not None:
            layer.bias.copy_(self.bias)
        return layer


def add_lora(
    module: nn.Module, rank: int = 8, alpha: float = 32.0, dropout: float = 0.05
) -> list[str]:
    """Put an adapter beside every linear layer inside a module, and freeze everything else.

    Returns:
        Names of the adapted layers.

    Raises:
        UsageError: no linear layer, adapters are there already, or impossible options.
    """
    if any(isinstance(part, LoraLinear) for part in module.modules()):
        raise UsageError("the network has adapters already; merge them first")
    layers = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    if not layers:
        raise UsageError("the network has no linear layer to adapt")
    module.requires_grad_(False)
    for name, layer in layers.items():
        _replace(module, name, LoraLinear(layer, rank, alpha, dropout))
    return list(layers)


def merge_lora(module: nn.Module) -> nn.Module:
    """Replace every adapted layer by one plain layer that computes the same; returns the module."""
    adapted = {n: part for n, part in module.named_modules() if isinstance(part, LoraLinear)}
    for name, layer in adapted.items():
        _replace(module, name, layer.merged())
    return module


def merged_state(module: nn.Module) -> dict[str, Tensor]:
    """The weights as after :func:`merge_lora`, while the module keeps its adapters.

    They fit the network as it was before :func:`add_lora`, so a folder needs no trace of them.
    """
    state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLinear):
            at = f"{name}." if name else ""
            state[f"{at}weight"] = layer.merged().weight.detach()
            del state[f"{at}down"], state[f"{at}up"]
    return state


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    owner = module.get_submodule(parent) if parent else module
    setattr(owner, last, layer.train(owner.training))
