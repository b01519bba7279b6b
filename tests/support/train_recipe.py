"""Run ``sciar.training.main`` as a program of its own; Lightning starts it again for DDP."""

from __future__ import annotations

import sys

import torch

if __name__ == "__main__":
    from sciar.training import main

    torch.set_num_threads(1)
    main(sys.argv[1:])
