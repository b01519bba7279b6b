"""Run ``sciar.training.main`` as a program of its own; Lightning starts it again for DDP."""

from __future__ import annotations

import signal
import sys
from typing import Any

import lightning as L
import torch


class StopAfter(L.Callback):
    """Ends a run early without touching its schedule."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


if __name__ == "__main__":
    # A shell starts background jobs with Ctrl-C ignored; a user at a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from sciar.training import main

    torch.set_num_threads(1)
    main(sys.argv[1:])
