"""What a request wants of the numbers of a sample: payloads that are given, or that must settle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class SlotConstraint(Protocol):
    """Of one slot segment of one sample, made when the segment is opened.

    Attributes:
        free: whether slots that are pinned otherwise are drawn too.
    """

    @property
    def free(self) -> bool: ...

    def given(self) -> Mapping[int, np.ndarray]:
        """Payloads that are known before any is drawn, by the index of the slot."""
        ...

    def settle(self, index: int, value: np.ndarray) -> list[np.ndarray]:
        """The payload that is written where ``value`` was drawn, and those of the slots after it
        that follow from it."""
        ...


class Given:
    """Payloads of some slots, and nothing else.

    Args:
        values: by the index of the slot.
    """

    free = False

    def __init__(self, values: Mapping[int, np.ndarray]) -> None:
        self.values = values

    def given(self) -> Mapping[int, np.ndarray]:
        """All of them."""
        return self.values

    def settle(self, index: int, value: np.ndarray) -> list[np.ndarray]:
        """What was drawn."""
        return [value]
