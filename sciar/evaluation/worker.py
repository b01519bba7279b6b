"""The loop of one worker process: read items on standard input, answer on standard output.

Started by :mod:`sciar.evaluation.processes` as ``python -m sciar.evaluation.worker``. A fresh
interpreter instead of a fork keeps it safe beside threads and accelerators, and, unlike
``multiprocessing``, it does not run the caller's main module again.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
    try:
        return "value", function(item)
    except Exception as error:  # one bad item becomes one error row in the parent
        return "error", f"{type(error).__name__}: {error}"


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer chunks of items until the stream ends, one message per item."""
    sys.path[:] = pickle.load(requests)
    function = pickle.load(requests)
    pickle.dump(("ready", None), answers)
    answers.flush()
    while True:
        try:
            chunk = pickle.load(requests)
        except EOFError:
            return
        for item in chunk:
            pickle.dump(_answer(function, item), answers)
            answers.flush()


def main() -> None:
    """Entry point; whatever a library prints goes to standard error, not into the answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
