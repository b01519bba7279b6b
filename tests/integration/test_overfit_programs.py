"""Small models learn a handful of pictures by heart, whichever way their numbers are written."""

from __future__ import annotations

from typing import Any

import pytest
from observed_models import MIXTURE, network, observed, pictures, tokenizer
from tiny_models import train

from sciar.api.model import Model
from sciar.datasets.makers.dots import DotMaker
from sciar.evaluation.programs import Protocol, score
from sciar.folder import ModelFolder
from sciar.model import HeadConfig
from sciar.objectives.next_token import NextTokenObjective
from sciar.tokenization.packing import pack

DOTS = Protocol(place=("x", "y"), gates=(0.05,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "head"),
    [("float", "histogram.HistogramHead"), ("float", "point.PointHead"), ("char", "")],
)
def test_pictures_are_learnt_by_heart(numbers: str, head: str) -> None:
    made = tokenizer("dots", numbers=numbers, max_calls=2)
    own = pictures(DotMaker(size=16, radius=2.0, cells=3, dots=(1, 2)), "train", 6)
    made.fit_statistics([p.program for p in own])
    chosen = HeadConfig(f"sciar.heads.{head}", {"hidden": 32}) if head else MIXTURE
    model = network(made, shake=0.02, head=chosen)
    batch = pack([made.encode(observed(p)) for p in own])
    train(model, batch, 300, lr=1e-2, objective=NextTokenObjective())
    content = ModelFolder("overfitted", model, made, {}, {}, "")
    seen: Any = [(str(i), p.image) for i, p in enumerate(own)]
    found = [f.program for f in Model(content).invert(seen)]
    result = score([p.program for p in own], found, DOTS)
    assert result["within_0.05"]["f1"]["rate"] == 1.0, result
    assert result["exact_count"]["count"] == 6
