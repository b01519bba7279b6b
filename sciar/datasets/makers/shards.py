"""Shards of made pictures: written in parallel, each whole or not at all, and skipped when there.

A folder holds ``made.json``, which says how it was made, and ``00000.npz``, ``00001.npz``, ... Each
picture hangs on (seed, split, index) alone, so neither workers, nor the size of shards, nor an
interruption change any of them.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.files import replace_file, write_json
from sciar.datasets.makers.base import Maker, Picture
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program

NOTE = "made.json"


@dataclass(frozen=True)
class Job:
    """A data set to make.

    Attributes:
        maker: of the pictures.
        split: that is drawn from.
        count: how many pictures.
        seed: of all of them.
        shard: pictures in one file.
    """

    maker: Maker
    split: str
    count: int
    seed: int = 0
    shard: int = 256

    def __post_init__(self) -> None:
        self.maker.check_split(self.split)
        if self.count < 1 or self.shard < 1 or self.seed < 0:
            raise UsageError("count and shard are at least 1, and a seed is not negative")

    @property
    def shards(self) -> int:
        """Number of files."""
        return -(-self.count // self.shard)

    def note(self) -> dict[str, Any]:
        """What ``made.json`` says."""
        return {
            "maker": self.maker.name,
            "version": self.maker.version,
            "options": self.maker.options(),
            "split": self.split,
            "seed": self.seed,
            "count": self.count,
            "shard": self.shard,
        }

    def picture(self, index: int) -> Picture:
        """Picture number ``index``."""
        # A stable hash of the name: splits of one seed share no pictures.
        rng = np.random.default_rng([self.seed, zlib.crc32(self.split.encode()), index])
        return self.maker.make(self.split, rng)


def make(job: Job, folder: str | Path, workers: int = 1) -> int:
    """Write what is missing of a data set; returns the number of shards that were made now.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    note, path = json.loads(json.dumps(job.note())), folder / NOTE
    if path.exists():
        found = note_of(folder)
        other = sorted(key for key in note if found.get(key) != note[key])
        if other:
            raise UsageError(
                f"{folder} holds other data ({', '.join(other)} differ); choose another folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no {NOTE}; choose another folder")
    else:
        write_json(path, note)
    missing = [i for i in range(job.shards) if not _shard(folder, i).exists()]
    if workers <= 1 or len(missing) <= 1:
        for number in missing:
            _make_shard(job, folder, number)
        return len(missing)
    # Forking a process that has threads may hang, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(missing)), mp_context=context) as pool:
        tasks = [pool.submit(_make_shard, job, folder, number) for number in missing]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing)


def _make_shard(job: Job, folder: Path, number: int) -> None:
    indices = range(number * job.shard, min((number + 1) * job.shard, job.count))
    pictures = [job.picture(i) for i in indices]
    programs = [[[c.name, c.arguments] for c in p.program.calls] for p in pictures]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        images=np.stack([p.image for p in pictures]),
        programs=np.array([json.dumps(p) for p in programs]),
        details=np.array([json.dumps(p.details) for p in pictures]),
        index=np.array(indices),
    )
    replace_file(_shard(folder, number), buffer.getvalue())


def read_pictures(folder: str | Path) -> Iterator[Picture]:
    """The pictures of a folder, in order.

    Raises:
        UsageError: no such folder, or it is not complete.
        RecordError: a damaged shard, which is named.
    """
    folder = Path(folder)
    note = note_of(folder)
    shards = -(-note["count"] // note["shard"])
    absent = [i for i in range(shards) if not _shard(folder, i).exists()]
    if absent:
        raise UsageError(f"{folder}: {len(absent)} of {shards} shards are missing; make them again")
    for number in range(shards):
        path = _shard(folder, number)
        try:
            # numpy leaves a file open that is no archive.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
                rows = [data[key] for key in ("images", "programs", "details", "index")]
            for image, program, details, index in zip(*rows, strict=True):
                calls = tuple(Call(name, args) for name, args in json.loads(str(program)))
                yield Picture(
                    image,
                    Program(calls),
                    json.loads(str(details)),
                    f"{note['maker']}-{note['split']}-{note['seed']}-{int(index)}",
                )
        except (OSError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
            raise RecordError(
                f"damaged; delete it and make it again ({error})", source=str(path)
            ) from error


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.npz"


def note_of(folder: Path) -> dict[str, Any]:
    """How the pictures of a folder were made: maker, version, options, split, seed, count, shard.

    Raises:
        UsageError: no such folder, or a damaged note.
    """
    path = folder / NOTE
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if note["count"] < 1 or note["shard"] < 1:
            raise ValueError("no pictures")
    except FileNotFoundError:
        raise UsageError(
            f"{folder}: no made pictures ({NOTE} is missing); make them with sciar data make"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({error})") from error
    return dict(note)
