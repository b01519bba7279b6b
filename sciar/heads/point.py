"""Point heads: one answer without a distribution, for numbers and for rotations."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import Head, SamplerSettings
from sciar.heads.mixture import wrapped
from sciar.heads.scalar import network
from sciar.tokenization.vocabulary import SlotKind


class PointHead(Head):
    """Numbers by regression, as the numeric head of IG-LLM (arXiv:2404.15228) predicts them.

    On the line the loss is Huber's, which is the squared error up to ``delta``. On the circle a
    number is a direction (cosine, sine), with the loss 1 - cos of the angle between.

    Args:
        slot: slot kind of any width, ``euclidean`` or ``torus``.
        condition: width of the condition.
        hidden: width of the one hidden layer.
        delta: where Huber's loss turns linear, in standard deviations.
    """

    def __init__(
        self, slot: SlotKind, condition: int, hidden: int = 128, delta: float = 1.0
    ) -> None:
        super().__init__(slot, condition)
        if slot.geometry not in ("euclidean", "torus") or delta <= 0:
            raise UsageError(f"slot {slot.name}: no point head of {slot.geometry}, delta {delta}")
        self.circular, self.delta = slot.geometry == "torus", delta
        start = torch.zeros(slot.width)
        if self.circular:
            # A direction of length zero has no gradient.
            start = torch.cat([start + 1.0, start])
        self.net = network(condition, hidden, len(start), start)

    def forward(self, condition_NC: Tensor) -> Tensor:
        """(N, W) fp32 numbers; on the circle (N, 2 W): cosines, then sines."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            out = self.net(condition_NC.float())
        if not self.circular:
            return out
        pairs = torch.stack(out.chunk(2, dim=-1))
        return torch.cat([*F.normalize(pairs, dim=0)], dim=-1)

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) mean over the numbers of a payload."""
        out, target = self(condition_NC), target_NW.float()
        if self.circular:
            angle = 2 * math.pi * target
            along = (out * torch.cat([angle.cos(), angle.sin()], dim=-1)).sum(-1)
            return 1 - along / self.slot.width
        return F.huber_loss(out, target, reduction="none", delta=self.delta).mean(-1)

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, W) the prediction, whatever the keys."""
        out = self(condition_NC)
        if not self.circular:
            return out
        cos, sin = out.chunk(2, dim=-1)
        return wrapped(torch.atan2(sin, cos) / (2 * math.pi))


class RotationHead(Head):
    """A rotation as a matrix, which unlike angles has no jump.

    Six numbers are the first two rows, made orthonormal by Gram and Schmidt (Zhou et al.,
    arXiv:1812.07035, there with columns); the loss is the squared distance of the matrices. Nine
    are regressed as they are, and projected to the nearest rotation by SVD when drawn (Levinson et
    al., arXiv:2006.14616); projecting in the loss too would have no gradient where singular values
    are equal, as at the start.

    Args:
        slot: slot kind of geometry ``rotation``.
        condition: width of the condition.
        hidden: width of the one hidden layer.
    """

    def __init__(self, slot: SlotKind, condition: int, hidden: int = 128) -> None:
        super().__init__(slot, condition)
        if slot.geometry != "rotation":
            raise UsageError(f"slot {slot.name} is {slot.geometry}; a rotation head predicts one")
        self.net = network(condition, hidden, slot.width, torch.eye(3).flatten()[: slot.width])

    def forward(self, condition_NC: Tensor) -> Tensor:
        """(N, W) fp32 rows, not yet orthonormal."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            return self.net(condition_NC.float())

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) squared chordal distance."""
        out, target = self(condition_NC), target_NW.float()
        if self.slot.width == 9:
            return (out - target).square().sum(-1)
        return (rows_to_matrix(out) - rows_to_matrix(target)).square().sum((-1, -2))

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, W) rows of a proper rotation, whatever the keys."""
        return rows_to_matrix(self(condition_NC)).flatten(1)[:, : self.slot.width]


def rows_to_matrix(rows: Tensor) -> Tensor:
    """(N, 6) or (N, 9) numbers -> (N, 3, 3) proper rotations.

    Six: Gram-Schmidt of the two rows, the third is their cross product. Nine: the nearest rotation
    in the Frobenius norm.
    """
    if rows.shape[-1] == 6:
        first, second = rows.unflatten(-1, (2, 3)).unbind(-2)
        first = F.normalize(first, dim=-1)
        second = second - (first * second).sum(-1, keepdim=True) * first
        second = F.normalize(second, dim=-1)
        return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)
    # Autocast would round the products of matrices.
    with torch.autocast(rows.device.type, enabled=False):
        u, _, v = torch.linalg.svd(rows.unflatten(-1, (3, 3)))
        flip = torch.ones_like(rows[..., :3])
        flip[..., 2] = (torch.det(u) * torch.det(v)).sign()
        return (u * flip[..., None, :]) @ v
