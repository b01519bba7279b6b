"""Run ``sciar.training.main`` as a program of its own; Lightning starts it again for DDP."""

from __future__ import annotations

import signal
import sys

import torch

if __name__ == "__main__":
    # A shell starts background jobs with Ctrl-C ignored; a user at a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from sciar.training import main

    torch.set_num_threads(1)
    main(sys.argv[1:])
