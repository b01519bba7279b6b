"""Parallel map over worker processes, where every single item has its own time limit.

An item that takes too long has its process killed (no alarm signals, which cannot interrupt
compiled code and depend on the main thread) and is reported as timed out; a crash of the worker is
reported as an error. The results do not depend on the number of processes.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tqdm import tqdm

from sciar.errors import SciarError, UsageError

_START_LIMIT = 300.0  # seconds for a fresh interpreter to import the chemistry libraries


@dataclass(frozen=True)
class Outcome:
    """What became of one item: a value, or an error text, or neither because time was up."""

    value: Any = None
    error: str | None = None
    timed_out: bool = False


class _Worker:
    """One child process and the pipe to it; restarted when it was killed."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._process: subprocess.Popen[bytes] | None = None
        self._killed_by_timer = False

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        path = [os.path.abspath(entry) for entry in sys.path]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sciar.evaluation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._write(self._process, path)
        self._write(self._process, self._function)
        if self._read(self._process, _START_LIMIT) is None:
            raise SciarError(
                "a worker process of the evaluation did not start; its message is above"
            )
        return self._process

    @staticmethod
    def _write(process: subprocess.Popen[bytes], message: Any) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(pickle.dumps(message))
            process.stdin.flush()
        except BrokenPipeError:
            pass  # the reader sees the end of the answers and reports it

    def _read(self, process: subprocess.Popen[bytes], limit: float | None) -> Any:
        """The next message, or ``None`` once the process has ended or was killed at ``limit``."""
        assert process.stdout is not None
        self._killed_by_timer = False

        def expire() -> None:
            self._killed_by_timer = True
            process.kill()

        timer = threading.Timer(limit, expire) if limit is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            return pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            return None
        finally:
            if timer is not None:
                timer.cancel()

    def run(self, items: Sequence[Any], limit: float | None) -> Iterator[Outcome]:
        """Outcomes in the order of ``items``; a killed process is replaced and work goes on."""
        done = 0
        while done < len(items):
            process = self._started()
            self._write(process, items[done:])
            while done < len(items):
                message = self._read(process, limit)
                done += 1
                if message is None:
                    process.kill()
                    code = process.wait()
                    yield self._ended(code)
                    break
                kind, content = message
                yield Outcome(value=content) if kind == "value" else Outcome(error=content)

    def _ended(self, code: int) -> Outcome:
        if self._killed_by_timer:
            return Outcome(timed_out=True)
        return Outcome(error=f"the worker process ended with exit code {code}")

    def close(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


class ProcessMap:
    """A pool that maps one importable function over items.

    Args:
        function: a module-level function of one picklable argument.
        jobs: number of worker processes, at least 1.
        timeout: seconds that one item may take, or ``None``. With ``jobs=1`` and no time limit
            the items run in this process.

    Raises:
        UsageError: for ``jobs`` below 1 or a time limit that is not positive.
    """

    def __init__(
        self, function: Callable[[Any], Any], *, jobs: int = 1, timeout: float | None = None
    ) -> None:
        if jobs < 1:
            raise UsageError(f"the number of processes (jobs) must be at least 1, got {jobs}")
        if timeout is not None and not timeout > 0:
            raise UsageError(f"the time limit must be positive seconds or None, got {timeout}")
        self._function, self._timeout = function, timeout
        here = jobs == 1 and timeout is None
        self._workers = [] if here else [_Worker(function) for _ in range(jobs)]

    def __enter__(self) -> ProcessMap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.close()

    def map(
        self, items: Sequence[Any], *, description: str = "", progress: bool = True
    ) -> list[Outcome]:
        """Outcomes in the order of ``items``."""
        bar = tqdm(
            total=len(items), desc=description, disable=None if progress else True, leave=False
        )
        with bar:
            if not self._workers:
                return [self._here(item, bar) for item in items]
            return self._spread(items, bar)

    def _here(self, item: Any, bar: Any) -> Outcome:
        try:
            outcome = Outcome(value=self._function(item))
        except Exception as error:  # one bad item becomes one error row
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        bar.update()
        return outcome

    def _spread(self, items: Sequence[Any], bar: Any) -> list[Outcome]:
        results: list[Outcome] = [Outcome()] * len(items)
        chunk = max(1, min(16, len(items) // (4 * len(self._workers))))
        starts: queue.SimpleQueue[int] = queue.SimpleQueue()
        for start in range(0, len(items), chunk):
            starts.put(start)
        lock, failures = threading.Lock(), list[BaseException]()

        def work(worker: _Worker) -> None:
            try:
                while not failures:
                    start = starts.get_nowait()
                    outcomes = worker.run(items[start : start + chunk], self._timeout)
                    for offset, outcome in enumerate(outcomes):
                        results[start + offset] = outcome
                        with lock:
                            bar.update()
            except queue.Empty:
                return
            except BaseException as error:  # handed to the calling thread below
                failures.append(error)

        needed = self._workers[: -(-len(items) // chunk)]
        threads = [threading.Thread(target=work, args=(w,), daemon=True) for w in needed]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return results
