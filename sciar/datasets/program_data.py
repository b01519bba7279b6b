"""From makers and made folders to packs of observations with their programs.

Pictures are turned into tokens when their batch is packed: what is kept of a data set are its bytes
(memory-mapped, if there is a cache), not the payloads, which are four times as large. A maker may
also work on the fly; then every pass over the data has fresh pictures, up to ``copies`` passes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sciar.datasets.batching import PackedLoader
from sciar.datasets.datamodule import StructureData
from sciar.datasets.makers.base import Picture
from sciar.datasets.makers.registry import MAKERS, maker_of
from sciar.datasets.makers.shards import Job, note_of, read_pictures
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.programs.observed import Observed, ObservedProgramTokenizer

_STATISTICS = 1000
"""Most programs that the statistics of numbers are taken from."""


@dataclass(frozen=True)
class Pictures:
    """Where pictures with programs come from.

    Attributes:
        data: a folder that ``sciar data make`` wrote, or the name of a maker, which then works on
            the fly.
        split: of the maker; default: its first, which is for training.
        count: pictures of a pass; of a folder, its first ones (0: all).
        seed: of a maker on the fly.
        options: of a maker on the fly.
    """

    data: str
    split: str = ""
    count: int = 0
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)


class _Source(Protocol):
    count: int
    lasting: bool

    def picture(self, index: int, copy: int) -> Picture: ...


class _OnTheFly:
    """Pictures of a maker, each made when it is asked for."""

    lasting = False

    def __init__(self, given: Pictures) -> None:
        if given.count < 1:
            raise UsageError(f"{given.data}: a maker on the fly needs a count of pictures a pass")
        maker = maker_of(given.data, given.options)
        self.count = given.count
        self.job = Job(maker, given.split or maker.splits[0], given.count, given.seed)
        self.facts = {"maker": maker.name, "version": maker.version, "options": maker.options()}

    def picture(self, index: int, copy: int) -> Picture:
        return self.job.picture(copy * self.count + index)


class _Made:
    """Pictures of a folder; with a cache they are unpacked into it once and memory-mapped."""

    lasting = True

    def __init__(self, given: Pictures, cache: Path | None) -> None:
        folder = Path(given.data)
        if given.options or given.split:
            raise UsageError(f"{folder}: options and split of a made folder are fixed")
        note = note_of(folder)
        self.facts = {k: note[k] for k in ("maker", "version", "options")}
        self.count = min(given.count or note["count"], note["count"])
        if cache is None:
            made = list(read_pictures(folder))[: self.count]
            self.programs = [p.program for p in made]
            self.images: Sequence[np.ndarray] = [p.image for p in made]
        else:
            self.programs, self.images = _unpacked(folder, note, cache)

    def picture(self, index: int, copy: int) -> Picture:
        return Picture(np.asarray(self.images[index]), self.programs[index])


def _unpacked(
    folder: Path, note: dict[str, Any], cache: Path
) -> tuple[list[Program], Sequence[np.ndarray]]:
    """Programs, and images as one memory-mapped array, which is written at first use."""
    stamp = sorted((p.name, p.stat().st_size) for p in folder.glob("*.npz"))
    digest = hashlib.sha256(json.dumps([note, stamp], sort_keys=True).encode()).hexdigest()[:24]
    images, programs = cache / f"pictures-{digest}.npy", cache / f"pictures-{digest}.json"
    if not programs.exists():
        cache.mkdir(parents=True, exist_ok=True)
        texts: list[Any] = []
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as scratch:
            out: np.memmap | None = None
            for i, picture in enumerate(read_pictures(folder)):
                if out is None:
                    shape = (note["count"], *picture.image.shape)
                    path = Path(scratch) / "images.npy"
                    out = np.lib.format.open_memmap(path, "w+", picture.image.dtype, shape)
                out[i] = picture.image
                texts.append([[c.name, dict(c.arguments)] for c in picture.program.calls])
            assert out is not None
            out.flush()
            os.replace(Path(scratch) / "images.npy", images)
            listed = Path(scratch) / "programs.json"
            listed.write_text(json.dumps(texts), encoding="utf-8")
            # The programs come last: images without them are not used.
            os.replace(listed, programs)
    rows = json.loads(programs.read_text(encoding="utf-8"))
    found = [Program(tuple(Call(name, given) for name, given in calls)) for calls in rows]
    return found, np.load(images, mmap_mode="r")  # type: ignore[return-value]


class ObservedSet:
    """Observations with programs, encoded when they are packed; see ``batching.Packed``.

    Args:
        sources: where they come from.
        tokenizer: fitted.
        copies: passes over the data that differ: fresh pictures of makers, other views of programs.
        seed: of the views.

    Attributes:
        orders: record -> order of its calls, where it is not that of the source.
    """

    def __init__(
        self,
        sources: Sequence[_Source],
        tokenizer: ObservedProgramTokenizer,
        copies: int = 1,
        seed: int = 0,
    ) -> None:
        self.sources, self.tokenizer, self.copies, self.seed = sources, tokenizer, copies, seed
        self.starts = np.cumsum([0, *(source.count for source in sources)])
        self.orders: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def lasting(self) -> bool:
        """Whether a record is the same picture in every pass."""
        return all(source.lasting for source in self.sources)

    def lengths(self, copy: int = 0) -> np.ndarray:
        """(N,) most tokens of each record: what it really has is known when it is made."""
        return np.full(len(self), self.tokenizer.longest)

    def picture(self, record: int, copy: int = 0) -> Picture:
        """One picture of a pass."""
        source = int(np.searchsorted(self.starts, record, side="right")) - 1
        return self.sources[source].picture(int(record - self.starts[source]), copy)

    def pack(self, records: np.ndarray, copy: int = 0) -> Pack:
        """The given records as one pack; their index is their key.

        Raises:
            RecordError: a picture or a program that the tokenizer does not take.
        """
        return pack([self._encoded(int(r), copy) for r in records], [int(r) for r in records])

    def _encoded(self, record: int, copy: int) -> Any:
        made = self.picture(record, copy)
        program = made.program
        if record in self.orders:
            program = Program(tuple(program.calls[i] for i in self.orders[record]))
        rng = np.random.default_rng((self.seed, record, copy)) if self.copies > 1 else None
        try:
            return self.tokenizer.encode(Observed(program, made.image), augment=rng)  # type: ignore[arg-type]
        except RecordError as error:
            raise error.located(record=made.id or f"picture {record}") from error


class ProgramData(StructureData):
    """Observations with programs, from makers or folders, as packed batches.

    Args:
        train: where they come from.
        tokenizer: turns them into tokens; its statistics are fitted on ``train``.
        val: for validation; default: as ``train``.
        test: for testing; default: as ``val``.
        batch_tokens: tokens a training batch, over all processes, counted at the longest sequence
            that there can be.
        copies: passes over the training data that differ, with fresh pictures of makers and other
            views of the programs; then they repeat.
        limit: use only the first pictures of each source (for trials).
        cache: folder for unpacked pictures; ``None`` keeps them in memory.
        seed: of shuffling and views.
    """

    tokenizer: ObservedProgramTokenizer

    def __init__(
        self,
        train: list[Pictures],
        tokenizer: ObservedProgramTokenizer,
        val: list[Pictures] | None = None,
        test: list[Pictures] | None = None,
        batch_tokens: int = 4096,
        copies: int = 1,
        limit: int | None = None,
        cache: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            [], tokenizer, batch_tokens=batch_tokens, copies=copies, limit=limit, cache=cache,
            seed=seed,
        )  # fmt: skip
        self.pictures = {"train": train, "val": val or train, "test": test or val or train}
        self._sets: dict[str, ObservedSet] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """What the model folder keeps: the simulator that programs can be drawn by."""
        made = self._sources("train")[0]
        return {"simulator": made.facts}

    def _sources(self, split: str) -> list[Any]:
        made: list[Any] = []
        for given in self.pictures[split]:
            count = given.count if self.limit is None else min(given.count or 10**9, self.limit)
            given = Pictures(given.data, given.split, count, given.seed, given.options)
            flying = given.data in MAKERS and not Path(given.data).is_dir()
            made.append(_OnTheFly(given) if flying else _Made(given, self.cache_folder))
        return made

    @cached_property
    def fitted_tokenizer(self) -> Any:
        """The tokenizer with statistics of the training data; what the model is built for."""
        raw = ObservedSet(self._sources("train"), self.tokenizer)
        chosen = np.linspace(0, len(raw) - 1, min(len(raw), _STATISTICS)).round().astype(int)
        self.tokenizer.fit_statistics([raw.picture(int(i)).program for i in chosen])
        return self.tokenizer

    def observed(self, split: str) -> ObservedSet:
        """The observations of a split; only training data is augmented."""
        if split not in self._sets:
            copies = self.copies if split == "train" else 1
            sources, tokenizer = self._sources(split), self.fitted_tokenizer
            self._sets[split] = ObservedSet(sources, tokenizer, copies, self.seed)
        return self._sets[split]

    def _make(self, split: str, shuffle: bool, budget: int | None = None) -> PackedLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        world = self.trainer.world_size if self.trainer else 1
        data = self.observed(split)
        return PackedLoader(data, budget or self.batch_tokens, self.seed, rank, world, shuffle)

    def predict_dataloader(self) -> PackedLoader:
        """The test split, each record a pack of its own."""
        loader = self._make("test", shuffle=False, budget=1)
        self.predicted_ids = [f"picture-{i}" for i in range(len(loader.cache))]
        return loader
