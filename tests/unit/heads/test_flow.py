"""Flow head: its loss, its sampler and its density against known distributions."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.flow import FlowHead
from sciar.nn.geometry import wrap
from sciar.nn.streams import sample_keys
from sciar.tokenization.vocabulary import SlotKind

MODES = torch.tensor([0.15, 0.65])
SPREAD = 0.04
MEAN, STD = torch.tensor([0.6, -0.4]), torch.tensor([0.5, 1.2])


def fit(head: FlowHead, draw, steps: int = 300, batch: int = 256) -> FlowHead:
    """Train a head without a condition on samples of a distribution."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    empty = torch.zeros(batch, head.condition)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps) + 1e-5
        target = draw(batch, generator)
        optimiser.zero_grad()
        head.loss(empty, target, sample_keys(step, torch.arange(batch))).mean().backward()
        optimiser.step()
    return head.eval()


def two_modes(n: int, generator: torch.Generator) -> Tensor:
    which = (torch.rand(n, 1, generator=generator) < 0.3).long()
    return (MODES[1 - which] + SPREAD * torch.randn(n, 1, generator=generator)) % 1.0


def gaussian(n: int, generator: torch.Generator) -> Tensor:
    return MEAN + STD * torch.randn(n, 2, generator=generator)


@cache
def torus_head() -> FlowHead:
    torch.manual_seed(0)
    return fit(FlowHead(SlotKind("<x>", 1, "torus"), 4, hidden=48, depth=2), two_modes, 500)


@cache
def gaussian_head() -> FlowHead:
    torch.manual_seed(0)
    return fit(FlowHead(SlotKind("<x>", 2), 4, hidden=48, depth=2), gaussian, 500)


@pytest.mark.parametrize("geometry", ["euclidean", "torus"])
def test_outputs_start_at_zero(geometry: str) -> None:
    """A fresh head moves nothing: samples are the base, and the loss is that of velocity zero."""
    torch.manual_seed(0)
    head = FlowHead(SlotKind("<x>", 3, geometry), 8, hidden=16, depth=2, copies=64)
    condition, keys = torch.randn(2000, 8), sample_keys(0, torch.arange(2000))
    torch.testing.assert_close(head.sample(condition, keys), head._base(keys))
    target = torch.full((2000, 3), 0.7)
    loss = float(head.loss(condition, target, keys).detach().mean())
    # E|x1 - x0|^2: 1 + x1^2 for a normal base; a uniform offset on the torus has variance 1/12
    expected = 1.0 / 12 if geometry == "torus" else 1 + 0.7**2
    assert loss == pytest.approx(expected, rel=0.02)


def test_two_modes_on_the_torus() -> None:
    x = torus_head().sample(torch.zeros(4000, 4), sample_keys(9, torch.arange(4000)))[:, 0]
    offset = wrap(x[:, None] - MODES)
    nearest = offset.abs().argmin(1)
    assert (nearest == 1).double().mean() == pytest.approx(0.7, abs=0.04)
    inside = offset.gather(1, nearest[:, None])[:, 0]
    for mode in (0, 1):
        assert inside[nearest == mode].mean().abs() < 0.01
        assert float(inside[nearest == mode].std()) == pytest.approx(SPREAD, rel=0.35)


def test_a_gaussian() -> None:
    x = gaussian_head().sample(torch.zeros(4000, 4), sample_keys(9, torch.arange(4000)))
    torch.testing.assert_close(x.mean(0), MEAN, atol=0.08, rtol=0)
    torch.testing.assert_close(x.std(0), STD, atol=0.06, rtol=0.08)


def test_density_on_the_torus_integrates_to_one() -> None:
    grid = (torch.arange(400)[:, None] + 0.5) / 400
    log_p = torus_head().log_prob(torch.zeros(400, 4), grid, steps=200)
    assert float(log_p.exp().mean()) == pytest.approx(1.0, abs=0.01)
    peak = grid[log_p.argmax(), 0]
    assert wrap(peak - MODES[1]).abs() < 0.02


def test_density_of_two_torus_coordinates_integrates_to_one() -> None:
    torch.manual_seed(0)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return (0.4 + 0.1 * torch.randn(n, 2, generator=generator)) % 1.0

    head = fit(FlowHead(SlotKind("<x>", 2, "torus"), 4, hidden=32, depth=2), draw, 150)
    line = (torch.arange(50) + 0.5) / 50
    grid = torch.cartesian_prod(line, line)
    log_p = head.log_prob(torch.zeros(len(grid), 4), grid, steps=60)
    assert float(log_p.exp().mean()) == pytest.approx(1.0, abs=0.02)


def test_density_of_a_gaussian() -> None:
    x = MEAN + STD * torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    log_p = gaussian_head().log_prob(torch.zeros(500, 4), x, steps=100)
    exact = (-0.5 * ((x - MEAN) / STD).square() - STD.log() - 0.5 * math.log(2 * math.pi)).sum(1)
    assert (log_p - exact).abs().mean() < 0.15
    assert float((log_p - exact).mean()) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("geometry", ["euclidean", "torus"])
def test_any_density_integrates_to_one(geometry: str) -> None:
    """A field that nobody trained, in one dimension, by the trapezoidal rule."""
    torch.manual_seed(1)
    head = FlowHead(SlotKind("<x>", 1, geometry), 4, hidden=16, depth=1)
    torch.nn.init.normal_(head.net.out.weight, std=0.02 if geometry == "torus" else 0.1)
    torus = geometry == "torus"
    grid = torch.linspace(0, 1, 801)[:, None] if torus else torch.linspace(-8, 8, 1601)[:, None]
    log_p = head.log_prob(torch.zeros(len(grid), 4), grid, steps=100)
    density, base = log_p.exp(), torch.distributions.Normal(0, 1).log_prob(grid[:, 0]).exp()
    assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1.0, abs=0.01)
    assert (density - (1.0 if torus else base)).abs().max() > 0.02  # it is not just the base


def test_density_before_training_is_that_of_the_base() -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    plain = FlowHead(SlotKind("<x>", 3), 4, hidden=8, depth=1)
    expected = torch.distributions.Normal(0, 1).log_prob(x).sum(1)
    torch.testing.assert_close(plain.log_prob(torch.zeros(20, 4), x), expected)
    torus = FlowHead(SlotKind("<x>", 3, "torus"), 4, hidden=8, depth=1)
    torch.testing.assert_close(torus.log_prob(torch.zeros(20, 4), x % 1.0), torch.zeros(20))


def test_density_follows_the_sampler() -> None:
    """Change of variables: log p(x1) = log p(x0) - log |det dx1/dx0|, by finite differences."""
    head = gaussian_head()
    keys = sample_keys(2, torch.arange(3))
    base, condition = head._base(keys).double(), torch.zeros(3, 4)
    settings = SamplerSettings(steps=400)
    double = FlowHead(head.slot, 4, hidden=48, depth=2)
    double.load_state_dict(head.state_dict())

    def flow(x0: Tensor) -> Tensor:
        double._base = lambda _: x0.float()  # type: ignore[method-assign]
        return double.sample(condition, keys, settings).double()

    h = 1e-2
    columns = [(flow(base + h * e) - flow(base - h * e)) / (2 * h) for e in torch.eye(2).double()]
    determinant = torch.linalg.det(torch.stack(columns, 2)).abs()
    start = torch.distributions.Normal(0, 1).log_prob(base).sum(1)
    expected = start - determinant.log()
    actual = head.log_prob(condition, flow(base).float(), steps=400).double()
    torch.testing.assert_close(actual, expected, atol=0.01, rtol=0.01)


def test_midpoint_converges_faster_than_euler() -> None:
    head, keys = gaussian_head(), sample_keys(4, torch.arange(200))
    empty = torch.zeros(200, 4)
    exact = head.sample(empty, keys, SamplerSettings(steps=600))
    errors = {
        method: (head.sample(empty, keys, SamplerSettings(16, method)) - exact).abs().mean()
        for method in ("midpoint", "euler")
    }
    assert errors["midpoint"] < 0.5 * errors["euler"] < 0.1


def test_temperature_scales_the_base_noise() -> None:
    keys, empty = sample_keys(4, torch.arange(1000)), torch.zeros(1000, 4)
    cold = gaussian_head().sample(empty, keys, SamplerSettings(temperature=0.0))
    assert cold.std(0).max() < 1e-5
    warm = gaussian_head().sample(empty, keys, SamplerSettings(temperature=0.5))
    torch.testing.assert_close(warm.std(0), 0.5 * STD, atol=0.1, rtol=0.2)


def test_unknown_solver_is_refused() -> None:
    with pytest.raises(UsageError, match="midpoint"):
        torus_head().sample(torch.zeros(1, 4), torch.zeros(1).long(), SamplerSettings(method="x"))
