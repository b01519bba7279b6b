"""What a maker of observations is, and what it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Program


@dataclass(frozen=True, eq=False)
class Picture:
    """An observation and the program that describes it.

    Attributes:
        image: (H, W, 3) or (H, W, 1) uint8; or the (P,) float profile of a powder pattern.
        program: what is seen.
        details: what else is known of it, in plain types: camera, lights, ...
        id: identifier, unique within its data set.
    """

    image: np.ndarray
    program: Program
    details: dict[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        shape, kind = self.image.shape, self.image.dtype
        image = len(shape) == 3 and shape[2] in (1, 3) and kind == np.uint8
        if not image and not (len(shape) == 1 and kind.kind == "f"):
            raise RecordError(
                f"a picture is (H, W, 3) or (H, W, 1) bytes, and a pattern (P,) reals, not {shape} "
                f"{kind}",
                field="image",
            )


class Maker(ABC):
    """Makes the pictures of one data set, each from its own generator.

    A maker is also the simulator that decoded programs are held against (:meth:`redraw`).

    Attributes:
        name: of the kind of maker, kept with the data.
        version: rises when the same options and seed give other pictures.
        splits: names of the distributions that it draws from.
    """

    name: str
    version: int
    splits: tuple[str, ...]

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Constructor arguments in plain types."""

    @abstractmethod
    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """One picture of a split."""

    def redraw(self, program: Program) -> np.ndarray:
        """What a program shows: the array of :attr:`Picture.image`, without noise, under the mean
        of whatever the program does not say (camera, lamps, dose).

        Raises:
            RecordError: the program shows nothing.
            UsageError: this maker cannot draw programs.
        """
        raise UsageError(f"the maker {self.name} cannot draw programs")

    def difference(self, program: Program, seen: np.ndarray) -> np.ndarray:
        """(M,) what distinguishes an observation from what a program shows; 0: nothing.

        By default that of the numbers of the arrays, where a byte counts 1/255.

        Raises:
            RecordError: as :meth:`redraw`.
        """
        scale = 255.0 if seen.dtype == np.uint8 else 1.0
        return (self.redraw(program).astype(float) - seen.astype(float)).ravel() / scale

    def check_split(self, split: str) -> str:
        """The split.

        Raises:
            UsageError: there is none such.
        """
        if split not in self.splits:
            raise UsageError(f"{self.name} has the splits {', '.join(self.splits)}, not {split!r}")
        return split
