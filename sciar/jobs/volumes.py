"""Segmentation of volumes larger than memory: one job a stage, in a store that is gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sciar.errors import UsageError
from sciar.jobs.progress import Progress
from sciar.jobs.run import Job, Outcome, run
from sciar.jobs.volume_plan import JOBS, STAGES, BlockSource, VolumePlan
from sciar.jobs.volume_stages import Stage
from sciar.jobs.volume_store import create
from sciar.jobs.worker import Recipe

_FILES = 256
"""Most files of rows of a stage."""


@dataclass
class Segmented:
    """What became of a segmentation.

    Attributes:
        stages: name -> outcome, of the stages that were begun.
    """

    stages: dict[str, Outcome] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every stage went through all blocks."""
        return len(self.stages) == len(STAGES) and all(o.complete for o in self.stages.values())

    @property
    def bad(self) -> int:
        """Blocks that failed in any stage."""
        return sum(o.bad for o in self.stages.values())

    @property
    def good(self) -> int:
        """Blocks that have their segments."""
        last = self.stages.get(STAGES[-1])
        predicted = self.stages.get(STAGES[0])
        return min(last.good, predicted.good) if last and predicted else 0


def segment_volume(
    plan: VolumePlan,
    out: Path,
    *,
    resume: bool = False,
    stop: Callable[[], object] = lambda: False,
    progress: Callable[[str], Progress | None] = lambda stage: None,
    ray: str = "",
    ray_workers: int | None = None,
    device: str = "auto",
) -> Segmented:
    """Segment a volume into a Zarr store, or go on with it.

    Args:
        plan: what is to be done.
        out: the store.
        resume: a store of the same volume and model may be gone on with. Stages whose settings have
            changed, and those after them, are done anew.
        stop: asked after every block.
        progress: stage -> what is told of it.
        ray: address of a Ray cluster whose nodes reach the volume, the model and the store under
            the same paths; empty: this process.
        ray_workers: how many workers there.
        device: where the network runs.

    Raises:
        UsageError: the store holds something else, or this and ``resume`` is not set; a library is
            missing.
        ModelError: the model cannot work.
    """
    found = VolumePlan.load(out)
    if found is None and out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: holds other files and no segmentation; choose a new folder")
    if found is not None:
        plan.check(found, out)
        if not resume:
            raise UsageError(
                f"{out}: holds this segmentation, or a part of it; give --resume to go on, or "
                "another --out"
            )
    create(out, plan)
    plan.save(out)
    for stage in STAGES:
        _forget(out, stage, plan.fingerprint(stage))
    done = Segmented()
    for stage in STAGES:
        source = BlockSource(plan, whole=stage == "merge")
        job = Job(
            name=f"segment {stage}",
            source=source,
            recipe=Recipe(Stage, {"out": str(out), "stage": stage, "device": device}),
            out=_folder(out, stage, plan.fingerprint(stage)),
            shard_size=max(1, -(-source.count() // _FILES)),
            batch_tokens=1,
        )
        cluster: Callable[..., Any] | None = None
        if ray and stage != "merge":
            from sciar.jobs.cluster import RayExecutor

            cluster = partial(RayExecutor, job=job, address=ray, stop=stop, workers=ray_workers)
        outcome = run(job, resume=True, stop=stop, progress=progress(stage), cluster=cluster)
        done.stages[stage] = outcome
        if not outcome.complete or not outcome.good:
            break
    return done


def _folder(out: Path, stage: str, fingerprint: str) -> Path:
    return out / JOBS / f"{stage}-{fingerprint}"


def _forget(out: Path, stage: str, fingerprint: str) -> None:
    """Rows of the stage with other settings: its arrays are about to be overwritten."""
    for old in (out / JOBS).glob(f"{stage}-*"):
        if old.name != f"{stage}-{fingerprint}":
            shutil.rmtree(old)
