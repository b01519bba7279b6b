"""Categorical head: the next symbol."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CategoricalHead(nn.Module):
    """(N, C) conditions -> logits over the vocabulary.

    Args:
        condition: width of the condition.
        n_tokens: size of the vocabulary.
        smoothing: label smoothing of the training loss.
    """

    def __init__(self, condition: int, n_tokens: int, smoothing: float = 0.0) -> None:
        super().__init__()
        self.out = nn.Linear(condition, n_tokens, bias=False)
        self.smoothing = smoothing
        nn.init.zeros_(self.out.weight)

    def forward(self, condition_NC: Tensor) -> Tensor:
        """(N, V) fp32 logits."""
        return self.out(condition_NC).float()

    def loss(self, condition_NC: Tensor, target_N: Tensor) -> Tensor:
        """(N,) cross-entropy in nats."""
        logits = self(condition_NC)
        return F.cross_entropy(logits, target_N, reduction="none", label_smoothing=self.smoothing)

    def log_probs(self, condition_NC: Tensor, allowed_NV: Tensor) -> Tensor:
        """(N, V) log-probabilities of the constrained model; -inf where a token may not stand."""
        return self(condition_NC).masked_fill(~allowed_NV, float("-inf")).log_softmax(-1)

    @torch.no_grad()
    def sample(
        self,
        condition_NC: Tensor,
        allowed_NV: Tensor,
        uniform_N: Tensor,
        temperature: float | Tensor = 1.0,
        top_p: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`draw` from conditions."""
        return self.draw(self(condition_NC), allowed_NV, uniform_N, temperature, top_p)

    @staticmethod
    @torch.no_grad()
    def draw(
        logits_NV: Tensor,
        allowed_NV: Tensor,
        uniform_N: Tensor,
        temperature: float | Tensor = 1.0,
        top_p: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Draw allowed tokens by inverting the cumulative distribution at ``uniform_N``.

        Temperature 0 takes the most likely token; each may have its own, as (N,). Nucleus sampling:
        Holtzman et al., arXiv:1904.09751.

        Returns:
            (N,) tokens and (N,) their log-probability under the constrained model at temperature 1.
        """
        logits = logits_NV.masked_fill(~allowed_NV, float("-inf"))
        log_p = logits.log_softmax(-1)
        heat = torch.as_tensor(temperature, dtype=torch.float64, device=logits.device)
        heat = heat.expand(len(logits))
        best = log_p.argmax(-1)
        if not bool((heat > 0).any()):
            return best, log_p.gather(1, best[:, None])[:, 0]
        divisor = torch.where(heat > 0, heat, 1.0)[:, None]
        p = ((logits - logits.amax(-1, True)).double() / divisor).softmax(-1)
        p = nucleus(p, top_p) if top_p < 1 else p
        cumulative = p.cumsum(-1)
        threshold = (uniform_N.double() * cumulative[:, -1])[:, None]
        # rounding at the upper end must not reach past the last possible token
        last = p.shape[-1] - 1 - (p.flip(-1) > 0).int().argmax(-1)
        drawn = torch.minimum((cumulative <= threshold).sum(-1), last)
        token = torch.where(heat > 0, drawn, best)
        return token, log_p.gather(1, token[:, None])[:, 0]


def nucleus(p_NV: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of tokens whose probability reaches ``top_p``."""
    ordered, index = p_NV.sort(dim=-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    return p_NV * torch.zeros_like(kept).scatter(1, index, kept)
