"""The state-space scan of Mamba-2 in plain PyTorch (Dao and Gu, arXiv:2405.21060).

For each head, with inputs u, decays a in (0, 1] and vectors b and c that all heads share::

    S_t = a_t S_{t-1} + u_t b_t^T        y_t = S_t c_t

The state starts anew in every sequence, or from where it was left. All of it is computed in at
least single precision, whatever the precision around it is.

Shape letters: T flat tokens, B sequences, H heads, P head width, N state width, C chunks, Q places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.nn.ragged import Ragged


def wide(x: Tensor) -> Tensor:
    """The same numbers in single precision, or in double if they were."""
    return x if x.dtype == torch.float64 else x.float()


def scan(
    u_THP: Tensor,
    log_a_TH: Tensor,
    b_TN: Tensor,
    c_TN: Tensor,
    layout: Ragged,
    state_BHPN: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs (T, H, P) and the last state (B, H, P, N) of every sequence.

    Args:
        u_THP: inputs.
        log_a_TH: logarithms of the decays, never above zero.
        b_TN: what an input writes to.
        c_TN: what an output reads.
        layout: where the sequences are.
        state_BHPN: states to begin with; zeros if not given.
    """
    with torch.autocast(u_THP.device.type, enabled=False):
        u, log_a, b, c = wide(u_THP), wide(log_a_TH), wide(b_TN), wide(c_TN)
        if layout.single and state_BHPN is not None:
            return step(u, log_a, b, c, wide(state_BHPN))
        return _chunked(u, log_a, b, c, layout, state_BHPN)


def step(
    u_BHP: Tensor, log_a_BH: Tensor, b_BN: Tensor, c_BN: Tensor, state_BHPN: Tensor
) -> tuple[Tensor, Tensor]:
    """One token of every sequence: outputs (B, H, P) and states (B, H, P, N)."""
    added = u_BHP[..., None] * b_BN[:, None, None]
    state = log_a_BH.exp()[..., None, None] * state_BHPN + added
    return (state @ c_BN[:, None, :, None])[..., 0], state


def _chunked(
    u_THP: Tensor,
    log_a_TH: Tensor,
    b_TN: Tensor,
    c_TN: Tensor,
    layout: Ragged,
    state_BHPN: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Matrix products inside chunks, and one short loop that carries the state between them."""

    def cut(x: Tensor) -> Tensor:
        # Nothing is written, and nothing decays, where there is no token: the state passes through.
        return torch.cat([x, x.new_zeros(1, *x.shape[1:])])[layout.tokens_CQ]

    u_CHQP, since_CHQ = cut(u_THP).transpose(1, 2), cut(log_a_TH).cumsum(1).transpose(1, 2)
    b_CQN, c_CQN = cut(b_TN), cut(c_TN)
    # The mask comes before the exponential: what it hides would overflow, and its gradient be NaN.
    ahead = torch.ones(layout.size, layout.size, dtype=torch.bool, device=u_THP.device).triu(1)
    gap_CHQQ = since_CHQ[..., :, None] - since_CHQ[..., None, :]
    decay_CHQQ = gap_CHQQ.masked_fill(ahead, float("-inf")).exp()
    y_CHQP = ((c_CQN @ b_CQN.transpose(1, 2))[:, None] * decay_CHQQ) @ u_CHQP
    left_CHQ = (since_CHQ[..., -1:] - since_CHQ).exp()
    added_CHPN = (u_CHQP * left_CHQ[..., None]).transpose(2, 3) @ b_CQN[:, None]
    if state_BHPN is None and len(layout.rounds) == 1 and len(added_CHPN) == len(layout.ahead_BK):
        last = added_CHPN
    else:
        begin_CHPN, last = _carry(added_CHPN, since_CHQ[..., -1].exp(), layout, state_BHPN)
        read_CHQP = c_CQN[:, None] @ begin_CHPN.transpose(2, 3)
        y_CHQP = y_CHQP + since_CHQ.exp()[..., None] * read_CHQP
    return y_CHQP.transpose(1, 2).flatten(0, 1)[layout.places_T], last


def _carry(
    added_CHPN: Tensor, kept_CH: Tensor, layout: Ragged, state_BHPN: Tensor | None
) -> tuple[Tensor, Tensor]:
    """States before every chunk, and after every sequence."""
    sequences = len(layout.ahead_BK)
    shape = (sequences, *added_CHPN.shape[1:])
    state = added_CHPN.new_zeros(shape) if state_BHPN is None else state_BHPN.to(added_CHPN.dtype)
    before = []
    for owners, chunks in layout.rounds:
        whole = len(owners) == sequences
        own = state if whole else state[owners]
        before.append(own)
        after = kept_CH[chunks][..., None, None] * own + added_CHPN[chunks]
        state = after if whole else state.index_copy(0, owners, after)
    return torch.cat(before)[layout.order_C], state


def convolve(
    x_TE: Tensor, weight: Tensor, bias: Tensor, layout: Ragged, before_BKE: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Depthwise causal convolution inside each sequence, and the last K inputs of each.

    Args:
        x_TE: inputs, E channels.
        weight: (E, 1, K + 1); the last tap is of the token itself.
        bias: (E,).
        layout: where the sequences are.
        before_BKE: inputs before each sequence; zeros if not given.
    """
    sequences, k = layout.ahead_BK.shape
    spread = x_TE.new_zeros(len(x_TE) + sequences * k, x_TE.shape[1])
    spread = spread.index_copy(0, layout.shifted_T, x_TE)
    if before_BKE is not None:
        flat = before_BKE.to(x_TE.dtype).flatten(0, 1)
        spread = spread.index_copy(0, layout.ahead_BK.flatten(), flat)
    if layout.single:
        window = spread.view(sequences, k + 1, -1)
        out = torch.einsum("bke,ek->be", window, weight[:, 0].to(x_TE.dtype)) + bias.to(x_TE.dtype)
        return out, window[:, 1:]
    out = F.conv1d(spread.T[None], weight, bias, groups=len(weight))[0].T
    return out[layout.shifted_T - k], spread[layout.behind_BK]
