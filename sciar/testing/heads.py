"""What every payload head must do, as a class of tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from sciar.heads.base import Head


class HeadTests(ABC):
    """Shapes, fp32 payloads, independence of the rows, keys that fix the samples, learning.

    Attributes:
        tolerance: how far equal rows may differ between batches of different size (fp32).
    """

    tolerance: float = 1e-4

    @abstractmethod
    def make_head(self) -> Head:
        """A small fresh head."""

    def questions(self, head: Head, count: int = 12) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C) conditions, (N, W) targets in the slot's space, and (N,) distinct keys."""
        generator = torch.Generator().manual_seed(0)
        condition = torch.randn(count, head.condition, generator=generator)
        shape = (count, head.slot.width)
        torus = head.slot.geometry == "torus"
        draw = torch.rand if torus else torch.randn
        target = draw(shape, generator=generator)
        if head.slot.classes:
            target = torch.randint(head.slot.classes, shape, generator=generator).float()
        return condition, target, torch.arange(100, 100 + count)

    def trained_head(self, steps: int = 60) -> tuple[Head, list[float]]:
        """A head after a few steps on one batch, and its loss at fixed keys before and after."""
        torch.manual_seed(0)
        head = self.make_head()
        condition, target, keys = self.questions(head)
        optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)

        def score() -> float:
            with torch.no_grad():
                many = [head.loss(condition, target, keys + 7919 * k).mean() for k in range(16)]
            return float(torch.stack(many).mean())

        losses = [score()]
        for step in range(steps):
            optimiser.zero_grad()
            head.loss(condition, target, keys + 1000 * (step + 1)).mean().backward()
            optimiser.step()
        return head, [*losses, score()]

    def test_loss_is_one_finite_number_a_slot(self) -> None:
        """(N,) finite losses, from which gradients flow to the head."""
        head = self.make_head()
        condition, target, keys = self.questions(head)
        loss = head.loss(condition, target, keys)
        assert loss.shape == (len(keys),)
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        loss.mean().backward()
        gradients = [p.grad for p in head.parameters() if p.grad is not None]
        assert gradients, "no parameter got a gradient"
        assert all(g.isfinite().all() for g in gradients)
        assert any(g.abs().sum() > 0 for g in gradients)

    def test_samples_lie_in_the_space_of_the_slot(self) -> None:
        """(N, W) finite fp32 numbers; in [0, 1) on the torus."""
        head, _ = self.trained_head(5)
        condition, _, keys = self.questions(head)
        sample = head.sample(condition, keys)
        assert sample.shape == (len(keys), head.slot.width)
        assert sample.dtype == torch.float32
        assert sample.isfinite().all()
        if head.slot.geometry == "torus":
            assert ((sample >= 0) & (sample < 1)).all()

    def test_keys_fix_the_samples(self) -> None:
        """Equal keys, equal payloads; other keys, others."""
        head, _ = self.trained_head(5)
        condition, _, keys = self.questions(head)
        first = head.sample(condition, keys)
        assert torch.equal(first, head.sample(condition, keys))
        others = head.sample(condition, keys + 5000)
        assert (first - others).abs().max() > 1e-6, "the keys do not matter"

    def test_rows_do_not_see_each_other(self) -> None:
        """Loss and sample of a slot are the same alone as in a batch, and in any order."""
        head, _ = self.trained_head(5)
        condition, target, keys = self.questions(head)
        with torch.no_grad():
            loss, sample = head.loss(condition, target, keys), head.sample(condition, keys)
            for rows in (torch.tensor([3]), torch.tensor([7, 0, 5])):
                part = head.loss(condition[rows], target[rows], keys[rows])
                torch.testing.assert_close(
                    part, loss[rows], atol=self.tolerance, rtol=self.tolerance
                )
                again = head.sample(condition[rows], keys[rows])
                difference = (again - sample[rows]).abs()
                if head.slot.geometry == "torus":
                    difference = torch.minimum(difference, 1 - difference)
                # relative to the sample: an untrained diffusion sampler can reach far out
                assert (difference <= self.tolerance * (1 + sample[rows].abs())).all()

    def test_no_rows_give_no_rows(self) -> None:
        """A batch without slots of this kind is nothing special."""
        head = self.make_head()
        condition, target, keys = (part[:0] for part in self.questions(head))
        assert head.loss(condition, target, keys).shape == (0,)
        assert head.sample(condition, keys).shape == (0, head.slot.width)

    def test_payloads_stay_fp32_under_autocast(self) -> None:
        """A decoder in bf16 does not cost the coordinates their precision."""
        head = self.make_head()
        condition, target, keys = self.questions(head)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = head.loss(condition.bfloat16(), target, keys)
            sample = head.sample(condition.bfloat16(), keys)
        assert loss.dtype == torch.float32
        assert sample.dtype == torch.float32

    def test_it_learns(self) -> None:
        """A few steps on one batch lower its loss."""
        _, (before, after) = self.trained_head()
        assert after < before, f"the loss went from {before:.4g} to {after:.4g}"
