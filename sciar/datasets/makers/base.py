"""What a maker of pictures is, and what it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Program


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and the program that describes it.

    Attributes:
        image: (H, W, 3) uint8.
        program: what is seen.
        details: what else is known of it, in plain types: camera, lights, ...
        id: identifier, unique within its data set.
    """

    image: np.ndarray
    program: Program
    details: dict[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise RecordError(
                f"a picture is (H, W, 3) bytes, not {self.image.shape} {self.image.dtype}",
                field="image",
            )


class Maker(ABC):
    """Makes the pictures of one data set, each from its own generator.

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

    def check_split(self, split: str) -> str:
        """The split.

        Raises:
            UsageError: there is none such.
        """
        if split not in self.splits:
            raise UsageError(f"{self.name} has the splits {', '.join(self.splits)}, not {split!r}")
        return split
