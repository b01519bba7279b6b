"""Which precision a machine can train in.

A CPU without bf16 instructions converts every operand of a bf16 product: 80 times slower than fp32
on the machine where it was measured (91 against 1.1 GFLOP/s).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

HALF = "bf16-mixed"
FULL = "32-true"
# names of torch.cpu.get_capabilities and of Linux: AVX-512 and AMX of x86, NEON and SVE of ARM
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16", "svebf16"}


@cache
def native_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices by its own instructions, and PyTorch uses them."""
    # Without oneDNN (macOS on ARM) PyTorch has no bf16 product that uses them.
    return torch.backends.mkldnn.is_available() and not _INSTRUCTIONS.isdisjoint(_abilities())


def _abilities() -> set[str]:
    """What the CPU can do: from PyTorch, or for older versions of it from Linux."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return {name for name, present in ask().items() if present is True}
    return _flags(Path("/proc/cpuinfo"))


def _flags(cpuinfo: Path) -> set[str]:
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    lines = (line.partition(":") for line in text.splitlines())
    # x86 calls the line "flags", ARM "Features"
    return {
        flag
        for name, _, flags in lines
        if name.strip().lower() in ("flags", "features")
        for flag in flags.split()
    }


def fitting_precision(accelerator: str = "auto") -> str:
    """``bf16-mixed``, or ``32-true`` on a CPU without native bf16.

    Args:
        accelerator: as Lightning's ``Trainer`` names it; ``auto`` is a CPU where PyTorch sees no
            other device.
    """
    on_cpu = accelerator == "cpu" or (
        accelerator == "auto" and not torch.accelerator.is_available()
    )
    return FULL if on_cpu and not native_bf16() else HALF
