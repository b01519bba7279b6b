"""Rotation head: proper rotations, one convention, no jump."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.point import RotationHead, rows_to_matrix
from sciar.testing.heads import HeadTests
from sciar.tokenization.vocabulary import SlotKind

SIX, NINE = (SlotKind(f"<r{n}>", n, geometry="rotation") for n in (6, 9))


class TestSix(HeadTests):
    slot = SIX

    def make_head(self) -> RotationHead:
        return RotationHead(self.slot, 8, hidden=16)

    def test_keys_fix_the_samples(self) -> None:
        """It has one answer, whatever the keys."""
        head, _ = self.trained_head(5)
        condition, _, keys = self.questions(head)
        assert torch.equal(head.sample(condition, keys), head.sample(condition, keys + 5000))


class TestNine(TestSix):
    slot = NINE


def matrices(n: int) -> Tensor:
    return torch.tensor(Rotation.random(n, rng=0).as_matrix(), dtype=torch.float32)


@pytest.mark.parametrize("width", [6, 9])
def test_rows_of_a_rotation_give_it_back(width: int) -> None:
    r = matrices(20)
    torch.testing.assert_close(rows_to_matrix(r.flatten(1)[:, :width]), r, atol=1e-5, rtol=0)


@pytest.mark.parametrize("width", [6, 9])
def test_any_numbers_give_proper_rotations(width: int) -> None:
    r = rows_to_matrix(torch.randn(200, width, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand(200, 3, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.det(r), torch.ones(200), atol=1e-4, rtol=0)


def test_rows_and_not_columns() -> None:
    """The example of spec 2.3: extrinsic x-y-z angles 0.3, 0.4, 0.5."""
    rows = torch.tensor([[0.808, -0.357, 0.468, 0.442, 0.894, -0.081]])
    expected = Rotation.from_euler("xyz", [0.3, 0.4, 0.5]).as_matrix()
    found = rows_to_matrix(rows)[0].double().numpy()
    assert found == pytest.approx(expected, abs=1e-3)


def test_nine_numbers_are_projected_to_the_nearest_rotation() -> None:
    noisy = matrices(10) + 0.1 * torch.randn(10, 3, 3, generator=torch.Generator().manual_seed(0))
    found = rows_to_matrix(noisy.flatten(1))
    distance = (found - noisy).square().sum((-1, -2))
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        turn = torch.linalg.matrix_exp(_skew(0.2 * torch.randn(10, 3, generator=generator)))
        assert ((turn @ found - noisy).square().sum((-1, -2)) >= distance - 1e-5).all()


def test_the_loss_is_the_chordal_distance_and_has_no_jump() -> None:
    head = RotationHead(SIX, 3)
    for angle in (0.1, 1.0, math.pi - 1e-3, math.pi + 1e-3):
        c, s = math.cos(angle), math.sin(angle)
        target = torch.tensor([[c, -s, 0.0, s, c, 0.0]])
        loss = head.loss(torch.zeros(1, 3), target, torch.arange(1))
        assert float(loss.detach()) == pytest.approx(8 * math.sin(angle / 2) ** 2, abs=1e-4)


def test_only_rotations() -> None:
    with pytest.raises(UsageError, match="is euclidean"):
        RotationHead(SlotKind("<x>", 6), 4)
    with pytest.raises(UsageError, match="6 or 9 numbers, not 4"):
        SlotKind("<q>", 4, geometry="rotation")


def _skew(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
