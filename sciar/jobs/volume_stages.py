"""The stages of a segmentation as jobs over blocks: predict, fragments, edges, merge, relabel.

A stage reads what the stages before it have written to the store and writes the cores of its own
blocks, then its row; so a block whose row is there is done, and one that was interrupted is done
again with the same bytes. Rows hold checksums.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.files import replace_file
from sciar.errors import UsageError
from sciar.jobs.rows import Answer
from sciar.jobs.volume_plan import JOBS, BlockRecord, VolumePlan
from sciar.jobs.volume_store import AFFINITIES, FRAGMENTS, SEGMENTATION, array, checksum
from sciar.segmentation.agglomerate import agglomerate
from sciar.segmentation.blocks import (
    edges_of,
    fragments_of,
    numbered,
    predicted,
    relabelled,
)
from sciar.segmentation.graph import Edges


class Stage:
    """A worker of one stage; see :class:`sciar.jobs.worker.Worker`.

    Args:
        out: the store, which every worker reaches under this path.
        stage: name.
        device: where a network runs.

    Raises:
        UsageError: the store has no plan.
    """

    def __init__(self, out: str, stage: str, device: str = "auto") -> None:
        self.out, self.stage, self.device = Path(out), stage, device
        plan = VolumePlan.load(self.out)
        if plan is None:
            raise UsageError(f"{out}: no plan of a segmentation")
        self.plan = plan
        self.tasks = {"block": "text"}
        # A model that is missing or damaged is told before the work begins.
        if stage == "predict":
            _ = self._segmenter

    def identity(self) -> dict[str, Any]:
        """Fingerprint of the stage and of all that it hangs on."""
        return {"stage": self.stage, "fingerprint": self.plan.fingerprint(self.stage)}

    def tokens(self, record: BlockRecord) -> int:
        """Blocks are worked on one by one."""
        return 1

    def run(self, records: Sequence[BlockRecord]) -> list[list[Answer]]:
        """The checksum of what each block has become."""
        work = getattr(self, f"_{self.stage}")
        return [[Answer(value=work(record.index))] for record in records]

    def _predict(self, index: int) -> str:
        volume, span = self._volume
        core, voxel = self.plan.blocks.core(index), self.plan.voxel
        found = predicted(
            core, self.plan.windows, lambda b: span(volume[b]), lambda w: self._segmenter(w, voxel)
        )
        array(self.out, AFFINITIES)[:, *core] = found
        return checksum(found)

    def _fragments(self, index: int) -> str:
        blocks = self.plan.blocks
        found, count = fragments_of(
            blocks, index, array(self.out, AFFINITIES, "r"), self.plan.watershed
        )
        array(self.out, FRAGMENTS)[blocks.core(index)] = found
        return f"{checksum(found)} {count} fragments"

    def _edges(self, index: int) -> str:
        edges, own = edges_of(
            self.plan.blocks,
            index,
            array(self.out, AFFINITIES, "r"),
            array(self.out, FRAGMENTS, "r"),
        )
        data = _packed(
            pairs=edges.pairs.astype(np.uint64), count=edges.count, total=edges.total, own=own
        )
        replace_file(_table(self.out, index), data)
        return f"{checksum(np.frombuffer(data, np.uint8))} {len(edges)} edges"

    def _merge(self, index: int) -> str:
        edges, ids = graph_of(self.out, self.plan)
        segments = numbered(agglomerate(edges, ids, self.plan.threshold))
        for name, content in (("fragments", ids), ("segments", segments)):
            replace_file(self.out / JOBS / f"{name}.npy", _npy(content))
        return f"{checksum(segments)} {int(segments.max(initial=0))} segments"

    def _relabel(self, index: int) -> str:
        core = self.plan.blocks.core(index)
        known, segments = self._lookup
        found = relabelled(array(self.out, FRAGMENTS, "r")[core], known, segments)
        array(self.out, SEGMENTATION)[core] = found
        return checksum(found)

    @cached_property
    def _volume(self) -> Any:
        return self.plan.open()

    @cached_property
    def _segmenter(self) -> Any:
        from sciar.api.segment import Segmenter

        return Segmenter(self.plan.model, self.device)

    @cached_property
    def _lookup(self) -> tuple[np.ndarray, np.ndarray]:
        known, segments = (
            np.load(self.out / JOBS / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("fragments", "segments")
        )
        return known, segments


def graph_of(out: Path, plan: VolumePlan) -> tuple[Edges, np.ndarray]:
    """The graph of the whole volume and the ids of its fragments, rising."""
    own: list[np.ndarray] = []

    def tables() -> Iterator[Edges]:
        for index in range(len(plan.blocks)):
            try:
                with np.load(_table(out, index), allow_pickle=False) as found:
                    own.append(found["own"])
                    yield Edges(found["pairs"], found["count"], found["total"])
            except FileNotFoundError:
                continue  # the block could not be read; its row says why

    edges = Edges.merged(tables())
    return edges, np.concatenate(own) if own else np.zeros(0, np.uint64)


def _table(out: Path, index: int) -> Path:
    return out / JOBS / "tables" / f"{index:08d}.npz"


def _packed(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _npy(content: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=False)
    return stream.getvalue()
