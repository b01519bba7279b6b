"""What a payload head is. Heads are named in YAML by their class path.

Shape letters: N slots, C width of the condition, W width of the payload.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from sciar.tokenization.vocabulary import SlotKind


@dataclass(frozen=True)
class SamplerSettings:
    """How payloads are drawn.

    Attributes:
        steps: function evaluations of an iterative head (0: the head's default).
        method: solver of an iterative head ("": the head's default).
        temperature: spread of the samples; 1 is the model's own distribution.
        anneal: strengthens a flow's velocity towards the end of its path by ``1 + anneal * t``, at
            most so far that a step ends on the path (inference anti-annealing of FlowMM,
            arXiv:2406.04713); more than 0 sharpens the samples.
    """

    steps: int = 0
    method: str = ""
    temperature: float = 1.0
    anneal: float = 0.0


@dataclass(frozen=True, eq=False)
class Guide:
    """Classifier-free guidance (Ho and Salimans, arXiv:2207.12598), with the scale counted from 0.

    The field that a head follows (a velocity, a noise) becomes ``without + scale * (with -
    without)``: scale 0 leaves the conditions out, 1 samples the model as it was trained, more
    stresses the conditions.

    Attributes:
        without: (N, C) conditions of the same slots where the network was not told.
        scale: of the guidance.
    """

    without: Tensor
    scale: float

    def mix(self, told: Tensor, untold: Tensor) -> Tensor:
        """The guided field, from the fields with and without conditions."""
        return untold + self.scale * (told - untold)


class Head(nn.Module, ABC):
    """Predicts the payload of one slot kind from a condition.

    Targets are standardised numbers, or fractional coordinates for a torus slot. All arithmetic on
    them is fp32, whatever the precision of the decoder.
    """

    def __init__(self, slot: SlotKind, condition: int) -> None:
        super().__init__()
        self.slot, self.condition = slot, condition

    @property
    def has_density(self) -> bool:
        """Whether :meth:`log_prob` gives numbers."""
        return type(self).log_prob is not Head.log_prob

    @abstractmethod
    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) loss; ``keys_N`` identify the slots and fix the random numbers."""

    @abstractmethod
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, W) payloads; the same keys give the same payloads."""

    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor | None:
        """(N,) log-density of a target, or ``None`` if the head has none."""
        return None


class GuidedHead(Head):
    """A head whose samples follow a field, so that they can be guided."""

    @abstractmethod
    def sample(
        self,
        condition_NC: Tensor,
        keys_N: Tensor,
        settings: SamplerSettings | None = None,
        guide: Guide | None = None,
    ) -> Tensor:
        """(N, W) payloads; ``guide`` changes the field that they follow, not its start."""
