"""Exit codes of every command."""

from __future__ import annotations

DONE = 0
"""Everything that was asked for is there."""
NOTHING = 1
"""Nothing was done: no structure came out, a model is unusable, the disk is full."""
USAGE = 2
"""The command, or a value in it, is wrong."""
SOME_FAILED = 3
"""Some structures came out, others failed; each is reported."""
SIGNAL = 128
"""Added to the number of the signal that ended the work (Ctrl-C: 130, SIGTERM: 143)."""


def of(good: int, total: int) -> int:
    """The exit code for so many good ones of a total."""
    if not good:
        return NOTHING
    return DONE if good == total else SOME_FAILED
