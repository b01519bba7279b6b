"""bf16 only where a machine has it; no timing here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sciar.tasks import precision
from sciar.tasks.precision import fitting_precision, native_bf16


@pytest.fixture(autouse=True)
def fresh() -> Any:
    native_bf16.cache_clear()
    yield
    native_bf16.cache_clear()


@pytest.mark.parametrize(
    ("abilities", "native"),
    [
        ({"avx2": True, "avx512_bf16": False, "avx512_f": False, "bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": False, "amx_tile": False}, False),  # Skylake
        ({"avx512_f": True, "avx512_bf16": True}, True),  # Zen 4, Cooper Lake
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": False, "sve": True, "sve_max_length": 32}, False),  # Graviton 2
        ({"neon": True, "bf16": True}, True),  # Graviton 3
        ({"cpu_name": "bf16", "bf16": False}, False),
    ],
)
def test_instructions_decide(
    abilities: dict[str, Any], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert native_bf16() is native


def test_without_onednn_instructions_are_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not native_bf16()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx2", False),
        ("Features\t: fp asimd bf16", True),
        ("model name\t: bf16", False),
    ],
)
def test_older_versions_of_torch_read_linux(line: str, found: bool, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n")
    assert bool(precision._flags(cpuinfo) & precision._INSTRUCTIONS) is found
    assert precision._flags(tmp_path / "nothing") == set()


@pytest.mark.parametrize(
    ("accelerator", "device", "native", "wanted"),
    [
        ("cpu", False, False, "32-true"),
        ("cpu", False, True, "bf16-mixed"),
        ("cpu", True, False, "32-true"),
        ("auto", False, False, "32-true"),
        ("auto", True, False, "bf16-mixed"),
        ("gpu", True, False, "bf16-mixed"),
    ],
)
def test_a_gpu_keeps_bf16(
    accelerator: str, device: bool, native: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda: native)
    monkeypatch.setattr(torch, "accelerator", SimpleNamespace(is_available=lambda: device))
    assert fitting_precision(accelerator) == wanted
