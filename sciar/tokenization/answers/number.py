"""Numbers as the payload of one slot, which a numeric head predicts."""

from __future__ import annotations

import math
from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import FixedLengthGrammar
from sciar.tokenization.answers.base import NUMBER, AnswerCodec
from sciar.tokenization.vocabulary import SlotKind, Vocabulary


class Number(AnswerCodec):
    """One ``<number>`` slot; the value is a float.

    Tasks share the slot and its head, so each brings its own standardisation.

    Args:
        mean: mean of the training labels.
        std: their standard deviation.
        low: smallest value that is ever answered, or ``None``.
        high: largest one, or ``None``.

    Raises:
        UsageError: ``std`` is not positive, or the range is empty.
    """

    def __init__(
        self,
        mean: float = 0.0,
        std: float = 1.0,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise UsageError(f"mean and std must be finite and std positive, got {mean}, {std}")
        self.low = -math.inf if low is None else float(low)
        self.high = math.inf if high is None else float(high)
        if not self.low < self.high:
            raise UsageError(f"low must be below high, got {low} and {high}")
        self.mean, self.std = float(mean), float(std)

    @property
    def names(self) -> tuple[str, ...]:
        """The slot."""
        return (NUMBER,)

    @property
    def slots(self) -> tuple[SlotKind, ...]:
        """The slot kind, one number wide."""
        return (SlotKind(NUMBER, 1),)

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """The slot, whatever the number."""
        self._checked(value)
        return (NUMBER,)

    def payload(self, value: Any) -> tuple[float, ...]:
        """The standardised number."""
        return ((self._checked(value) - self.mean) / self.std,)

    def value(self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]) -> float:
        """Payload -> number, kept inside the range.

        Raises:
            RecordError: not one finite number.
        """
        if len(payload) != 1 or not math.isfinite(payload[0]):
            raise RecordError(f"the payload of {NUMBER} is not one finite number: {payload}")
        return min(max(float(payload[0]) * self.std + self.mean, self.low), self.high)

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> FixedLengthGrammar:
        """The slot."""
        return FixedLengthGrammar(vocabulary, self.names, 1)

    def max_tokens(self, protein: Protein) -> int:
        """Always one."""
        return 1

    def _checked(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise RecordError(f"{value!r} is no number") from error
        if not self.low <= number <= self.high or not math.isfinite(number):
            raise RecordError(f"{value!r} is no finite number in {self.low} ... {self.high}")
        return number
