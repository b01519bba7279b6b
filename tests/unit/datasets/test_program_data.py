"""Observations as training data: what a batch holds hangs on the record and the pass alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from observed_models import IMAGE, tokenizer

from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.shards import Job, make
from sciar.datasets.program_data import Pictures, ProgramData
from sciar.errors import RecordError, UsageError

OPTIONS: dict[str, Any] = {"size": 16, "radius": 2.0, "cells": 3}


def data(sources: list[Pictures], **options: Any) -> ProgramData:
    made = tokenizer("dots", max_calls=options.pop("max_calls", 1), shuffle=True)
    return ProgramData(sources, made, **{"batch_tokens": 125, **options})


def flying(count: int = 11, **options: Any) -> ProgramData:
    return data([Pictures("dots", count=count, options=OPTIONS)], **options)


def content(pack: Any) -> dict[int, np.ndarray]:
    ends = pack.lengths.cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    return {
        int(key): pack.values[a:b].numpy()
        for key, a, b in zip(pack.keys, starts, ends, strict=True)
    }


def test_every_pass_has_fresh_pictures_then_they_repeat() -> None:
    loader = flying(copies=2).train_dataloader()
    passes: list[dict[int, np.ndarray]] = []
    for _ in range(3):
        found: dict[int, np.ndarray] = {}
        for pack in loader:
            found |= content(pack)
        assert sorted(found) == list(range(11))
        passes.append(found)
    for record in range(11):
        assert not np.array_equal(passes[0][record], passes[1][record])
        np.testing.assert_array_equal(passes[0][record], passes[2][record])


def test_batches_neither_change_nor_order_what_a_record_holds() -> None:
    small, large = flying(), flying(batch_tokens=1000)
    first = {k: v for pack in small.train_dataloader() for k, v in content(pack).items()}
    (whole,) = large.train_dataloader()
    for record, values in content(whole).items():
        np.testing.assert_array_equal(values, first[record])


def test_a_loader_goes_on_where_it_stopped() -> None:
    loader = flying(copies=3).train_dataloader()
    stream = iter(loader)
    next(stream)
    state = loader.state_dict()
    rest = [content(p) for p in stream]
    other = flying(copies=3).train_dataloader()
    other.load_state_dict(state)
    for a, b in zip(rest, other, strict=False):
        assert list(a) == list(content(b))
        for record, values in content(b).items():
            np.testing.assert_array_equal(values, a[record])


def test_folders_and_makers_give_the_same(tmp_path: Path) -> None:
    maker = DotMaker(**OPTIONS)
    make(Job(maker, "train", 11, 0, shard=4), tmp_path / "made")
    fly = flying(batch_tokens=1000)
    expected = content(next(iter(fly.train_dataloader())))
    for cache in (None, str(tmp_path / "cache"), str(tmp_path / "cache")):
        source = [Pictures(str(tmp_path / "made"))]
        own = data(source, batch_tokens=1000, cache=cache)
        found = content(next(iter(own.train_dataloader())))
        for record, values in found.items():
            np.testing.assert_allclose(values, expected[record], atol=1e-6)
        assert own.facts == fly.facts
    assert len(list((tmp_path / "cache").glob("pictures-*.npy"))) == 1
    assert len(data(source, limit=3).observed("train")) == 3
    assert own.facts["simulator"] == {"maker": "dots", "version": 1, "options": maker.options()}


def test_validation_is_not_augmented_and_falls_back_to_training() -> None:
    both = data(
        [Pictures("dots", count=5, options=OPTIONS)],
        val=[Pictures("dots", "id", 4, options=OPTIONS)],
        copies=4,
    )
    assert len(both.observed("val")) == len(both.observed("test")) == 4
    assert both.observed("val").copies == 1 and both.observed("train").copies == 4
    assert len(flying().observed("test")) == 11
    names = both.predict_dataloader() and both.predicted_ids
    assert names == [f"picture-{i}" for i in range(4)]


def test_the_longest_sequence_is_not_exceeded() -> None:
    several = {**OPTIONS, "dots": (1, 3)}
    for numbers in ("float", "char"):
        made = tokenizer("dots", IMAGE, numbers=numbers)
        own = ProgramData([Pictures("dots", count=30, options=several)], made).observed("train")
        pack = own.pack(np.arange(30))
        assert int(pack.lengths.max()) == made.longest


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a count"):
        flying(count=0).observed("train")
    with pytest.raises(UsageError, match="make them with sciar data make"):
        data([Pictures(str(tmp_path / "nothing"))]).observed("train")
    make(Job(DotMaker(**OPTIONS), "train", 2), tmp_path / "made")
    with pytest.raises(UsageError, match="are fixed"):
        data([Pictures(str(tmp_path / "made"), split="id")]).observed("train")
    wrong = data([Pictures("dots", count=3, options={**OPTIONS, "size": 20})])
    with pytest.raises(RecordError, match=r"shape \(20, 20, 3\)"):
        wrong.observed("train").pack(np.arange(2))
    many = data([Pictures("dots", count=3, options={**OPTIONS, "dots": (3, 3)})])
    with pytest.raises(RecordError, match="at most 1"):
        many.observed("train").pack(np.arange(1))
