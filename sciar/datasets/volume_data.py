"""From volumes to packs of random crops: the data of pretraining and of segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from sciar.datasets.readers import RecordFailure
from sciar.datasets.volume_augment import NOTHING, VolumeAugmentation
from sciar.datasets.volume_sources import Source, lattice, open_source, read_crops
from sciar.errors import RecordError, UsageError
from sciar.records import Crop
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.volume import VolumeTokenizer

_DRAWS = 20
"""How often a crop without any contrast is drawn anew."""


@dataclass(frozen=True, eq=False)
class LabelledPack(Pack):
    """Sequences of crops, with what their voxels belong to.

    Attributes:
        voxels: (B, Z, Y, X) float32 intensities between 0 and 1.
        objects: (B, Z, Y, X) int64 object of each voxel, 0 for none.
    """

    voxels: Tensor
    objects: Tensor

    def to(self, device: torch.device | str) -> LabelledPack:
        """The same on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return LabelledPack(**moved)

    def pin_memory(self) -> LabelledPack:
        """The same in pinned memory."""
        return LabelledPack(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Sample:
    """One crop: intensities and, if they are known, labels."""

    crop: Crop
    labels: np.ndarray | None


class RandomCrops:
    """Crops of several volumes; the i-th hangs on (seed, i) alone.

    Args:
        sources: volumes; a larger one is drawn from more often, by its number of voxels.
        shape: voxels of a crop.
        augmentation: what is done to them.
        seed: of all draws.

    Raises:
        UsageError: a volume is smaller than a crop.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shape: tuple[int, int, int],
        augmentation: VolumeAugmentation = NOTHING,
        seed: int = 0,
    ) -> None:
        self.sources, self.shape, self.augmentation = sources, shape, augmentation
        self.seed = seed
        for source in sources:
            if any(n < c for n, c in zip(source.raw.shape, shape, strict=True)):
                raise UsageError(
                    f"{source.raw.source}: {source.raw.shape} voxels are less than one crop of "
                    f"{shape}"
                )
        sizes = np.array([np.prod(s.raw.shape, dtype=np.float64) for s in sources])
        self._share = sizes / sizes.sum()

    def __getitem__(self, index: int) -> Sample:
        """One crop.

        Raises:
            RecordError: the volume is damaged there, or is constant wherever it was looked at.
        """
        rng = np.random.default_rng((self.seed, index))
        for _ in range(_DRAWS):
            source = self.sources[int(rng.choice(len(self.sources), p=self._share))]
            corner = [
                int(rng.integers(n - c + 1))
                for n, c in zip(source.raw.shape, self.shape, strict=True)
            ]
            found = self._cut(source, corner, rng)
            if found.crop.voxels.max() > found.crop.voxels.min():
                return found
        raise RecordError(
            f"{_DRAWS} crops in turn were black or constant", source=source.raw.source, field="raw"
        )

    def _cut(self, source: Source, corner: list[int], rng: np.random.Generator) -> Sample:
        margin, voxel = self.augmentation.margin, source.raw.voxel
        square = self.shape[1] == self.shape[2] and voxel[1] == voxel[2]
        raw = source.span(_with_margin(source.raw, corner, self.shape, margin))
        labels = None
        if source.labels is not None:
            labels = _with_margin(source.labels, corner, self.shape, margin).astype(np.int64)
        raw, labels = self.augmentation.geometry(raw, labels, square, rng)
        if self.augmentation is not NOTHING:
            raw = self.augmentation.intensity(raw, rng)
        return Sample(Crop(raw, voxel), labels)


def _with_margin(
    volume: Any, corner: list[int], shape: tuple[int, int, int], margin: int
) -> np.ndarray:
    """A block and what is around it along y and x; beyond the volume its last voxels go on."""
    begins = [corner[0], corner[1] - margin, corner[2] - margin]
    ends = [corner[0] + shape[0], *(corner[a] + shape[a] + margin for a in (1, 2))]
    inside = tuple(
        slice(max(0, b), min(n, e)) for b, e, n in zip(begins, ends, volume.shape, strict=True)
    )
    lacking = [(s.start - b, e - s.stop) for b, e, s in zip(begins, ends, inside, strict=True)]
    return np.pad(volume[inside], lacking, mode="edge")


class CropLoader:
    """Iterates packs of crops; its state says which comes next.

    Args:
        make: indices of crops -> a pack.
        count: crops of a pass, or ``None``: training, which never sees a crop twice.
        batch: crops a batch, over all processes.
        steps: batches of a pass of training.
        rank: this process.
        world: number of processes; each takes every ``world``-th crop of a batch.
    """

    def __init__(
        self,
        make: Callable[[Sequence[int]], Pack],
        count: int | None,
        batch: int,
        steps: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch < world:
            raise UsageError(f"a batch of {batch} crops does not reach {world} processes")
        self.make, self.count, self.batch = make, count, batch
        self.steps, self.rank, self.world = steps, rank, world
        self.done = 0

    def __len__(self) -> int:
        return self.steps if self.count is None else -(-self.count // self.batch)

    def __iter__(self) -> Iterator[Pack]:
        if self.count is not None:
            for first in range(0, self.count, self.batch):
                own = range(first + self.rank, min(first + self.batch, self.count), self.world)
                # A process without a crop at the end would leave the others waiting.
                yield self.make(own or [first])
            return
        for _ in range(self.steps):
            first = self.done * self.batch
            self.done += 1
            yield self.make(range(first + self.rank, first + self.batch, self.world))

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands."""
        return {"done": self.done, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved place.

        Raises:
            UsageError: the batches have another size now.
        """
        if int(state["batch"]) != self.batch:
            raise UsageError(f"the checkpoint counted batches of {state['batch']} crops")
        self.done = int(state["done"])


class VolumeData(L.LightningDataModule):
    """Random crops of volumes.

    Args:
        train: names of data sets (the split ``train``), ``NAME:PART``, paths, or ``tubes:SEED``.
        tokenizer: shape of crops and patches; its statistics are fitted on ``train``.
        val: likewise, the split ``val``; default: as ``train``. Crops side by side, as they are.
        test: likewise, the split ``test``.
        labelled: batches hold labels too, for segmentation.
        batch: crops a training batch, over all processes.
        steps: batches of a pass, after which Lightning counts an epoch.
        val_crops: most crops that are validated on, spread evenly.
        augmentation: of training crops; by default some of everything.
        voxel: size of a voxel along z, y, x in nm, for files that do not say it.
        dataset: array of the raw voxels in the files; default: ``raw``, or the only one.
        label_dataset: array of the labels; default: ``labels``.
        seed: of crops and augmentation.
    """

    def __init__(
        self,
        train: list[str],
        tokenizer: LayoutTokenizer,
        val: list[str] | None = None,
        test: list[str] | None = None,
        labelled: bool = False,
        batch: int = 8,
        steps: int = 100,
        val_crops: int = 32,
        augmentation: VolumeAugmentation | None = None,
        voxel: tuple[float, float, float] | None = None,
        dataset: str | None = None,
        label_dataset: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(tokenizer, VolumeTokenizer):
            raise UsageError(
                f"volumes are cut by a VolumeTokenizer, not {type(tokenizer).__name__}"
            )
        self.tokenizer: VolumeTokenizer = tokenizer
        self.names = {"train": train, "val": val or train, "test": test or val or train}
        self.labelled, self.batch, self.steps = labelled, batch, steps
        self.val_crops, self.seed = val_crops, seed
        self.augmentation = VolumeAugmentation() if augmentation is None else augmentation
        self.files = {"voxel": voxel, "dataset": dataset, "label_dataset": label_dataset}
        self._sources: dict[str, list[Source]] = {}
        self._loader: CropLoader | None = None

    def sources(self, split: str) -> list[Source]:
        """The volumes of a split."""
        if split not in self._sources:
            self._sources[split] = [
                open_source(name, split, self.labelled, **self.files)  # type: ignore[arg-type]
                for name in self.names[split]
            ]
        return self._sources[split]

    @cached_property
    def fitted_tokenizer(self) -> VolumeTokenizer:
        """The tokenizer with statistics of the training data."""
        plain = RandomCrops(self.sources("train"), self.tokenizer.grid.crop, seed=self.seed)
        self.tokenizer.fit_statistics(plain[i].crop for i in range(16))
        return self.tokenizer

    @property
    def counts(self) -> dict[str, int]:
        """Voxels of each split that was opened."""
        return {
            f"voxels {split}": sum(int(np.prod(s.raw.shape)) for s in sources)
            for split, sources in self._sources.items()
        }

    def packed(self, samples: Sequence[Sample], keys: Sequence[int]) -> Pack:
        """Samples as one pack."""
        packed = pack([self.fitted_tokenizer.encode(s.crop) for s in samples], keys)
        if not self.labelled:
            return packed
        voxels = torch.from_numpy(np.stack([s.crop.voxels for s in samples]))
        objects = torch.from_numpy(np.stack([s.labels for s in samples if s.labels is not None]))
        return LabelledPack(**vars(packed), voxels=voxels, objects=objects)

    def fixed(self, split: str) -> list[Sample]:
        """The crops of a split that are validated on, in order.

        Raises:
            UsageError: there is none.
        """
        shape, found, failed = self.tokenizer.grid.crop, [], []
        for source in self.sources(split):
            blocks = list(lattice(source.raw.shape, shape))
            for block, item in zip(blocks, read_crops(source, shape), strict=True):
                if isinstance(item, RecordFailure):
                    failed.append(str(item.error))
                else:
                    found.append((source, block))
        if not found:
            raise UsageError(
                f"{split}: no usable crop of {shape} in {self.names[split]} {failed[:1]}"
            )
        count = min(self.val_crops, len(found))
        chosen = np.linspace(0, len(found) - 1, count).round().astype(int)
        return [self._sample(*found[i]) for i in np.unique(chosen)]

    def _sample(self, source: Source, block: tuple[slice, ...]) -> Sample:
        labels = None if source.labels is None else source.labels[block].astype(np.int64)
        return Sample(source.crop(block), labels)

    def _processes(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> CropLoader:
        """An endless stream of random crops; resumable."""
        crops = RandomCrops(
            self.sources("train"), self.tokenizer.grid.crop, self.augmentation, self.seed
        )

        def make(indices: Sequence[int]) -> Pack:
            return self.packed([crops[i] for i in indices], list(indices))

        self._loader = CropLoader(make, None, self.batch, self.steps, *self._processes())
        return self._loader

    def _fixed_loader(self, split: str) -> CropLoader:
        samples = self.fixed(split)

        def make(indices: Sequence[int]) -> Pack:
            return self.packed([samples[i] for i in indices], list(indices))

        return CropLoader(make, len(samples), self.batch, 0, *self._processes())

    def val_dataloader(self) -> CropLoader:
        """Crops side by side, as they are."""
        return self._fixed_loader("val")

    def test_dataloader(self) -> CropLoader:
        """As validation, of the test volumes."""
        return self._fixed_loader("test")
