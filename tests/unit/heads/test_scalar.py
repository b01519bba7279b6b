"""Histogram, mixture and point heads: densities and intervals against brute force."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.histogram import HistogramHead
from sciar.heads.mixture import MixtureHead
from sciar.heads.numeric import NumericHead
from sciar.heads.point import PointHead
from sciar.heads.scalar import ScalarHead
from sciar.nn.streams import sample_keys
from sciar.testing.heads import HeadTests
from sciar.tokenization.vocabulary import SlotKind

LINE, CIRCLE = SlotKind("<x>", 1), SlotKind("<t>", 1, geometry="torus")


def shaken(head: ScalarHead | NumericHead) -> ScalarHead | NumericHead:
    """Parameters at random, so that distributions are of some shape and differ between rows."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return head


def make(kind: str) -> ScalarHead:
    if kind.startswith("mixture"):
        return MixtureHead(CIRCLE if "circle" in kind else LINE, 4, components=3, hidden=16)
    slot = CIRCLE if "circle" in kind else LINE
    return HistogramHead(slot, 4, bins=12, span=2.0, hidden=16)


KINDS = ("mixture", "mixture-circle", "histogram", "histogram-circle")


class TestMixture(HeadTests):
    def make_head(self) -> MixtureHead:
        return MixtureHead(LINE, 8, components=3, hidden=16)


class TestMixtureCircle(HeadTests):
    def make_head(self) -> MixtureHead:
        return MixtureHead(CIRCLE, 8, components=3, hidden=16)


class TestHistogram(HeadTests):
    def make_head(self) -> HistogramHead:
        return HistogramHead(LINE, 8, bins=16, hidden=16)


class TestHistogramCircle(HeadTests):
    def make_head(self) -> HistogramHead:
        return HistogramHead(CIRCLE, 8, bins=16, hidden=16)


class TestPoint(HeadTests):
    def make_head(self) -> PointHead:
        return PointHead(SlotKind("<xy>", 2), 8, hidden=16)

    def test_keys_fix_the_samples(self) -> None:
        """It has one answer, whatever the keys."""
        head, _ = self.trained_head(5)
        condition, _, keys = self.questions(head)
        assert torch.equal(head.sample(condition, keys), head.sample(condition, keys + 5000))


class TestPointCircle(TestPoint):
    def make_head(self) -> PointHead:
        return PointHead(SlotKind("<ab>", 2, geometry="torus"), 8, hidden=16)


def density(head: ScalarHead, row: Tensor, grid: Tensor) -> Tensor:
    with torch.no_grad():
        return head.log_prob(row.expand(len(grid), -1), grid[:, None]).double().exp()


@pytest.mark.parametrize("kind", KINDS)
def test_density_quantiles_and_centre_against_a_fine_sum(kind: str) -> None:
    head = shaken(make(kind))
    assert isinstance(head, ScalarHead)
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([[0.05, 0.25, 0.5, 0.9]])
    found = head.quantile(rows, levels)
    centre = head.center(rows).detach()
    for row, quantiles, middle in zip(rows, found, centre, strict=True):
        low, high = (float(middle) - 0.5, float(middle) + 0.5) if head.circular else (-20.0, 20.0)
        n = 200_000
        grid = torch.linspace(low, high, n + 1)[:-1].double() + (high - low) / (2 * n)
        p = density(head, row[None], grid.float()) * (high - low) / n
        assert float(p.sum()) == pytest.approx(1.0, abs=1e-3)
        if head.circular:
            angle = 2 * math.pi * grid
            mean = math.atan2(float((p * angle.sin()).sum()), float((p * angle.cos()).sum()))
            gap = mean / (2 * math.pi) - float(middle)
            # bins are known by their middles: both moments shrink alike, the angle stays
            assert abs(gap - round(gap)) < 1e-3
        else:
            assert float((p * grid).sum()) == pytest.approx(float(middle), abs=2e-3)
        below = p.cumsum(0)
        for level, quantile in zip(levels[0].tolist(), quantiles.tolist(), strict=True):
            at = int(torch.searchsorted(grid, torch.tensor(quantile).double()))
            assert float(below[at]) == pytest.approx(level, abs=2e-3)


def test_the_mixture_is_that_of_torch() -> None:
    head = shaken(make("mixture"))
    row = torch.randn(6, 4)
    weight, mean, std = (part.detach() for part in head(row))
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=weight), torch.distributions.Normal(mean, std)
    )
    x = torch.randn(6, 1) * 2
    torch.testing.assert_close(head.log_prob(row, x).detach(), reference.log_prob(x[:, 0]))
    torch.testing.assert_close(head.center(row)[:, 0].detach(), reference.mean)


@pytest.mark.parametrize("kind", (*KINDS, "numeric"))
def test_intervals_cover_what_they_say(kind: str) -> None:
    head = shaken(NumericHead(LINE, 4, hidden=16) if kind == "numeric" else make(kind))
    n = 3000
    rows = torch.randn(3, 4).repeat(n // 3, 1)
    x = head.sample(rows, sample_keys(0, torch.arange(n)))
    for level in (0.5, 0.9):
        low, high = head.interval(rows, level).detach().chunk(2, dim=-1)
        assert (low < high).all()
        if kind.endswith("circle"):
            covered = (x - low) % 1.0 <= high - low
        else:
            covered = (x >= low) & (x <= high)
        spread = math.sqrt(level * (1 - level) / n)
        assert float(covered.float().mean()) == pytest.approx(level, abs=4 * spread)


def test_smeared_targets() -> None:
    """Probabilities whose mean is the target, and which wrap around the circle."""
    line = HistogramHead(LINE, 2, bins=40, span=4.0, smear=1.5)
    x = torch.tensor([[-3.9], [0.03], [2.0], [9.0]])
    p = line.smeared(x)
    torch.testing.assert_close(p.sum(-1), torch.ones(4))
    middles = line.low + line.width * (torch.arange(40) + 0.5)
    torch.testing.assert_close((p[1:3, :40] * middles).sum(-1), x[1:3, 0], atol=1e-4, rtol=1e-4)
    assert p[3, 41] > 0.999 and p[0, 40] > 0.2
    circle = HistogramHead(CIRCLE, 2, bins=10)
    around = circle.smeared(torch.tensor([[0.0], [1.0], [0.5]]))
    torch.testing.assert_close(around[0], around[1])
    torch.testing.assert_close(around[0].roll(5), around[2])
    torch.testing.assert_close(around[0], around[0].flip(0))
    plain = HistogramHead(LINE, 2, bins=4, span=2.0, smear=0.0).smeared(
        torch.tensor([[-3.0], [-2.0], [0.5], [2.0]])
    )
    assert plain.argmax(-1).tolist() == [4, 0, 2, 5] and plain.sum() == 4


def test_the_loss_without_smearing_is_the_density() -> None:
    head = shaken(HistogramHead(LINE, 4, bins=12, smear=0.0, hidden=16))
    row, x = torch.randn(8, 4), torch.randn(8, 1)
    loss = head.loss(row, x, torch.arange(8))
    torch.testing.assert_close(loss, -head.log_prob(row, x) - math.log(head.width))


def test_point_losses_by_hand() -> None:
    head = PointHead(CIRCLE, 3)
    x = torch.tensor([[0.0], [0.25], [0.5], [0.875]])
    loss = head.loss(torch.randn(4, 3), x, torch.arange(4))
    torch.testing.assert_close(loss, 1 - (2 * math.pi * x[:, 0]).cos())
    line = PointHead(LINE, 3, delta=1.0)
    loss = line.loss(torch.randn(2, 3), torch.tensor([[0.5], [3.0]]), torch.arange(2))
    torch.testing.assert_close(loss, torch.tensor([0.125, 2.5]))


def test_cold_samples() -> None:
    cold = SamplerSettings(temperature=0.0)
    row, keys = torch.randn(5, 4), torch.arange(5)
    histogram = shaken(make("histogram"))
    torch.testing.assert_close(histogram.sample(row, keys, cold), histogram.center(row).detach())
    mixture = shaken(make("mixture"))
    weight, mean, _ = mixture(row)
    expected = mean.gather(1, weight.argmax(-1, keepdim=True)).detach()
    torch.testing.assert_close(mixture.sample(row, keys, cold), expected)


def test_slots_that_do_not_fit() -> None:
    for cls in (MixtureHead, HistogramHead):
        with pytest.raises(UsageError, match="one number on the line or on the circle"):
            cls(SlotKind("<x>", 3), 4)
    with pytest.raises(UsageError, match="no histogram"):
        HistogramHead(LINE, 4, bins=1)
    with pytest.raises(UsageError, match="0 components"):
        MixtureHead(LINE, 4, components=0)
    with pytest.raises(UsageError, match="no point head of local"):
        PointHead(SlotKind("<x>", 3, geometry="local"), 4)
