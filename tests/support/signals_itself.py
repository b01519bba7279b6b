"""``sciar`` as a program that sends itself a signal when it has written so many shards.

``python signals_itself.py NUMBER SHARDS WORDS...``; the moment does not hang on how busy the
machine is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from sciar.jobs.folder import OutputFolder


def signal_after(method: str, number: int, ready: Callable[[OutputFolder], bool]) -> None:
    """Send this process a signal, once, after the first call of a method when it is ``ready``."""
    usual, sent = getattr(OutputFolder, method), []

    def call(self: OutputFolder, *arguments: Any) -> Any:
        made = usual(self, *arguments)
        if not sent and ready(self):
            sent.append(number)
            os.kill(os.getpid(), number)
        return made

    setattr(OutputFolder, method, call)


if __name__ == "__main__":
    from sciar.cli import main

    most = int(sys.argv[2])
    signal_after("add", int(sys.argv[1]), lambda folder: len(folder.manifest.shards) >= most)
    raise SystemExit(main(sys.argv[3:]))
