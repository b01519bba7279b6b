"""Makers keep to their splits; shards do not hang on workers, sizes or interruptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.poses import CENTRE, PoseMaker, degrees_between
from sciar.datasets.makers.scenes import GAP, PALETTES, SIZES, SceneMaker
from sciar.datasets.makers.shards import Job, make, read_pictures
from sciar.errors import RecordError, UsageError
from sciar.records import Program
from sciar.tokenization.programs.language import load_language
from sciar.tokenization.programs.text import read_program, write_program


def drawn(maker: Maker, split: str, count: int, seed: int = 0) -> list[Picture]:
    job = Job(maker, split, count, seed)
    return [job.picture(i) for i in range(count)]


def of_language(pictures: list[Picture], name: str) -> None:
    language = load_language(name)
    for picture in pictures:
        language.check(picture.program)
        text = write_program(picture.program, language)
        assert write_program(read_program(text, language), language) == text


@pytest.mark.parametrize(
    ("split", "regions"),
    [
        ("train", {"black"}),
        ("interpolation", {"white"}),
        ("extrapolation", {"outside"}),
        ("uniform", {"black", "white", "outside"}),
    ],
)
def test_dots_lie_where_their_split_says(split: str, regions: set[str]) -> None:
    maker = DotMaker(size=32, radius=3, cells=3, dots=(1, 3))
    pictures = drawn(maker, split, 30)
    of_language(pictures, "dots")
    places = [
        (call.arguments["x"][0], call.arguments["y"][0])
        for picture in pictures
        for call in picture.program.calls
    ]
    assert {maker.region(x, y) for x, y in places} == regions


def test_a_dot_is_seen_where_it_is() -> None:
    maker = DotMaker(size=64, radius=4.0)
    for x, y in ((0.0, 0.0), (1.0, 0.3), (0.5, 0.77)):
        ink = 255.0 - maker.draw([(x, y)])[..., 1]
        rows, columns = np.mgrid[:64, :64] + 0.5
        assert (ink * columns).sum() / ink.sum() == pytest.approx(4 + x * 56, abs=0.05)
        assert (ink * rows).sum() / ink.sum() == pytest.approx(4 + y * 56, abs=0.05)
        assert ink.sum() / 255 == pytest.approx(np.pi * 16, rel=0.03)


TINY = SceneMaker(height=24, width=24, samples=1, counts=(2, 3))


@pytest.mark.parametrize("split", ["train-a", "val-b", "hole-train", "hole-gap", "light"])
def test_scenes_keep_the_rules_of_their_split(split: str) -> None:
    pictures = drawn(TINY, split, 3)
    of_language(pictures, "clevr")
    swapped = split == "val-b"
    for picture in pictures:
        objects = [call.arguments for call in picture.program.calls]
        places = np.array([o["loc"] for o in objects])
        for i, a in enumerate(objects):
            if a["shape"] != "sphere":
                assert a["color"] in PALETTES[(a["shape"] == "cylinder") != swapped]
            assert ("rotation" in a) == (a["shape"] == "cube")
            assert a["loc"][2] == SIZES[a["size"]]
            for b in objects[:i]:
                apart = np.linalg.norm(np.subtract(a["loc"], b["loc"])[:2])
                assert apart >= a["loc"][2] + b["loc"][2] + GAP - 1e-9
        hole = (np.abs(places[:, :2] - TINY.hole[:2]) < TINY.hole[2]).all(1)
        if split.startswith("hole"):
            assert hole.all() if split == "hole-gap" else not hole.any()
        assert min(picture.details["pixels"]) >= TINY.visible
        assert len(picture.details["camera_frame"]) == len(objects)


def test_counts_out_of_range_of_the_training_set() -> None:
    maker = SceneMaker(height=16, width=16, samples=1)
    (many,) = drawn(maker, "many", 1)
    (few,) = drawn(maker, "few", 1)
    assert 7 <= len(many.program) <= 10 and 3 <= len(few.program) <= 6


def test_poses_leave_the_ball_out() -> None:
    maker = PoseMaker(size=16, samples=1, ball=60.0)
    for split, within in (("train", False), ("gap", True)):
        pictures = drawn(maker, split, 6)
        of_language(pictures, "pose6d")
        for picture in pictures:
            rows = np.reshape(picture.program.calls[0].arguments["rotation"], (2, 3))
            matrix = np.array([*rows, np.cross(*rows)])
            assert (degrees_between(matrix, CENTRE) <= 60.0) == within
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
            assert picture.image.std() > 3, "something is seen"


def same(first: list[Picture], second: list[Picture]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.program == b.program and a.details == b.details and a.id == b.id


def test_shards_resume_and_do_not_hang_on_their_size(tmp_path: Path) -> None:
    maker = DotMaker(size=16, radius=2)
    job = Job(maker, "train", 7, seed=5, shard=3)
    assert make(job, tmp_path / "a") == 3 and make(job, tmp_path / "a") == 0
    whole = list(read_pictures(tmp_path / "a"))
    assert [p.id for p in whole[:2]] == ["dots-train-5-0", "dots-train-5-1"]
    (tmp_path / "a" / "00001.npz").unlink()
    with pytest.raises(UsageError, match="1 of 3 shards are missing"):
        list(read_pictures(tmp_path / "a"))
    assert make(job, tmp_path / "a") == 1
    same(list(read_pictures(tmp_path / "a")), whole)
    make(Job(maker, "train", 7, seed=5, shard=7), tmp_path / "b")
    same(list(read_pictures(tmp_path / "b")), whole)
    others = drawn(maker, "id", 7, seed=5)
    assert not any(a.program == b.program for a, b in zip(whole, others, strict=True))


def test_workers_make_the_same(tmp_path: Path) -> None:
    job = Job(DotMaker(size=16, radius=2), "uniform", 4, shard=2)
    assert make(job, tmp_path / "two", workers=2) == 2
    same(list(read_pictures(tmp_path / "two")), [_named(job, i) for i in range(4)])


def _named(job: Job, index: int) -> Picture:
    picture = job.picture(index)
    return Picture(picture.image, picture.program, picture.details, f"dots-uniform-0-{index}")


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    maker = DotMaker(size=16, radius=2)
    folder = tmp_path / "a"
    make(Job(maker, "train", 2), folder)
    for other, reason in (
        (Job(maker, "train", 2, seed=1), "seed differ"),
        (Job(maker, "id", 2), "split differ"),
        (Job(DotMaker(size=17, radius=2), "train", 2), "options differ"),
    ):
        with pytest.raises(UsageError, match=reason):
            make(other, folder)
    (folder / "00000.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(RecordError, match=r"00000\.npz: damaged; delete it"):
        list(read_pictures(folder))
    (folder / "made.json").write_text("{")
    with pytest.raises(UsageError, match=r"made\.json: damaged"):
        list(read_pictures(folder))
    with pytest.raises(UsageError, match="no made pictures"):
        list(read_pictures(tmp_path / "none"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        make(Job(maker, "train", 2), tmp_path / "full")


def test_bad_options() -> None:
    with pytest.raises(UsageError, match="splits train, id, interpolation"):
        Job(DotMaker(), "test", 1)
    with pytest.raises(UsageError, match="not 'extrapolation'"):
        Job(DotMaker(margin=0.0), "extrapolation", 1)
    with pytest.raises(UsageError, match="at least 1"):
        Job(DotMaker(), "train", 0)
    for cls, options in (
        (DotMaker, {"radius": 0.0}),
        (DotMaker, {"cells": 1}),
        (DotMaker, {"dots": (3, 1)}),
        (SceneMaker, {"height": 4}),
        (SceneMaker, {"counts": (0, 3)}),
        (PoseMaker, {"ball": 0.0}),
    ):
        with pytest.raises(UsageError):
            cls(**options)
    with pytest.raises(RecordError, match="bytes"):
        Picture(np.zeros((4, 4), np.uint8), Program(()))
