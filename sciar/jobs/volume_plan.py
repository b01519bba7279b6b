"""What is to be done to a volume, written down before anything is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.files import write_json
from sciar.datasets.volume_sources import Span
from sciar.datasets.volumes import Volume, Voxel, open_volume
from sciar.errors import UsageError
from sciar.segmentation.blocks import Blocks
from sciar.segmentation.fragments import Watershed
from sciar.segmentation.windows import Triple, Windows

JOBS = ".jobs"
PLAN = "plan.json"
STAGES = ("predict", "fragments", "edges", "merge", "relabel")
_OWN = {
    "predict": ("step",),
    "fragments": ("halo", "flat", "boundary", "smooth"),
    "edges": (),
    "merge": ("threshold",),
    "relabel": (),
}
"""Settings of each stage; a change makes it and the later stages anew, and leaves those before."""


@dataclass(frozen=True)
class VolumePlan:
    """Facts and settings of one segmentation; the first nine cannot change.

    Attributes:
        path: file of the volume, and ``dataset`` in it ("" for the only one).
        shape, voxel: of the volume, voxels and nm.
        digest: of blocks spread over the volume; tells another volume from this one.
        span: intensities that are 0 and 1.
        model: name or folder of the model, and ``sha256`` of its configuration.
        window: voxels that the model sees at once.
        block: voxels of the core of a block.
        step: from one window to the next.
        halo: voxels around a core that fragments see.
        flat, boundary, smooth: see :class:`~sciar.segmentation.fragments.Watershed`.
        threshold: of agglomeration.
    """

    path: str
    dataset: str
    shape: Triple
    voxel: Voxel
    digest: str
    span: tuple[float, float]
    model: str
    sha256: str
    window: Triple
    block: Triple
    step: Triple
    halo: Triple
    flat: bool
    boundary: float
    smooth: float
    threshold: float

    @property
    def blocks(self) -> Blocks:
        """How the volume is cut."""
        return Blocks(self.shape, self.block, self.halo)

    @property
    def windows(self) -> Windows:
        """Where the model looks."""
        return Windows(self.shape, self.window, self.step)

    @property
    def watershed(self) -> Watershed:
        """How fragments are cut."""
        return Watershed(self.flat, self.boundary, self.smooth)

    def open(self) -> tuple[Volume, Span]:
        """The volume and its range of intensities."""
        return open_volume(Path(self.path), self.dataset or None, self.voxel), Span(*self.span)

    def fixed(self) -> dict[str, Any]:
        """Facts that another use of the same store must share."""
        names = ("shape", "voxel", "digest", "sha256", "window", "block")
        return {name: _plain(getattr(self, name)) for name in names}

    def fingerprint(self, stage: str) -> str:
        """Eight hex digits of all that the result of a stage hangs on."""
        facts = self.fixed()
        for name in STAGES[: STAGES.index(stage) + 1]:
            facts |= {setting: _plain(getattr(self, setting)) for setting in _OWN[name]}
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def save(self, out: Path) -> None:
        """Into a store."""
        write_json(out / JOBS / PLAN, asdict(self))

    @classmethod
    def load(cls, out: Path) -> VolumePlan | None:
        """Of a store; ``None`` if it has none.

        Raises:
            UsageError: damaged.
        """
        path = out / JOBS / PLAN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{f.name: _tupled(content[f.name]) for f in fields(cls)})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: damaged ({error!r}); choose another --out") from error

    def check(self, other: VolumePlan, out: Path) -> None:
        """Refuse to go on in a store of something else.

        Raises:
            UsageError: with the first differences.
        """
        here, there = self.fixed(), other.fixed()
        different = [f"{k} is {there[k]} there and {v} here" for k, v in here.items()
                     if there[k] != v]  # fmt: skip
        if different:
            raise UsageError(
                f"{out}: holds another volume or another cut of it ({'; '.join(different[:3])}); "
                "choose another --out"
            )


def digest_of(volume: Volume) -> str:
    """Sixteen hex digits of shape, type, voxel size and up to 27 spread blocks of a volume.

    A digest of all voxels would cost a pass over a volume that may be terabytes.
    """
    found = hashlib.sha256(repr((volume.shape, str(volume.dtype), volume.voxel)).encode())
    edge = 32
    starts = [sorted({0, max(0, n // 2 - edge // 2), max(0, n - edge)}) for n in volume.shape]
    for z in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                part = volume[z : z + edge, y : y + edge, x : x + edge]
                found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class BlockRecord:
    """One block as a record of a job.

    Attributes:
        id: of its first voxel, for readers of messages.
        index: its number.
    """

    id: str
    index: int


@dataclass(frozen=True)
class BlockSource:
    """The blocks of a volume, or one record for what is done to all of them together."""

    plan: VolumePlan
    whole: bool = False

    def facts(self) -> dict[str, Any]:
        """Name and digest of the volume."""
        return {"name": Path(self.plan.path).name, "digest": self.plan.digest}

    def count(self) -> int:
        """Blocks."""
        return 1 if self.whole else len(self.plan.blocks)

    def records(self) -> Iterator[BlockRecord]:
        """Blocks in Morton order."""
        if self.whole:
            yield BlockRecord("all", 0)
            return
        blocks = self.plan.blocks
        for index in blocks.order():
            corner = ",".join(str(s.start) for s in blocks.core(index))
            yield BlockRecord(corner, index)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
