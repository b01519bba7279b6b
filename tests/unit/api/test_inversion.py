"""Observations to programs: verification finds and refines; results hang on nothing but the id."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from observed_models import PATTERN, api_model, pictures, tokenizer

from sciar.api.inversion import InversionSettings
from sciar.api.verification import Verifier
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.poses import PoseMaker
from sciar.datasets.makers.pxrd import PxrdMaker
from sciar.errors import ModelError, RecordError, UsageError
from sciar.records import Call, Program

DOTS = DotMaker(size=16, radius=2.0, cells=3)


def moved(program: Program, by: float) -> Program:
    """The same with all numbers moved a little, inside the unit square."""
    calls = []
    for call in program.calls:
        arguments: Any = {
            k: tuple(min(max(x + by, 0.02), 0.98) for x in v) if isinstance(v, tuple) else v
            for k, v in call.arguments.items()
        }
        calls.append(Call(call.name, arguments))
    return Program(tuple(calls))


def fitted(maker: Any) -> Any:
    made = tokenizer("dots")
    made.fit_statistics([p.program for p in pictures(maker, "uniform", 50)])
    return made


def test_refinement_finds_the_place() -> None:
    verifier = Verifier(DOTS, fitted(DOTS))
    for picture in pictures(DOTS, "uniform", 4):
        start = moved(picture.program, 0.06)
        before = verifier.residual(start, picture.image)
        assert before > 0.02 > verifier.residual(picture.program, picture.image)
        after, left = verifier.refined(start, picture.image, 30)
        assert left < 0.3 * before and left == verifier.residual(after, picture.image)
        for key in "xy":
            truth = picture.program.calls[0].arguments[key]
            assert after.calls[0].arguments[key] == pytest.approx(truth, abs=0.02)
    assert verifier.refined(start, picture.image, 0) == (start, before)


def test_refinement_never_makes_it_worse() -> None:
    """From a place where no difference can be felt, it stays."""
    verifier = Verifier(DOTS, fitted(DOTS))
    for picture in pictures(DOTS, "uniform", 3):
        far = Program((Call("add", {"x": (0.02,), "y": (0.98,)}),))
        before = verifier.residual(far, picture.image)
        assert verifier.refined(far, picture.image, 5)[1] <= before


def test_a_rotation_is_refined() -> None:
    maker = PoseMaker(size=24, samples=2)
    made = tokenizer("pose6d", {"kind": "image", "size": [24, 24], "patch": 8}, max_calls=1)
    picture = pictures(maker, "all", 1)[0]
    call = picture.program.calls[0]
    wrong: Any = {**call.arguments, "loc": tuple(x + 0.05 for x in call.arguments["loc"])}
    verifier = Verifier(maker, made)
    start = Program((Call("add", wrong),))
    before = verifier.residual(start, picture.image)
    assert verifier.refined(start, picture.image, 10)[1] < before


def test_a_cell_is_told_from_others() -> None:
    """The true cell explains the peaks better than one that is a twentieth larger."""
    maker = PxrdMaker(grid={"points": 2048, "start": 10.0, "stop": 90.0, "shift": 0.0})
    better = 0
    for picture in pictures(maker, "test", 6):
        cell: Any = picture.program.calls[0].arguments
        larger = {k: (v[0] * 1.05,) if k in "abc" else v for k, v in cell.items()}
        own, other = (
            float(np.square(maker.difference(p, picture.image)).mean())
            for p in (picture.program, Program((Call("cell", larger),)))
        )
        better += own < other
    assert better >= 5
    with pytest.raises(UsageError, match="not how strong"):
        maker.redraw(picture.program)


def test_a_program_that_shows_nothing_is_the_worst() -> None:
    maker = PxrdMaker(grid=PATTERN["grid"], atoms=True)
    verifier = Verifier(maker, tokenizer("crystal", PATTERN))
    picture = pictures(maker, "test", 1)[0]
    empty = Program(picture.program.calls[:1])
    assert verifier.residual(empty, picture.image) == np.inf
    assert verifier.refined(empty, picture.image, 3) == (empty, np.inf)
    assert verifier.residual(picture.program, picture.image) < 0.5


def test_results_hang_on_the_id_alone() -> None:
    model = api_model(tokenizer("dots"), DOTS)
    seen = [(f"p{i}", p.image) for i, p in enumerate(pictures(DOTS, "train", 3))]
    options: dict[str, Any] = {"samples": 3, "verify": True, "refine": 0}
    together = list(model.invert(seen, **options))
    backwards = list(model.invert(seen[::-1], batch_size=1, **options))[::-1]
    for a, b in zip(together, backwards, strict=True):
        assert a.ok and a.text == b.text and a.chosen == b.chosen and len(a.candidates) == 3
        assert a.residual == pytest.approx(b.residual, abs=1e-4)
        assert a.residual == min(c.residual for c in a.candidates if c.residual is not None)
    other = list(model.invert(seen, seed=1, **options))
    texts = [[c.program for c in found.candidates[1:]] for found in (*together, *other)]
    assert texts[:3] != texts[3:]


def test_one_observation_and_bad_ones() -> None:
    model = api_model(tokenizer("dots"), DOTS)
    image = pictures(DOTS, "train", 1)[0].image
    found: Any = model.invert(image)
    assert found.ok and found.residual is None and found.to_dict()["program"] == found.text
    with pytest.raises(RecordError, match="8 x 16"):
        model.invert(image[:8])
    rows = list(model.invert([("a", image), ("b", image[:8]), ("c", RecordError("torn"))]))
    assert [r.status for r in rows] == ["ok", "failed", "failed"]
    assert "record b" in rows[1].message and rows[2].message == "record c: torn"
    with pytest.raises(RecordError, match="no crystal"):
        rows[0].structure  # noqa: B018


def test_what_cannot_be_asked() -> None:
    bare = api_model(tokenizer("dots"))
    with pytest.raises(ModelError, match="names no simulator"):
        bare.invert([], verify=True)
    with pytest.raises(UsageError, match="other options"):
        bare.invert([], hue=1)
    for options in ({"samples": 0}, {"level": 1.0}, {"refine": -1}, {"samples": 2}):
        with pytest.raises(UsageError):
            InversionSettings(**options)  # type: ignore[arg-type]
    aged = api_model(tokenizer("dots"), DOTS)
    aged.info["simulator"]["version"] = 0
    with pytest.raises(ModelError, match="version 0"):
        aged.invert([], verify=True)
