"""The same job on a Ray cluster of two nodes on this machine, with a worker killed under way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from protein_files import write_fasta
from protein_job import Worker, job

from sciar.errors import ModelError, UsageError
from sciar.jobs import Job, Recipe, run
from sciar.jobs.cluster import RayExecutor

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sciar.datasets.readers.DuplicateIdWarning"),
]
ROOT = Path(__file__).resolve().parents[3]
SIZES = {"shard_size": 50, "batch_tokens": 2048}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = (ROOT, ROOT / "tests" / "support")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "proteins.fasta"
    write_fasta(path, 600, bad_every=50)
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def on(address: str, made: Job, **options: Any) -> Any:
    stop = options.pop("stop", lambda: False)
    cluster = partial(RayExecutor, job=made, address=address, stop=stop)
    return run(made, cluster=cluster, stop=stop, **options)


def test_same_bytes_with_a_worker_killed(address: str, proteins: Path, tmp_path: Path) -> None:
    run(job(proteins, tmp_path / "here", **SIZES))
    killer = tmp_path / "killer"
    killer.touch()
    made = job(proteins, tmp_path / "there", dies_at=str(killer), **SIZES)
    outcome = on(address, made)
    assert not killer.exists() and outcome.complete and outcome.records == 600
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


def test_stopped_there_and_resumed_here(address: str, proteins: Path, tmp_path: Path) -> None:
    run(job(proteins, tmp_path / "here", **SIZES))
    made = job(proteins, tmp_path / "there", **SIZES)

    def stop() -> bool:
        # Any shard: a worker that starts late may have the second one to the very end.
        return any((tmp_path / "there").glob("part-*.parquet"))

    first = on(address, made, stop=stop)
    assert not first.complete and 0 < first.records < 600
    second = run(made, resume=True)
    assert second.complete and second.kept * 50 == first.records
    assert bytes_of(tmp_path / "there") == bytes_of(tmp_path / "here")


class Other(Worker):
    """Another model on every node."""

    def identity(self) -> dict[str, Any]:
        return {"model": str(os.getpid())}


class Missing(Worker):
    """A model that only this process has."""

    def __init__(self, owner: int) -> None:
        if os.getpid() != owner:
            raise ModelError("models/mine: no such model")
        super().__init__()


def test_workers_that_cannot_be_used(address: str, proteins: Path, tmp_path: Path) -> None:
    for recipe, message in (
        (Recipe(Other), "another model or other settings"),
        (Recipe(Missing, {"owner": os.getpid()}), "models/mine: no such model"),
    ):
        made = job(proteins, tmp_path / "out", **SIZES)
        made = Job("test", made.source, recipe, made.out)
        with pytest.raises(ModelError, match=message):
            on(address, made, resume=True)
        for file in (tmp_path / "out").iterdir():
            file.unlink()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster(address: str, proteins: Path, tmp_path: Path) -> None:
    made = job(proteins, tmp_path / "out", **SIZES)
    with pytest.raises(UsageError, match=r"no Ray cluster at .* refused"):
        on(address, made)


def test_without_ray(proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "sciar\[ray\]"'):
        on("auto", job(proteins, tmp_path / "out", **SIZES))
