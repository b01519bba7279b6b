"""Diffusion head of masked autoregressive models: the reproduction baseline.

Network and process as in "Autoregressive image generation without vector quantization" (Li et al.,
arXiv:2406.11838), used by UniGenX (spec 2.3); improved DDPM losses of Nichol and Dhariwal
(arXiv:2102.09672); DPM-Solver++(2M) of Lu et al. (arXiv:2211.01095).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.heads.base import Guide, GuidedHead, SamplerSettings
from sciar.heads.dpm_respaced import plan, solve
from sciar.heads.mlp import sinusoid
from sciar.nn.streams import derive, normal, uniform
from sciar.tokenization.vocabulary import SlotKind

_Field = Callable[[Tensor, Tensor], Tensor]

STEPS = 1000
SAMPLERS = ("ddpm", "dpm", "dpm-respaced")
FAINTEST = -5.1
"""Log of signal over noise at which the samplers begin, as UniGenX clips it for its DPM-Solver."""


@cache
def cosine_alpha_bar() -> np.ndarray:
    """(1000,) cumulative signal levels of the cosine schedule, betas clipped at 0.999."""

    def level(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - level((i + 1) / STEPS) / level(i / STEPS), 0.999) for i in range(STEPS)]
    return np.cumprod(1.0 - np.array(betas))


class MARNet(nn.Module):
    """Residual MLP whose time and condition embeddings are added before the modulation."""

    def __init__(self, width: int, condition: int, hidden: int, depth: int, out: int) -> None:
        super().__init__()
        first, second = nn.Linear(256, hidden), nn.Linear(hidden, hidden)
        self.time = nn.Sequential(first, nn.SiLU(), second)
        self.condition = nn.Linear(condition, hidden)
        self.enter = nn.Linear(width, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, eps=1e-6) for _ in range(depth))
        self.modulations = nn.ModuleList(nn.Linear(hidden, 3 * hidden) for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            for _ in range(depth)
        )
        self.final = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, out)
        self._initialise((first, second))

    def _initialise(self, of_time: Sequence[nn.Linear]) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in of_time:
            nn.init.normal_(layer.weight, std=0.02)
        for module in (*self.modulations, self.final, self.out):
            assert isinstance(module, nn.Linear)
            nn.init.zeros_(module.weight)

    def forward(self, x: Tensor, time: Tensor, projected: Tensor) -> Tensor:
        y = F.silu(self.time(sinusoid(time, 256)) + projected)
        u = self.enter(x)
        for norm, modulation, block in zip(self.norms, self.modulations, self.blocks, strict=True):
            shift, scale, gate = modulation(y).chunk(3, dim=-1)
            u = u + gate * block(norm(u) * (1 + scale) + shift)
        shift, scale = self.final(y).chunk(2, dim=-1)
        return self.out(F.layer_norm(u, u.shape[-1:], eps=1e-6) * (1 + scale) + shift)


class DiffusionHead(GuidedHead):
    """Epsilon-prediction diffusion of a payload.

    Args:
        slot: slot kind; torus slots are treated as plain numbers, as in the original.
        condition: width of the condition.
        hidden: width of the MLP (the released checkpoints use 1024).
        depth: residual blocks (3 or 12 in the released checkpoints).
        copies: independent times per slot in training.
        learned_variance: predict an interpolation of the log-variance too.
        steps: default number of sampling steps.
        sampler: default sampler, ``ddpm``, ``dpm`` or ``dpm-respaced``.
        whole_schedule: DDPM begins at the last of the 1000 steps, as in the original, where the
            signal is so faint (5e-5) that a small error of the predicted noise is a huge one of the
            start. By default it begins at the log-SNR where DPM-Solver++ does.
    """

    alpha_bar: Tensor

    def __init__(
        self,
        slot: SlotKind,
        condition: int,
        hidden: int = 256,
        depth: int = 3,
        copies: int = 4,
        learned_variance: bool = True,
        steps: int = 200,
        whole_schedule: bool = False,
        sampler: str = "ddpm",
    ) -> None:
        super().__init__(slot, condition)
        if sampler not in SAMPLERS:
            raise UsageError(f"diffusion sampler {sampler!r} is none of {SAMPLERS}")
        self.sampler = sampler
        self.copies, self.steps, self.learned_variance = copies, steps, learned_variance
        self.whole_schedule = whole_schedule
        outputs = slot.width * (2 if learned_variance else 1)
        self.net = MARNet(slot.width, condition, hidden, depth, outputs)
        self.register_buffer("alpha_bar", torch.tensor(cosine_alpha_bar()), persistent=False)

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) squared error of the noise plus, with learned variance, the KL term in bits."""
        n, m = len(target_NW), self.copies
        with torch.autocast(condition_NC.device.type, enabled=False):
            keys = derive(keys_N[:, None], torch.arange(m, device=keys_N.device)).flatten()
            noise = normal(keys, self.slot.width)
            t = (uniform(derive(keys, 1), 1)[:, 0] * STEPS).long()
            start = target_NW.float().repeat_interleave(m, 0)
            level = self.alpha_bar[t].float()[:, None]
            x = level.sqrt() * start + (1 - level).sqrt() * noise
            projected = self.net.condition(condition_NC.float()).repeat_interleave(m, 0)
            out = self.net(x, t.float(), projected)
            epsilon = out[:, : self.slot.width]
            loss = (epsilon - noise).square().mean(-1)
            if self.learned_variance:
                loss = loss + self._variance_term(out, x, start, t)
            return loss.view(n, m).mean(1)

    def _variance_term(self, out: Tensor, x: Tensor, start: Tensor, t: Tensor) -> Tensor:
        """KL between the true and the predicted posterior, in bits; mean detached."""
        tables = _Posterior(self.alpha_bar)
        epsilon, fraction = out.detach()[:, : self.slot.width], out[:, self.slot.width :]
        log_variance = tables.log_variance(fraction, t)
        predicted = tables.mean(tables.start(x, epsilon, t), x, t)
        true_log_variance = tables.posterior_log_variance[t].float()[:, None].expand_as(x)
        kl = 0.5 * (
            log_variance
            - true_log_variance
            - 1
            + (true_log_variance - log_variance).exp()
            + (tables.mean(start, x, t) - predicted).square() * (-log_variance).exp()
        )
        likelihood = 0.5 * (
            math.log(2 * math.pi)
            + log_variance
            + (start - predicted).square() * (-log_variance).exp()
        )
        return torch.where(t[:, None] == 0, likelihood, kl).mean(-1) / math.log(2)

    @torch.no_grad()
    def sample(
        self,
        condition_NC: Tensor,
        keys_N: Tensor,
        settings: SamplerSettings | None = None,
        guide: Guide | None = None,
    ) -> Tensor:
        """(N, W) samples.

        ``method`` is ``ddpm`` (ancestral, respaced), ``dpm`` (DPM-Solver++ 2M) or ``dpm-respaced``
        (the same on a coarse table, see :mod:`~sciar.heads.dpm_respaced`). A ``guide`` mixes
        the predicted noises; the variance is that of the conditions.

        Raises:
            UsageError: unknown method.
        """
        settings = settings or SamplerSettings()
        method = settings.method or self.sampler
        if method not in SAMPLERS:
            raise UsageError(f"diffusion sampler {method!r} is none of {SAMPLERS}")
        with torch.autocast(condition_NC.device.type, enabled=False):
            draw = {"dpm": self._dpm, "dpm-respaced": self._respaced}.get(method, self._ddpm)
            return draw(self._field(condition_NC, guide), keys_N, settings)

    def _field(self, condition: Tensor, guide: Guide | None) -> _Field:
        """What the network says of noisy numbers at a time: the noise, then the variances."""
        projected = self.net.condition(condition.float())
        if guide is None:
            return lambda x, time: self.net(x, time, projected)
        without, width = self.net.condition(guide.without.float()), self.slot.width

        def mixed(x: Tensor, time: Tensor) -> Tensor:
            told, untold = self.net(x, time, projected), self.net(x, time, without)
            noise = guide.mix(told[:, :width], untold[:, :width])
            return torch.cat([noise, told[:, width:]], dim=-1)

        return mixed

    def _ddpm(self, field: _Field, keys: Tensor, settings: SamplerSettings) -> Tensor:
        lambdas = 0.5 * torch.log(self.alpha_bar / (1 - self.alpha_bar))
        last = STEPS - 1 if self.whole_schedule else int((lambdas >= FAINTEST).sum()) - 1
        steps = min(settings.steps or self.steps, last + 1)
        index = torch.linspace(0, last, steps).round().long().to(keys.device)
        tables = _Posterior(self.alpha_bar[index])
        x = normal(keys, self.slot.width)
        for i in range(steps - 1, -1, -1):
            out = field(x, index[i].float().expand(len(x)))
            t = torch.full((len(x),), i, device=x.device)
            mean = tables.mean(tables.start(x, out[:, : self.slot.width], t), x, t)
            if i == 0:
                return mean
            log_variance = (
                tables.log_variance(out[:, self.slot.width :], t)
                if self.learned_variance
                else tables.log_beta[t].float()[:, None]
            )
            noise = normal(derive(keys, i), self.slot.width)
            x = mean + settings.temperature * (0.5 * log_variance).exp() * noise
        return x

    def _dpm(self, field: _Field, keys: Tensor, settings: SamplerSettings) -> Tensor:
        """Second-order multistep solver on the full 1000-step table, with a final denoise."""
        steps = min(settings.steps or self._few(), STEPS - 1)
        signal = self.alpha_bar.sqrt()
        noise = (1 - self.alpha_bar).sqrt()
        lam = torch.log(signal / noise)
        index = _levels(lam, steps).to(keys.device)
        x = settings.temperature * normal(keys, self.slot.width)
        previous: tuple[Tensor, Tensor] | None = None
        for now, later in itertools.pairwise(index):
            denoised = self._denoise(x, now, field)
            step = lam[later] - lam[now]
            estimate = denoised
            if previous is not None:
                ratio = (previous[1] / step).float()
                estimate = (1 + 0.5 / ratio) * denoised - 0.5 / ratio * previous[0]
            decay = (noise[later] / noise[now]).float()
            x = decay * x - (signal[later] * torch.expm1(-step)).float() * estimate
            previous = (denoised, step)
        return self._denoise(x, index[-1], field)

    def _respaced(self, field: _Field, keys: Tensor, settings: SamplerSettings) -> Tensor:
        """As UniGenX does it; ``steps`` of the head are the levels of the table."""
        table = self.alpha_bar.double().cpu().numpy()
        steps = plan(table, self.steps, settings.steps or 20, FAINTEST)
        return solve(field, normal(keys, self.slot.width), steps, settings.temperature)

    def _few(self) -> int:
        """Steps of the solver: as configured for it, else 20."""
        return self.steps if self.sampler == "dpm" else 20

    @torch.no_grad()
    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        """(N,) log-density by the probability-flow ODE, with the exact divergence.

        With y = x / alpha and s = sigma / alpha the ODE is dy/ds = noise(x, s) (Song et al.,
        arXiv:2011.13456; Karras et al., arXiv:2206.00364); it is followed by Heun's method from the
        cleanest level of the schedule (s = 0.006: the density is that of data with so much noise)
        to the faintest. ``steps`` is the number of levels, 100 by default.
        """
        width = self.slot.width
        y = target_NW.float()
        basis = torch.eye(width, device=y.device)
        with torch.autocast(condition_NC.device.type, enabled=False):
            projected = self.net.condition(condition_NC.float())
            ratio = torch.sqrt((1 - self.alpha_bar) / self.alpha_bar)
            index = _levels(-ratio.log(), min(steps or 100, STEPS - 1)).flip(0).to(y.device)
            s, alpha = ratio[index].tolist(), self.alpha_bar[index].sqrt().tolist()

            def noise(y: Tensor, k: int) -> Tensor:
                time = index[k].float().expand(len(y))
                return self.net(alpha[k] * y, time, projected)[:, :width]

            change = y.new_zeros(len(y))
            slope, spread = noise(y, 0), change
            for k, step in enumerate([0.0, *(b - a for a, b in itertools.pairwise(s))]):
                # Heun: go on with the slope at the start, then mend with the one found there.
                ahead = y + step * slope
                y = y + 0.5 * step * (slope + noise(ahead, k))
                before, spread = spread, torch.zeros_like(spread)
                for i, direction in enumerate(basis):
                    tangent = direction.expand_as(y).clone()
                    pushed = torch.func.jvp(partial(noise, k=k), (y,), (tangent,))
                    slope, spread = pushed[0], spread + pushed[1][:, i]
                # Where noise is large the divergence falls as 1 / s: even in the logarithm of s.
                spread = s[k] * spread
                change = change + 0.5 * math.log(s[k] / s[max(k - 1, 0)]) * (before + spread)
            x = alpha[-1] * y
        base = -0.5 * x.square().sum(-1) - 0.5 * width * math.log(2 * math.pi)
        return base + width * math.log(alpha[-1]) + change

    def _denoise(self, x: Tensor, t: Tensor, field: _Field) -> Tensor:
        epsilon = field(x, t.float().expand(len(x)))[:, : self.slot.width]
        level = self.alpha_bar[t]
        return ((x - (1 - level).sqrt() * epsilon) / level.sqrt()).float()


def _levels(log_snr: Tensor, steps: int) -> Tensor:
    """Places in the table of ``steps + 1`` levels, from faint to clean, even in the log-SNR.

    The table is coarse where there is little noise: no level comes twice, so there may be fewer.
    """
    table = log_snr.cpu()
    targets = torch.linspace(float(table[-1].clamp_min(FAINTEST)), float(table[0]), steps + 1)
    return torch.stack([(table - v).abs().argmin() for v in targets]).unique_consecutive()


class _Posterior:
    """Tables of q(x_{t-1} | x_t, x_0) for a (possibly respaced) schedule."""

    def __init__(self, alpha_bar: Tensor) -> None:
        before = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
        beta = 1 - alpha_bar / before
        variance = beta * (1 - before) / (1 - alpha_bar)
        self.alpha_bar = alpha_bar
        floor = variance[1] if len(variance) > 1 else beta[0]
        self.posterior_log_variance = torch.cat([floor[None], variance[1:]]).log()
        self.log_beta = beta.log()
        self.to_start = beta * before.sqrt() / (1 - alpha_bar)
        self.to_x = (1 - before) * (1 - beta).sqrt() / (1 - alpha_bar)

    def start(self, x: Tensor, epsilon: Tensor, t: Tensor) -> Tensor:
        level = self.alpha_bar[t].float()[:, None]
        return (x - (1 - level).sqrt() * epsilon) / level.sqrt()

    def mean(self, start: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return self.to_start[t].float()[:, None] * start + self.to_x[t].float()[:, None] * x

    def log_variance(self, fraction: Tensor, t: Tensor) -> Tensor:
        low = self.posterior_log_variance[t].float()[:, None]
        high = self.log_beta[t].float()[:, None]
        share = (fraction + 1) / 2
        return share * high + (1 - share) * low
