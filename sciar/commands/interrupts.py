"""Ctrl-C and SIGTERM end the work at a place where nothing is half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user or the system asked to stop.

    Attributes:
        signal: number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Interrupts:
    """A context in which the signals raise :class:`Interrupted`, except inside :meth:`shield`."""

    def __init__(self) -> None:
        self._shielded, self._held, self._pending = False, False, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._shielded or (self._held and not self._pending):
            self._pending = number
        else:
            raise Interrupted(number)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A signal inside is raised when the block is done."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self._pending:
            number, self._pending = self._pending, 0
            raise Interrupted(number)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], int]]:
        """A first signal inside is only remembered, for work that asks; a second one is raised.

        Gives a function that returns the number of the signal, 0 for none.
        """
        self._held = True
        try:
            yield lambda: self._pending
        finally:
            self._held, self._pending = False, 0

    @contextmanager
    def shield_quietly(self) -> Iterator[None]:
        """A signal inside is ignored: the work is being brought to its end."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded, self._pending = False, 0
