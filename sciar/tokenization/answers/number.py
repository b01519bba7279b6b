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
        offset: learn ln(value + offset) in place of the value, whose ``mean`` and ``std`` are then
            meant: for labels that products of effects make, such as fitness. 0: the value itself.

    Raises:
        UsageError: ``std`` is not positive, the range is empty, or the offset is negative.
    """

    def __init__(
        self,
        mean: float = 0.0,
        std: float = 1.0,
        low: float | None = None,
        high: float | None = None,
        offset: float = 0.0,
    ) -> None:
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise UsageError(f"mean and std must be finite and std positive, got {mean}, {std}")
        self.low = -math.inf if low is None else float(low)
        self.high = math.inf if high is None else float(high)
        if not self.low < self.high:
            raise UsageError(f"low must be below high, got {low} and {high}")
        if not 0 <= offset < math.inf:
            raise UsageError(f"offset must be finite and not negative, got {offset}")
        self.mean, self.std, self.offset = float(mean), float(std), float(offset)

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
        number = self._checked(value)
        learnt = math.log(number + self.offset) if self.offset else number
        return ((learnt - self.mean) / self.std,)

    def value(self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]) -> float:
        """Payload -> number, kept inside the range.

        Raises:
            RecordError: not one finite number.
        """
        if len(payload) != 1 or not math.isfinite(payload[0]):
            raise RecordError(f"the payload of {NUMBER} is not one finite number: {payload}")
        learnt = float(payload[0]) * self.std + self.mean
        if self.offset:
            # The exponential of what no label comes near would overflow.
            learnt = math.exp(min(learnt, 300.0)) - self.offset
        return min(max(learnt, self.low), self.high)

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
        if self.offset and number <= -self.offset:
            raise RecordError(f"{value!r} has no logarithm with the offset {self.offset}")
        return number
