"""Diffusion head: schedule tables by brute force, samplers on a score that is known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.diffusion import STEPS, DiffusionHead, MARNet, _Posterior, cosine_alpha_bar
from sciar.nn.streams import sample_keys
from sciar.tokenization.vocabulary import SlotKind

MEAN, STD = 0.7, 0.35


def small_head(learned_variance: bool = False) -> DiffusionHead:
    torch.manual_seed(0)
    return DiffusionHead(
        SlotKind("<x>", 2), 4, hidden=16, depth=2, learned_variance=learned_variance
    )


class ExactNoise(MARNet):
    """The noise of the posterior mean when data are normal: no network could do better."""

    def forward(self, x: Tensor, time: Tensor, projected: Tensor) -> Tensor:
        level = torch.tensor(cosine_alpha_bar())[time.long()][:, None]
        total = level * STD**2 + 1 - level
        noise = (1 - level).sqrt() * (x.double() - level.sqrt() * MEAN) / total
        fraction = torch.full_like(noise, 1.0)  # the upper variance, beta
        return torch.cat([noise, fraction], 1).float()


def exact_head(learned_variance: bool = True) -> DiffusionHead:
    head = small_head(learned_variance)
    head.net.__class__ = ExactNoise
    return head


def moments(method: str, steps: int, learned_variance: bool = True) -> tuple[float, float]:
    x = exact_head(learned_variance).sample(
        torch.zeros(4000, 4), sample_keys(1, torch.arange(4000)), SamplerSettings(steps, method)
    )
    assert x.isfinite().all()
    return float(x.mean()), float(x.std())


def test_the_schedule_is_the_cosine() -> None:
    level = cosine_alpha_bar()
    assert level.shape == (STEPS,)
    assert (np.diff(level) < 0).all() and level[-1] > 0
    t = np.arange(1, STEPS) / STEPS
    cosine = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(level[: STEPS - 1], cosine, rtol=1e-9)
    beta = 1 - level[1:] / level[:-1]
    assert beta.max() == pytest.approx(0.999)


@pytest.mark.parametrize("steps", [1000, 200, 20])
def test_posterior_tables(steps: int) -> None:
    """q(x_{t-1} | x_t, x_0) as the product of two normal densities, entry by entry."""
    index = np.round(np.linspace(0, STEPS - 1, steps)).astype(int)
    level = cosine_alpha_bar()[index]
    tables = _Posterior(torch.tensor(level))
    for i in {1, 2, steps // 2, steps - 1}:
        before, now = level[i - 1], level[i]
        alpha = now / before
        beta = 1 - alpha
        # x_{t-1} has the prior N(sqrt(before) x0, 1 - before); x_t | x_{t-1} adds beta
        precision = 1 / (1 - before) + alpha / beta
        x0, xt = 0.3, -1.1
        mean = (math.sqrt(before) * x0 / (1 - before) + math.sqrt(alpha) * xt / beta) / precision
        t = torch.tensor([i])
        found = tables.mean(torch.tensor([[x0]]), torch.tensor([[xt]]), t)
        assert float(found) == pytest.approx(mean, rel=1e-4, abs=1e-6)
        assert float(tables.posterior_log_variance[i]) == pytest.approx(-math.log(precision))
        assert float(tables.log_beta[i]) == pytest.approx(math.log(beta))
        low, high = (float(tables.log_variance(torch.tensor([[f]]), t)) for f in (-1.0, 1.0))
        assert (low, high) == pytest.approx((-math.log(precision), math.log(beta)), rel=1e-5)


def test_start_inverts_the_forward_process() -> None:
    tables = _Posterior(torch.tensor(cosine_alpha_bar()))
    start, noise, t = torch.randn(5, 2), torch.randn(5, 2), torch.tensor([0, 10, 300, 600, 900])
    level = tables.alpha_bar[t].float()[:, None]
    x = level.sqrt() * start + (1 - level).sqrt() * noise
    torch.testing.assert_close(tables.start(x, noise, t), start, atol=1e-4, rtol=1e-4)


def test_outputs_start_at_zero() -> None:
    """A fresh network predicts no noise: the loss is E|eps|^2 = 1 plus, if learned, the KL."""
    plain = small_head()
    condition, keys = torch.randn(500, 4), sample_keys(0, torch.arange(500))
    target = torch.randn(500, 2)
    assert float(plain.loss(condition, target, keys).detach().mean()) == pytest.approx(1.0, abs=0.1)
    out = plain.net(torch.randn(3, 2), torch.arange(3.0), plain.net.condition(torch.randn(3, 4)))
    assert not out.any()


def test_variance_term_vanishes_for_the_true_posterior() -> None:
    """With exact noise of each x and the lower variance, the KL is zero for t > 0."""
    head = small_head(learned_variance=True)
    t = torch.tensor([1, 5, 100, 500, 900])
    start, noise = torch.randn(5, 2), torch.randn(5, 2)
    level = head.alpha_bar[t].float()[:, None]
    x = level.sqrt() * start + (1 - level).sqrt() * noise
    out = torch.cat([noise, torch.full_like(noise, -1.0)], 1)
    kl = head._variance_term(out, x, start, t)
    torch.testing.assert_close(kl, torch.zeros(5), atol=1e-3, rtol=0)
    wrong = head._variance_term(out + 0.5, x, start, t)
    assert (wrong > kl + 1e-3).all()


def test_variance_term_does_not_train_the_mean() -> None:
    head = small_head(learned_variance=True)
    out = torch.randn(4, 4, requires_grad=True)
    x, start = torch.randn(4, 2), torch.randn(4, 2)
    head._variance_term(out, x, start, torch.tensor([0, 3, 500, 999])).sum().backward()
    assert out.grad is not None
    assert not out.grad[:, :2].any() and out.grad[:, 2:].all()


def test_a_thousand_steps_reproduce_the_data() -> None:
    assert moments("ddpm", 1000) == pytest.approx((MEAN, STD), abs=0.02)


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_dpm_solver_agrees_with_a_thousand_steps(steps: int) -> None:
    assert moments("dpm", steps) == pytest.approx((MEAN, STD), abs=0.03)


@pytest.mark.parametrize("steps", [100, 250, 999])
def test_dpm_solver_visits_no_level_twice(steps: int) -> None:
    """More steps than the coarse end of the table has levels: no division by zero."""
    assert moments("dpm", steps) == pytest.approx((MEAN, STD), abs=0.03)


@pytest.mark.parametrize("learned_variance", [True, False])
def test_few_ancestral_steps_stay_in_range(learned_variance: bool) -> None:
    """Exact noise at 20 steps: the mean is right, the spread of the right order.

    (With an untrained network 20 steps reach 1e4: at the last step the signal level is 5e-5, and
    the original process, kept here, does not clip its estimate of the data.)
    """
    mean, std = moments("ddpm", 20, learned_variance)
    assert mean == pytest.approx(MEAN, abs=0.05)
    assert 0.5 * STD < std < 1.5 * STD


def test_a_trained_head_finds_the_data() -> None:
    """Median and quartiles: a briefly trained network still has outliers, as it must unclipped."""
    torch.manual_seed(0)
    head = DiffusionHead(SlotKind("<x>", 2), 4, hidden=32, depth=2)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(head.parameters(), lr=5e-3)
    empty = torch.zeros(128, 4)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * (1 - step / 300) + 1e-5
        target = MEAN + STD * torch.randn(128, 2, generator=generator)
        optimiser.zero_grad()
        head.loss(empty, target, sample_keys(step, torch.arange(128))).mean().backward()
        optimiser.step()
    keys = sample_keys(99, torch.arange(2000))
    x = head.sample(torch.zeros(2000, 4), keys, SamplerSettings(20, "dpm"))
    low, median, high = x.flatten().quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    assert median == pytest.approx(MEAN, abs=0.1)
    assert (high - low) / 1.349 == pytest.approx(STD, rel=0.3)


def test_unknown_sampler_is_refused() -> None:
    with pytest.raises(UsageError, match="ddpm"):
        small_head().sample(torch.zeros(1, 4), torch.zeros(1).long(), SamplerSettings(method="x"))


class NearlyExactNoise(ExactNoise):
    """Off by a little, and blind outside the range of its training, as every network is."""

    def forward(self, x: Tensor, time: Tensor, projected: Tensor) -> Tensor:
        return super().forward(x.clamp(-4, 4), time, projected) + 0.05


@pytest.mark.parametrize("whole", [False, True])
def test_a_small_error_of_the_noise_is_harmless_unless_the_whole_schedule_is_walked(
    whole: bool,
) -> None:
    head = small_head(learned_variance=False)
    head.whole_schedule = whole
    head.net = NearlyExactNoise(2, 4, 16, 2, 4)
    settings = SamplerSettings(steps=200, method="ddpm")
    found = head.sample(torch.zeros(512, 4), sample_keys(0, torch.arange(512)), settings)
    shift = abs(float(found.mean()) - MEAN)
    assert (shift > 1.0) == whole, shift


def exact_density(x: Tensor) -> Tensor:
    """Of normal data with the noise of the cleanest level of the schedule."""
    level = float(cosine_alpha_bar()[0])
    spread = math.sqrt(STD**2 + (1 - level) / level)
    return torch.distributions.Normal(MEAN, spread).log_prob(x).sum(1)


@pytest.mark.parametrize("learned_variance", [True, False])
def test_density_of_a_gaussian(learned_variance: bool) -> None:
    x = MEAN + STD * torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    head, exact = exact_head(learned_variance), exact_density(x)
    found = head.log_prob(torch.zeros(200, 4), x)
    torch.testing.assert_close(found, exact, atol=0.04, rtol=0)
    fine = head.log_prob(torch.zeros(200, 4), x, steps=300)
    torch.testing.assert_close(fine, exact, atol=0.02, rtol=0)


def test_density_of_an_untrained_head_is_normal_in_the_noisiest_space() -> None:
    """No noise predicted: y stays, and the density is that of the base, scaled back."""
    head, x = small_head(), torch.randn(5, 2)
    alpha = head.alpha_bar[head.alpha_bar / (1 - head.alpha_bar) >= math.exp(2 * -5.1)][-1].sqrt()
    expected = torch.distributions.Normal(0, 1 / float(alpha)).log_prob(x).sum(1)
    found = head.log_prob(torch.zeros(5, 4), x)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.01)


def test_density_of_a_network_integrates_to_one() -> None:
    """Any network has a normalised density; one that bends the numbers, in one dimension."""
    torch.manual_seed(0)
    head = DiffusionHead(SlotKind("<x>", 1), 4, hidden=16, depth=1)
    head.net = BentNoise(1, 4, 16, 1, 2)
    grid = torch.linspace(-6, 8, 1401)[:, None]
    density = head.log_prob(torch.zeros(len(grid), 4), grid, steps=400).exp()
    assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1.0, abs=0.02)
    assert float((density * grid[:, 0]).mean() / density.mean()) == pytest.approx(MEAN, abs=0.3)


class BentNoise(ExactNoise):
    """The exact noise of a Gaussian and a bump, as no closed form has it."""

    def forward(self, x: Tensor, time: Tensor, projected: Tensor) -> Tensor:
        return super().forward(x, time, projected) + 0.1 * torch.sin(3 * x).repeat(1, 2)
