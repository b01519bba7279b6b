"""Flow matching head: few-step ODE sampling in Euclidean space or on the torus.

Conditional flow matching with straight (geodesic) paths: Lipman et al., arXiv:2210.02747; on the
torus Chen and Lipman, arXiv:2302.03660. Base: a standard normal, or the uniform torus.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import Guide, GuidedHead, SamplerSettings
from sciar.heads.mlp import TIMES, ModulatedMLP
from sciar.nn.geometry import wrap
from sciar.nn.streams import derive, normal, uniform
from sciar.tokenization.vocabulary import SlotKind

HARMONICS = 4


class FlowHead(GuidedHead):
    """Velocity field v(x, t | condition), a small modulated MLP.

    Args:
        slot: slot kind; a torus slot gets the torus variant.
        condition: width of the condition.
        hidden: width of the MLP.
        depth: number of its residual blocks.
        copies: independent times and noises per slot in training.
        steps: default number of function evaluations of the sampler.
    """

    def __init__(
        self,
        slot: SlotKind,
        condition: int,
        hidden: int = 256,
        depth: int = 3,
        copies: int = 4,
        steps: int = 20,
    ) -> None:
        super().__init__(slot, condition)
        self.torus = slot.geometry == "torus"
        self.copies, self.steps = copies, steps
        width = slot.width * (2 * HARMONICS if self.torus else 1 + 2 * HARMONICS)
        self.net = ModulatedMLP(width, condition, hidden, depth, slot.width)

    def _features(self, x: Tensor) -> Tensor:
        order = torch.arange(1, HARMONICS + 1, device=x.device)
        scale = 2 * math.pi * order if self.torus else 0.5 * math.pi * 2.0 ** (order - 1)
        angle = (x[..., None] * scale).flatten(-2)
        waves = [angle.sin(), angle.cos()]
        return torch.cat(waves if self.torus else [x, *waves], dim=-1)

    def _base(self, keys: Tensor) -> Tensor:
        if self.torus:
            return uniform(keys, self.slot.width).float()
        return normal(keys, self.slot.width)

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) mean squared error of the velocity, over ``copies`` times each."""
        n, m = len(target_NW), self.copies
        with torch.autocast(condition_NC.device.type, enabled=False):
            keys = derive(keys_N[:, None], torch.arange(m, device=keys_N.device)).flatten()
            start = self._base(keys).view(n, m, self.slot.width)
            tick = (uniform(derive(keys, 1), 1) * TIMES).long().view(n, m)
            grid = self.net.grid(keys_N.device)
            path = target_NW.float()[:, None] - start
            path = wrap(path) if self.torus else path
            x = start + grid[tick][..., None] * path
            projected = self.net.project(condition_NC.float())
            velocity = self.net(self._features(x), projected, self.net.clock(grid), tick)
            return (velocity - path).square().mean((1, 2))

    @torch.no_grad()
    def sample(
        self,
        condition_NC: Tensor,
        keys_N: Tensor,
        settings: SamplerSettings | None = None,
        guide: Guide | None = None,
    ) -> Tensor:
        """(N, W) end points of the ODE.

        ``steps`` counts function evaluations; ``method`` is ``midpoint`` (default) or ``euler``.
        ``temperature`` scales the base noise (Euclidean slots). A ``guide`` mixes velocities, and
        so doubles the evaluations.

        Raises:
            UsageError: unknown method.
        """
        settings = settings or SamplerSettings()
        method, evaluations = settings.method or "midpoint", settings.steps or self.steps
        if method not in ("midpoint", "euler"):
            raise UsageError(f"flow sampler {method!r} is neither 'midpoint' nor 'euler'")
        with torch.autocast(condition_NC.device.type, enabled=False):
            x = self._base(keys_N)
            if not self.torus:
                x = x * settings.temperature
            field = self._field(condition_NC, guide)
            steps = max(1, evaluations // 2 if method == "midpoint" else evaluations)
            grid = self._grid(steps, condition_NC.device)
            spans = list(zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True))
            begins = self._clocks([now for now, _ in spans], x)
            middles = self._clocks([0.5 * (now + later) for now, later in spans], x)
            for (now, later), begin, middle in zip(spans, begins, middles, strict=True):
                dt = later - now
                # A stronger velocity must not carry a point beyond the end of its path.
                strength = min(1.0 + settings.anneal * now, max(1.0, (1.0 - now) / dt))
                v = strength * field(x, begin)
                if method == "midpoint":
                    v = strength * field(x + 0.5 * dt * v, middle)
                x = x + dt * v
        return x % 1.0 if self.torus else x

    def _clocks(self, times: list[float], like: Tensor) -> Tensor:
        """(K, M) modulations of all times of a path at once."""
        return self.net.clock(like.new_tensor(times))

    def _field(self, condition: Tensor, guide: Guide | None) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity as a function of the place and of the modulation by time."""
        projected = self.net.project(condition.float())
        if guide is None:
            return lambda x, clock: self._velocity(x, projected + clock)
        without = self.net.project(guide.without.float())
        return lambda x, clock: guide.mix(
            self._velocity(x, projected + clock), self._velocity(x, without + clock)
        )

    def _velocity(self, x: Tensor, modulation: Tensor) -> Tensor:
        return self.net.at(self._features(x), modulation)

    @staticmethod
    def _grid(steps: int, device: torch.device) -> Tensor:
        """Times from 0 to 1, denser at the end: the modes have parted, detail is decided."""
        u = torch.linspace(0, 1, steps + 1, device=device)
        return 0.5 * u + 0.5 * torch.sin(0.5 * math.pi * u)

    @torch.no_grad()
    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        """(N,) log-density by the reverse ODE, with the exact divergence (W Jacobian columns)."""
        steps = max(1, (steps or self.steps) // 2)
        x = target_NW.float()
        change = x.new_zeros(len(x))
        grid = self._grid(steps, x.device).flip(0)
        basis = torch.eye(self.slot.width, device=x.device)
        with torch.autocast(condition_NC.device.type, enabled=False):
            projected = self.net.project(condition_NC.float())
            spans = list(zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True))
            begins = self._clocks([now for now, _ in spans], x)
            middles = self._clocks([0.5 * (now + later) for now, later in spans], x)
            for (now, later), begin, middle in zip(spans, begins, middles, strict=True):
                dt = later - now
                half = x + 0.5 * dt * self._velocity(x, projected + begin)

                def field(y: Tensor, modulation: Tensor = projected + middle) -> Tensor:
                    return self._velocity(y, modulation)

                divergence = torch.zeros_like(change)
                for i, direction in enumerate(basis):
                    pushed = torch.func.jvp(field, (half,), (direction.expand_as(half).clone(),))
                    v, divergence = pushed[0], divergence + pushed[1][:, i]
                x = x + dt * v
                change = change + dt * divergence
        if self.torus:
            return change
        base = -0.5 * x.square().sum(-1) - 0.5 * self.slot.width * math.log(2 * math.pi)
        return base + change
