"""Numeric head: likelihood and calibration."""

from __future__ import annotations

import pytest
import torch

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.numeric import NumericHead
from sciar.nn.streams import sample_keys
from sciar.tokenization.vocabulary import SlotKind


def fitted() -> NumericHead:
    """y = 0.8 c + noise whose deviation is 0.2 for c < 0 and 0.6 for c > 0."""
    torch.manual_seed(0)
    head = NumericHead(SlotKind("<number>", 1), 1, hidden=32)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(400):
        c = torch.rand(256, 1) * 2 - 1
        y = 0.8 * c + torch.where(c > 0, 0.6, 0.2) * torch.randn(256, 1)
        optimiser.zero_grad()
        head.loss(c, y, torch.zeros(256).long()).mean().backward()
        optimiser.step()
    return head


def test_starts_as_a_standard_normal() -> None:
    head = NumericHead(SlotKind("<number>", 1), 8, min_std=0.0)
    x = torch.linspace(-3, 3, 7)[:, None]
    expected = torch.distributions.Normal(0, 1).log_prob(x)[:, 0]
    torch.testing.assert_close(head.log_prob(torch.randn(7, 8), x), expected)
    torch.testing.assert_close(head.loss(torch.randn(7, 8), x, torch.zeros(7).long()), -expected)


def test_uncertainty_is_calibrated() -> None:
    head = fitted()
    for value, deviation in ((-0.6, 0.2), (0.6, 0.6)):
        mean, std = head(torch.tensor([[value]]))
        assert float(mean.detach()) == pytest.approx(0.8 * value, abs=0.08)
        assert float(std.detach()) == pytest.approx(deviation, rel=0.25)


def test_samples_follow_the_prediction() -> None:
    head = fitted()
    condition = torch.full((4000, 1), 0.6)
    mean, std = head(condition)
    keys = sample_keys(0, torch.arange(4000))
    x = head.sample(condition, keys)
    assert float(x.mean()) == pytest.approx(float(mean[0].detach()), abs=0.05)
    assert float(x.std()) == pytest.approx(float(std[0].detach()), rel=0.05)
    cold = head.sample(condition, keys, SamplerSettings(temperature=0.0))
    torch.testing.assert_close(cold, mean)


def test_density_integrates_to_one() -> None:
    grid = torch.linspace(-8, 8, 4001)[:, None]
    density = fitted().log_prob(torch.full((4001, 1), 0.3), grid).exp()
    assert float(torch.trapezoid(density.detach(), grid[:, 0])) == pytest.approx(1.0, abs=1e-3)


def test_only_scalars() -> None:
    with pytest.raises(UsageError, match="width 3"):
        NumericHead(SlotKind("<x>", 3), 4)
