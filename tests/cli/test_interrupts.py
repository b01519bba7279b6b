"""Signals that are held back until the work asks for them."""

from __future__ import annotations

import os
import signal

import pytest

from sciar.commands.interrupts import Interrupted, Interrupts


def test_a_held_signal_waits_and_a_second_one_does_not() -> None:
    with Interrupts() as interrupts:
        with interrupts.hold() as held:
            assert held() == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert held() == signal.SIGTERM
            with pytest.raises(Interrupted) as raised:
                os.kill(os.getpid(), signal.SIGINT)
            assert raised.value.signal == signal.SIGINT
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
