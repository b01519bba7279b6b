"""A batch job with a worker that needs no model, also as a program to be killed.

``python protein_job.py INPUT --out OUT [--resume] [--signal N --at-shards M] ...``; with a signal,
it sends itself one when it has written so many shards and kept a part of another.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from signals_itself import signal_after

from sciar.datasets.proteins import read_proteins
from sciar.jobs import Answer, FileSource, Job, Outcome, Recipe, run
from sciar.records import ProteinRecord

TASKS = {"fold": "text", "weight": "number", "states": "text", "cysteines": "positions"}
LONGEST = 30_000


class Worker:
    """Answers that hang on the sequence alone; says how its batches were.

    Args:
        memory: most padded tokens that fit into the pretended memory.
        dies_at: a file; if it is there, it is removed and the process ends at once, once.
    """

    def __init__(self, memory: int = 10**9, dies_at: str = "") -> None:
        self.tasks = TASKS
        self.batches: list[list[int]] = []
        self._memory, self._dies_at = memory, dies_at

    def identity(self) -> dict[str, Any]:
        return {"model": "of the tests"}

    def tokens(self, record: ProteinRecord) -> int:
        return len(record.protein) + 2

    def run(self, records: Sequence[ProteinRecord]) -> list[Sequence[Answer]]:
        lengths = [self.tokens(r) for r in records]
        self.batches.append(lengths)
        if len(lengths) * max(lengths) > self._memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if self._dies_at and Path(self._dies_at).exists():
            Path(self._dies_at).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [self._answer(r.protein.sequence) for r in records]

    def _answer(self, sequence: str) -> tuple[Answer, ...]:
        if len(sequence) > LONGEST:
            return (Answer.failed(f"longer than {LONGEST:,} residues"),) * len(self.tasks)
        if "WWWWW" in sequence:
            raise IndexError("five tryptophans")
        digest = hashlib.sha256(sequence.encode()).digest()
        weight = digest[2] / 7
        return (
            Answer(value="abc"[digest[0] % 3], confidence=digest[1] / 255),
            Answer(value=float("nan") if "MMMMM" in sequence else weight),
            Answer(value="".join("HEC"[ord(letter) % 3] for letter in sequence)),
            Answer(value=[i for i, letter in enumerate(sequence) if letter == "C"]),
        )


def job(source: Path, out: Path, *, shard_size: int = 1000, batch_tokens: int = 16_384,
        reader: dict[str, Any] | None = None, **options: Any) -> Job:  # fmt: skip
    """The job of a file."""
    files = FileSource(source, read_proteins, reader or {})
    return Job("test", files, Recipe(Worker, options), out, shard_size, batch_tokens)


def main() -> Outcome:
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--signal", type=int, default=0)
    parser.add_argument("--at-shards", type=int, default=0)
    parser.add_argument("--save-seconds", type=float, default=20.0)
    parser.add_argument("--ray", default="")
    given = parser.parse_args()
    made = job(given.input, given.out, shard_size=given.shard_size,
               batch_tokens=given.batch_tokens)  # fmt: skip
    if given.signal:
        signal_after(
            "save_unfinished",
            given.signal,
            lambda folder: len(folder.manifest.shards) >= given.at_shards,
        )
    stopped: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, handle)

    def stop() -> bool:
        return bool(stopped)

    cluster: Callable[..., Any] | None = None
    if given.ray:
        from sciar.jobs.cluster import RayExecutor

        cluster = partial(RayExecutor, job=made, address=given.ray, stop=stop, workers=2)
    return run(
        made, resume=given.resume, stop=stop, cluster=cluster, save_seconds=given.save_seconds
    )


if __name__ == "__main__":
    done = main()
    print(f"{done.records} {done.kept} {done.complete}")
    raise SystemExit(0 if done.good == done.rows else 3)
