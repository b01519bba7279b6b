"""The class head against PyTorch's cross-entropy and the head contract of the house."""

from __future__ import annotations

import pytest
import torch

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.classes import ClassHead
from sciar.nn.streams import sample_keys
from sciar.testing.heads import HeadTests
from sciar.tokenization.vocabulary import SlotKind

SLOT = SlotKind("<property:y>", 1, role="answer", classes=3)


class TestContract(HeadTests):
    """The rules of all payload heads."""

    def make_head(self) -> ClassHead:
        return ClassHead(SLOT, 8, hidden=32)


def head() -> ClassHead:
    torch.manual_seed(0)
    made = ClassHead(SLOT, 8, hidden=16)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return made


def test_loss_is_cross_entropy_and_starts_uniform() -> None:
    condition, target = torch.randn(5, 8), torch.tensor([[0.0], [1], [2], [1], [0]])
    made = head()
    wanted = torch.nn.functional.cross_entropy(
        made(condition), target[:, 0].long(), reduction="none"
    )
    keys = sample_keys(0, torch.arange(5))
    torch.testing.assert_close(made.loss(condition, target, keys), wanted)
    torch.testing.assert_close(made.log_prob(condition, target), -wanted)
    fresh = ClassHead(SLOT, 8).loss(condition, target, keys)
    torch.testing.assert_close(fresh, torch.full((5,), 3.0).log())


def test_draws_have_the_probabilities_of_the_answer() -> None:
    made, condition = head(), torch.randn(1, 8)
    n = 20_000
    keys = sample_keys(3, torch.arange(n))
    drawn = made.sample(condition.expand(n, -1), keys)[:, 0].long()
    share = torch.bincount(drawn, minlength=3) / n
    torch.testing.assert_close(share, made.answer(condition)[0].detach(), atol=0.015, rtol=0)
    again = made.sample(condition.expand(n, -1), keys)[:, 0].long()
    assert torch.equal(drawn, again)
    best = made.sample(condition, keys[:1], SamplerSettings(temperature=0.0))
    assert int(best) == int(made.answer(condition).argmax())


def test_a_slot_without_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="has no classes"):
        ClassHead(SlotKind("<x>", 1), 8)
