"""What the benchmark of training measures, without measuring."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import training


@pytest.mark.parametrize("native", [True, False])
def test_bf16_is_left_out_where_it_would_take_hours(
    native: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[torch.dtype] = []

    def measure(model: Any, loader: Any, precision: torch.dtype, steps: int) -> dict[str, Any]:
        asked.append(precision)
        return {"precision": str(precision)}

    monkeypatch.setattr(training, "native_bf16", lambda: native)
    monkeypatch.setattr(training, "measure", measure)
    monkeypatch.setattr(training, "SIZES", {"6x256": (6, 256)})
    rows = training.run(quick=True)
    assert asked == [torch.float32, torch.bfloat16][: len(rows)]
    assert len(rows) == (2 if native else 1)
    assert ("no native bf16 on this CPU" in capsys.readouterr().out) is not native
