"""The output folder of a job: refused if it is another's, gone on with if it is this one's.

A shard is written under a temporary name, renamed, and only then named in the manifest. What is
not in the manifest, or has another hash than it says, is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any

from sciar.datasets.files import replace_file, unwritable
from sciar.errors import UsageError
from sciar.jobs import manifest
from sciar.jobs.batches import Answers
from sciar.jobs.manifest import Manifest, Shard
from sciar.jobs.rows import OK, Answer, Row
from sciar.jobs.table import encode


class OutputFolder:
    """A context that owns the folder: a second job in it is refused as long as one runs.

    Args:
        path: the folder; made if it does not exist.
        job: facts that fix the rows and their division into shards.
        tasks: name -> kind of its values.
        resume: go on with a job of the same facts.

    Raises:
        UsageError: on entering: the folder holds something else, another job, or, without
            ``resume``, this one.

    Attributes:
        remade: names of shards that were listed, but missing or changed.
    """

    def __init__(
        self, path: Path, job: dict[str, Any], tasks: Mapping[str, str], resume: bool
    ) -> None:
        self.path, self._tasks, self._resume = Path(path), tasks, resume
        self.manifest = Manifest(job)
        self.remade: list[str] = []
        self._lock = -1

    def __enter__(self) -> OutputFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open(self) -> None:
        found = Manifest.load(self.path)
        if found is None:
            self._clean()
            strangers = [p.name for p in self.path.iterdir()]
            if strangers:
                raise UsageError(
                    f"{self.path}: holds other files ({strangers[0]}) and no job; "
                    "choose a new or empty folder"
                )
            self.manifest.save(self.path)
            return
        differences = found.differences(self.manifest.job)
        if differences:
            raise UsageError(
                f"{self.path}: holds the rows of another job ({'; '.join(differences[:3])}); "
                "choose another --out"
            )
        if not self._resume:
            state = "this job, finished" if found.complete else "a part of this job"
            raise UsageError(
                f"{self.path}: holds {state} already; give --resume to go on, or another --out"
            )
        self._clean()
        self.manifest.shards = {i: s for i, s in found.shards.items() if self._intact(s)}
        self.manifest.complete = found.complete and not self.remade
        for index in self.manifest.shards:
            self._unfinished(index).unlink(missing_ok=True)

    def _clean(self) -> None:
        """Temporary files of a process that was killed."""
        for pattern in (".part-*.tmp", "..part-*.tmp", f".{manifest.NAME}.*.tmp"):
            for stale in self.path.glob(pattern):
                stale.unlink(missing_ok=True)

    def _intact(self, shard: Shard) -> bool:
        path = self.path / shard.file
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256:
            return True
        self.remade.append(shard.file)
        return False

    def has(self, index: int) -> bool:
        """Whether a shard is finished."""
        return index in self.manifest.shards

    def add(self, index: int, ids: Sequence[str], answers: Answers) -> Shard:
        """Write a shard: one answer a task for each record, in order.

        Raises:
            UsageError: no space, no permission; nothing is left behind.
        """
        rows = [
            Row(id, task, a.status, a.value, a.confidence, a.message)
            for i, id in enumerate(ids)
            for task, a in zip(self._tasks, answers[i], strict=True)
        ]
        data = encode(rows, self._tasks, self.manifest.fingerprint)
        name = _name(index)
        replace_file(self.path / name, data)
        shard = Shard(
            file=name,
            sha256=hashlib.sha256(data).hexdigest(),
            records=len(ids),
            bad=sum(not any(a.ok for a in one) for one in answers.values()),
            failed={t: sum(r.status != OK for r in rows if r.task == t) for t in self._tasks},
        )
        self.manifest.shards[index] = shard
        self.manifest.save(self.path)
        self._unfinished(index).unlink(missing_ok=True)
        return shard

    def finish(self) -> None:
        """There are no more records."""
        if not self.manifest.complete:
            self.manifest.complete = True
            self.manifest.save(self.path)

    def save_unfinished(self, index: int, answers: Answers) -> None:
        """Keep the answers of a shard that is not complete, for when the job goes on."""
        content = {str(i): [astuple(a) for a in one] for i, one in answers.items()}
        text = json.dumps(content, ensure_ascii=True, allow_nan=False)
        replace_file(self._unfinished(index), text.encode())

    def unfinished(self, index: int) -> Answers:
        """What :meth:`save_unfinished` kept."""
        try:
            content = json.loads(self._unfinished(index).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {int(i): tuple(Answer(*a) for a in one) for i, one in content.items()}

    def _unfinished(self, index: int) -> Path:
        return self.path / f".{_name(index)}.unfinished"


def _name(index: int) -> str:
    return f"part-{index:06d}.parquet"


def _lock(folder: Path) -> int:
    """A lock that the system gives back when the process ends, however it ends."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UsageError(f"{folder}: another process is writing to it") from error
    except OSError:
        with suppress(OSError):  # a file system without locks: nothing can be held
            os.close(handle)
        return -1
    return handle
