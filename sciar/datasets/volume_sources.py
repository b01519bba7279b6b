"""From the names of volumes to voxels with one range of intensities, labels beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.preparing import source_path
from sciar.datasets.readers import RecordFailure
from sciar.datasets.registry import DATASETS
from sciar.datasets.tubes import tube_volumes
from sciar.datasets.volumes import Volume, Voxel, open_volume
from sciar.errors import RecordError, UsageError
from sciar.records import Crop, Record

Triple = tuple[int, int, int]
PERCENTILES = (0.1, 99.9)
_SAMPLED = 4_000_000
"""About so many voxels tell the range of a volume."""
_SECTIONS = 16
"""At least so many sections of it are looked at."""


@dataclass(frozen=True)
class Span:
    """The range of intensities of a volume: 0 and 1 of what models read.

    Robust percentiles, so that a few outliers do not take the contrast from the rest.
    """

    low: float
    high: float

    @classmethod
    def of(cls, volume: Volume) -> Span:
        """The range of a volume; of a large one, of evenly spread sections.

        Raises:
            UsageError: all voxels are equal, or hold no finite numbers.
        """
        sections, area = volume.shape[0], volume.shape[1] * volume.shape[2]
        wanted = min(sections, max(_SECTIONS, _SAMPLED // area))
        chosen = np.unique(np.linspace(0, sections - 1, wanted).round().astype(int))
        step = max(1, int((area * len(chosen) / _SAMPLED) ** 0.5))
        parts = [volume[z : z + 1, ::step, ::step].ravel() for z in map(int, chosen)]
        values = np.concatenate(parts).astype(np.float64)
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, PERCENTILES) if len(values) else (0.0, 0.0)
        if not high > low:
            raise UsageError(
                f"{volume.source}: all voxels are {low:g} (black or constant); nothing to learn"
            )
        return cls(float(low), float(high))

    def __call__(self, voxels: np.ndarray) -> np.ndarray:
        """Raw voxels -> float32 between 0 and 1."""
        scaled = (voxels.astype(np.float32) - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Source:
    """A volume to learn from.

    Attributes:
        raw: intensities as stored.
        span: their range.
        labels: object of each voxel (0: none), or ``None`` if not known or not wanted.
    """

    raw: Volume
    span: Span
    labels: Volume | None = None

    def crop(self, block: tuple[slice, ...]) -> Crop:
        """A block with intensities between 0 and 1."""
        return Crop(self.span(self.raw[block]), self.raw.voxel)


def open_source(
    name: str,
    split: str = "train",
    labelled: bool = False,
    voxel: Voxel | None = None,
    dataset: str | None = None,
    label_dataset: str | None = None,
) -> Source:
    """A volume by name.

    Args:
        name: a data set of microscopy (its ``split``), ``NAME:PART``, a path, or ``tubes:SEED``
            for artificial tissue (``tubes`` takes a seed of its own for each split).
        split: of a data set.
        labelled: labels are needed.
        voxel: size of a voxel along z, y, x in nm, where the file does not say it.
        dataset: array of the raw voxels in the file; default: ``raw``, or the only one.
        label_dataset: array of the labels; default ``labels``, or ``neuron_ids`` of CREMI.

    Raises:
        UsageError: unknown, not on this machine, unreadable, without labels, or constant.
    """
    if name.partition(":")[0] == "tubes":
        given = name.partition(":")[2]
        seeds = {"train": 1, "val": 2, "test": 3}
        raw, labels = tube_volumes(int(given) if given else seeds.get(split, 4))
        return Source(raw, Span.of(raw), labels if labelled else None)
    path = source_path(name, split)
    size = voxel or _known_size(path)
    raw = _array(path, [dataset] if dataset else ["raw", "volumes/raw", None], size)
    if not labelled:
        return Source(raw, Span.of(raw))
    labels = open_labels(name, split, size, label_dataset)
    if labels.shape != raw.shape:
        raise UsageError(
            f"{labels.source}: labels of shape {labels.shape} for an image of shape {raw.shape}"
        )
    return Source(raw, Span.of(raw), labels)


def open_labels(
    name: str, split: str, voxel: Voxel | None = None, dataset: str | None = None
) -> Volume:
    """The labels of a volume; arguments as for :func:`open_source`.

    Raises:
        UsageError: there are none, or they are no integers.
    """
    path = source_path(name, split)
    usual: list[str | None] = ["labels", "volumes/labels/neuron_ids", "segmentation"]
    labels = _array(path, [dataset] if dataset else usual, voxel or _known_size(path))
    if labels.dtype.kind not in "iu":
        raise UsageError(f"{labels.source}: labels are {labels.dtype}, not integers")
    return labels


def _known_size(path: Path) -> Voxel | None:
    """The size of a voxel that the register has for a file of one of its sets."""
    entry = DATASETS.get(path.parent.name)
    return entry.voxel if entry is not None and path.parent.parent.name == "em" else None


def _array(path: Path, names: list[str | None], voxel: Voxel | None) -> Volume:
    """The first array of these names."""
    missing: UsageError | None = None
    for name in names:
        try:
            return open_volume(path, name, voxel)
        except UsageError as error:
            if "no array" not in str(error):
                raise
            missing = missing or error
    assert missing is not None
    raise missing


def lattice(shape: tuple[int, ...], crop: Triple) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks side by side from the first voxel on; what is left at the ends is not covered."""
    counts = [n // c for n, c in zip(shape, crop, strict=True)]
    for index in np.ndindex(*counts):
        z, y, x = (slice(i * c, (i + 1) * c) for i, c in zip(index, crop, strict=True))
        yield z, y, x


def read_crops(source: Source, crop: Triple) -> Iterator[Record | RecordFailure]:
    """The crops of a volume side by side, as records; failures in the place of bad ones.

    A crop whose voxels are all equal (a missing section, a black border) is a failure too.
    """
    for index, block in enumerate(lattice(source.raw.shape, crop)):
        id = ",".join(f"{s.start}:{s.stop}" for s in block)
        try:
            found = source.crop(block)
            if found.voxels.min() == found.voxels.max():
                raise RecordError("all voxels are equal", field="raw")
        except RecordError as error:
            located = error.located(source=source.raw.source, record=id)
            yield RecordFailure(id, source.raw.source, index, located)
            continue
        # Volumes are structures of their own kind, like programs: not atoms, which the type names.
        structure: Any = found
        yield Record(id, structure, source=source.raw.source, index=index)
