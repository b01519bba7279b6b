"""The executor of a Ray cluster: one actor a worker, one shard a call.

Only records and answers travel; this process alone reads the input and writes the output, so the
nodes need SciAR and the model, but no shared folder. Ray starts an actor that died anew, on another
node if need be, and repeats its call; a shard is the same whoever answers it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sciar.errors import ModelError, UsageError
from sciar.jobs.batches import Answers, Budget, answer_all
from sciar.jobs.progress import Progress
from sciar.jobs.run import Chunk, Job
from sciar.jobs.worker import Recipe, Worker

RETRIES = 3
"""How often the call of a worker that died is repeated."""
_AHEAD = 2  # shards a worker has at hand, so that it need not wait for the next


class RayExecutor:
    """Works on a cluster; see :class:`sciar.jobs.run.Executor`.

    Args:
        worker: worker of this process; those of the cluster must be of the same identity.
        told: told of each finished shard.
        job: recipe and token budget of the workers.
        address: of the cluster, such as ``auto``, ``HOST:6379`` or ``ray://HOST:10001``;
            ``local`` starts one on this machine.
        stop: true hands out no more shards; those that are under way are finished.
        workers: how many; by default one a GPU, or one a CPU where there are no GPUs.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        worker: Worker,
        told: Progress,
        *,
        job: Job,
        address: str,
        stop: Callable[[], object],
        workers: int | None = None,
    ) -> None:
        self._identity, self._told, self._job = worker.identity(), told, job
        self._address, self._stop, self._count = address, stop, workers
        import_ray()

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Answers]]:
        """Shards in the order in which they are finished.

        Raises:
            ModelError: a worker cannot start, has another model, or dies again and again.
        """
        ray = import_ray()
        with _connected(self._address):
            actors = self._actors()
            free = [actor for _ in range(_AHEAD) for actor in actors]
            waiting: dict[Any, tuple[Any, Chunk]] = {}
            while True:
                while free and not self._stop():
                    chunk = next(chunks, None)
                    if chunk is None:
                        break
                    actor = free.pop(0)
                    waiting[actor.answer.remote(chunk.records)] = (actor, chunk)
                if not waiting:
                    return
                ready, _ = ray.wait(list(waiting), num_returns=1)
                actor, chunk = waiting.pop(ready[0])
                answers = self._take(ready[0], chunk)
                free.append(actor)
                self._told.add(len(answers), _bad(answers))
                yield chunk, answers

    def _actors(self) -> list[Any]:
        ray = import_ray()
        have = ray.cluster_resources()
        gpus = int(have.get("GPU", 0))
        number = self._count or gpus or int(have.get("CPU", 1))
        options = {"num_cpus": 1, "num_gpus": 1 if gpus else 0}
        made = ray.remote(_Actor).options(
            max_restarts=-1, max_task_retries=RETRIES, scheduling_strategy="SPREAD", **options
        )
        return [made.remote(self._job.recipe, self._job.batch_tokens) for _ in range(number)]

    def _take(self, reference: Any, chunk: Chunk) -> Answers:
        ray = import_ray()
        try:
            identity, answers = ray.get(reference)
        except ray.exceptions.ActorDiedError as error:
            raise ModelError(
                f"a Ray worker cannot start or dies again and again: {error}"
            ) from error
        except ray.exceptions.ActorUnavailableError as error:
            raise ModelError(
                f"a Ray worker died {RETRIES + 1} times on shard {chunk.index} "
                f"(records {chunk.ids[0]} to {chunk.ids[-1]}): {error}"
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise ModelError(f"a Ray worker failed: {error.cause!r}") from error
        if identity != self._identity:
            raise ModelError(
                f"a Ray worker has another model or other settings ({identity}) than this "
                f"process ({self._identity}); install the same model on every node"
            )
        return answers


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, recipe: Recipe, batch_tokens: int) -> None:
        self._worker, self._budget = recipe(), Budget(batch_tokens)

    def answer(self, records: dict[int, Any]) -> tuple[dict[str, Any], Answers]:
        """Identity of the worker, and its answers about the records of a shard."""
        found: Answers = {}
        for some in answer_all(self._worker, records, self._budget):
            found |= some
        return self._worker.identity(), found


def import_ray() -> Any:
    """Ray.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError('--ray needs Ray: pip install "sciar[ray]"') from error
    return ray


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster; one that exists already is used and left as it is."""
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _refuse_silence(address)
    handlers = _handlers()
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise UsageError(f"no Ray cluster at {address!r} ({error})") from error
    # Ray puts handlers of its own in place of those that end a job in good order.
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Ray itself tries for minutes to reach a host on which nobody listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(f"no Ray cluster at {address!r} ({error})") from error


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _bad(answers: Answers) -> int:
    return sum(not any(a.ok for a in one) for one in answers.values())
