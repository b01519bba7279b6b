"""Numbers as digits of fixed width, with the sign and the range held by the grammar."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.vocabulary import Vocabulary

POINT, PLUS, MINUS = "dig:.", "dig:+", "dig:-"
DIGITS = tuple(f"dig:{digit}" for digit in range(10))


class Digits(AnswerCodec):
    """A number as ``[sign] digits . digits``, always of the same length.

    With ``scaled`` the range is mapped to 0.0001 ... 0.9999 (at four decimals), as in Prot2Token:
    z = (y - low) / (high - low) (1 - 2e) + e with e one unit of the last decimal. Otherwise the
    number itself is written, with a sign if the range reaches below zero and as many digits before
    the point as the range needs. The value is a float, a multiple of the last decimal.

    Args:
        low: smallest value.
        high: largest value.
        decimals: digits after the point.
        scaled: map the range to the unit interval.
        out_of_range: ``refuse`` or ``clip`` values outside the range; :meth:`outside` tells which.

    Raises:
        UsageError: an empty range, or too many decimals for it.
    """

    def __init__(
        self,
        low: float,
        high: float,
        decimals: int = 4,
        scaled: bool = True,
        out_of_range: Literal["refuse", "clip"] = "refuse",
    ) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"low must be below high, got {low} and {high}")
        if not 1 <= decimals <= 9:
            raise UsageError(f"decimals must lie between 1 and 9, got {decimals}")
        if out_of_range not in ("refuse", "clip"):
            raise UsageError(f"out_of_range is 'refuse' or 'clip', not {out_of_range!r}")
        self.low, self.high, self.decimals = float(low), float(high), decimals
        self.scaled, self.out_of_range = scaled, out_of_range
        unit = 10**decimals
        # The answers are the whole numbers k_low ... k_high, counted in units of the last decimal.
        self.k_low = 1 if scaled else math.ceil(round(low * unit, 6))
        self.k_high = unit - 1 if scaled else math.floor(round(high * unit, 6))
        if self.k_low > self.k_high:
            raise UsageError(f"no number of {decimals} decimals lies between {low} and {high}")
        largest = max(abs(self.k_low), abs(self.k_high))
        self.before = max(1, len(str(largest)) - decimals)
        self.signed = self.k_low < 0

    @property
    def names(self) -> tuple[str, ...]:
        """Ten digits, the point, and the signs if there are any."""
        return (*DIGITS, POINT, *((PLUS, MINUS) if self.signed else ()))

    def outside(self, value: Any) -> bool:
        """Whether a value lies outside the range, so that it is clipped or refused."""
        number = _finite(value)
        return not self.low <= number <= self.high

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Number -> sign, digits, point, digits."""
        if self.outside(value) and self.out_of_range == "refuse":
            raise RecordError(
                f"{value} lies outside {self.low} ... {self.high}; widen the range of the task, "
                "or set out_of_range: clip"
            )
        number = min(max(_finite(value), self.low), self.high)
        if self.scaled:
            e = 10.0**-self.decimals
            number = (number - self.low) / (self.high - self.low) * (1 - 2 * e) + e
        k = min(max(round(number * 10**self.decimals), self.k_low), self.k_high)
        text = f"{abs(k):0{self.before + self.decimals}d}"
        digits = tuple(DIGITS[int(c)] for c in text)
        sign = ((MINUS if k < 0 else PLUS),) if self.signed else ()
        return (*sign, *digits[: self.before], POINT, *digits[self.before :])

    def value(self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]) -> float:
        """Digits -> number."""
        text = "".join(token.removeprefix("dig:") for token in tokens)
        if not self.scaled:
            return float(text)
        e = 10.0**-self.decimals
        number = (float(text) - e) / (1 - 2 * e) * (self.high - self.low) + self.low
        return min(max(number, self.low), self.high)

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> DigitsGrammar:
        """Digits of the numbers in the range."""
        return DigitsGrammar(vocabulary, self.k_low, self.k_high, self.before, self.decimals)

    def max_tokens(self, protein: Protein) -> int:
        """The fixed width."""
        return self.signed + self.before + 1 + self.decimals


class DigitsGrammar:
    """Writes one of the whole numbers ``low`` ... ``high`` with a point inside.

    A digit may follow if some number of the range begins so. Zero has a plus sign.
    """

    def __init__(
        self, vocabulary: Vocabulary, low: int, high: int, before: int, after: int
    ) -> None:
        self.size, self.before, self.width = len(vocabulary), before, before + after
        self.digits = vocabulary.ids(DIGITS)
        self.point = vocabulary.id(POINT)
        self.low, self.high = low, high
        self.signs: dict[int, tuple[int, int]] = {}
        if low < 0:
            if high >= 0:
                self.signs[vocabulary.id(PLUS)] = (0, high)
            self.signs[vocabulary.id(MINUS)] = (max(1, -high), -low)
        self.prefix, self.written, self.pointed = 0, 0, False

    def allowed(self) -> tuple[np.ndarray, bool]:
        """The sign, a digit that keeps to the range, the point, or the end."""
        mask = np.zeros(self.size, dtype=bool)
        if self.signs:
            mask[list(self.signs)] = True
        elif self.written == self.before and not self.pointed:
            mask[self.point] = True
        elif self.written < self.width:
            rest = 10 ** (self.width - self.written - 1)
            for digit, token in enumerate(self.digits):
                least = (self.prefix * 10 + digit) * rest
                mask[token] = least <= self.high and least + rest - 1 >= self.low
        return mask, self.written == self.width

    def push(self, token: int) -> None:
        """Take a sign, a digit or the point."""
        if self.signs:
            (self.low, self.high), self.signs = self.signs[token], {}
        elif token == self.point:
            self.pointed = True
        else:
            self.prefix = self.prefix * 10 + int(np.flatnonzero(self.digits == token)[0])
            self.written += 1


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise RecordError(f"{value!r} is no number") from error
    if not math.isfinite(number):
        raise RecordError(f"{value!r} is no finite number")
    return number
