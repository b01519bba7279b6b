"""Programs held against what they describe: drawn or simulated, compared, and refined.

Refinement moves the real numbers of a program alone: Levenberg and Marquardt's least squares on
the difference between the observation and what the program shows, by finite differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from sciar.datasets.makers.base import Maker
from sciar.datasets.makers.registry import maker_of
from sciar.errors import ModelError, RecordError
from sciar.records import Call, Program
from sciar.tokenization.programs.tokenizer import ProgramTokenizer

STEP = 0.02
"""Finite difference, in standard deviations of a number over the training data."""


@dataclass(frozen=True, eq=False)
class Verifier:
    """Compares programs with observations.

    Attributes:
        maker: the simulator.
        tokenizer: of the model, whose statistics give the scale of each number.
    """

    maker: Maker
    tokenizer: ProgramTokenizer

    @classmethod
    def of(cls, info: Mapping[str, Any], tokenizer: ProgramTokenizer) -> Verifier:
        """The simulator that a model's training data were made by.

        Raises:
            ModelError: the model names none, or one that has changed since.
        """
        facts = info.get("simulator")
        if not facts:
            raise ModelError("the model names no simulator, so its programs cannot be verified")
        maker = maker_of(facts["maker"], facts["options"])
        if maker.version != facts["version"]:
            raise ModelError(
                f"the model was trained on pictures of {maker.name} of version {facts['version']}; "
                f"this SciAR draws version {maker.version}"
            )
        return cls(maker, tokenizer)

    def residual(self, program: Program, seen: np.ndarray) -> float:
        """Root mean square of :meth:`~sciar.datasets.makers.base.Maker.difference`; infinite for a
        program that shows nothing."""
        try:
            return _size(self.maker.difference(program, seen))
        except RecordError:
            return float("inf")

    def refined(self, program: Program, seen: np.ndarray, steps: int) -> tuple[Program, float]:
        """The program with its real numbers moved, and its residual, which never rises.

        Args:
            program: where to start.
            seen: the observation.
            steps: most evaluations, not counting those of finite differences.
        """
        before = self.residual(program, seen)
        places = list(self._numbers(program))
        if steps < 1 or not places or not np.isfinite(before):
            return program, before
        start = np.array([place.at for place in places])
        scale = np.array([place.scale for place in places])

        def moved(x: np.ndarray) -> Program:
            return _replaced(program, places, start + (x - 1.0) * scale)

        worst = np.full_like(self.maker.difference(program, seen), 1.0)

        def difference(x: np.ndarray) -> np.ndarray:
            try:
                return self.maker.difference(moved(x), seen)
            except RecordError:
                return worst  # it has moved to where nothing can be seen

        # Steps are relative to x, which therefore begins at one.
        found = least_squares(
            difference, np.ones(len(places)), diff_step=STEP, max_nfev=steps, method="trf"
        )
        after = moved(found.x)
        left = self.residual(after, seen)
        return (after, left) if left < before else (program, before)

    def _numbers(self, program: Program) -> Iterator[_Place]:
        kinds = {slot.name: slot for slot in self.tokenizer.vocabulary.slots}
        symbols = self.tokenizer.symbols
        for i, call in enumerate(program.calls):
            arguments = self.tokenizer.language.calls[call.name].arguments
            for key, value in call.arguments.items():
                if not isinstance(value, tuple):
                    continue
                argument = arguments[key]
                mapped = np.atleast_1d(argument.map.forward(np.array(value)))
                names = [name for name, _, _ in symbols.places(call.name, key, argument)]
                for j, at in enumerate(mapped.tolist()):
                    slot = kinds.get(names[min(j, len(names) - 1)])
                    known = slot is not None and slot.geometry == "euclidean"
                    # A place in a period or a row of a rotation, or no slot at all (characters).
                    span = np.ptp(argument.map.forward(np.array([argument.map.low,
                                                                 argument.map.high])))  # fmt: skip
                    scale = slot.std[0] if slot is not None and known else 0.1 * (float(span) or 1)
                    yield _Place(i, key, j, at, scale, argument)


@dataclass(frozen=True)
class _Place:
    """One real number of a program, on the side of the heads."""

    call: int
    key: str
    component: int
    at: float
    scale: float
    argument: Any


def _replaced(program: Program, places: list[_Place], values: np.ndarray) -> Program:
    calls = [dict(call.arguments) for call in program.calls]
    for place, u in zip(places, values, strict=True):
        x = float(place.argument.map.inverse(np.array(u)))
        row: Any = list(calls[place.call][place.key])  # type: ignore[arg-type]
        row[place.component] = x
        calls[place.call][place.key] = tuple(row)
    named = zip(program.calls, calls, strict=True)
    return Program(tuple(Call(old.name, new) for old, new in named))


def _size(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference)))) if difference.size else 0.0
