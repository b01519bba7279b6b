"""From named data to packed batches: the LightningDataModule of every recipe."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L

from sciar.datasets.batching import PackedLoader
from sciar.datasets.embedding import ConformerStore
from sciar.datasets.preparing import divided, halved, prepared, source_path
from sciar.datasets.readers import read_all
from sciar.datasets.tokens import TokenCache, cached
from sciar.errors import RecordError, UsageError
from sciar.records import Record
from sciar.tokenization.base import LayoutTokenizer


class StructureData(L.LightningDataModule):
    """Structures of one or several sources, tokenized, cached and packed.

    Args:
        train: data set names (see ``sciar data``) or paths, used with the split ``train``;
            ``NAME:PART`` is a part of another name, such as ``moleculenet:esol``.
        tokenizer: turns structures into token sequences; its statistics are fitted on ``train``.
        val: names or paths of validation data; names use the split ``val``. Default: as ``train``.
        test: likewise for testing.
        batch_tokens: tokens a training batch, over all processes.
        copies: augmented encodings of each record (1: no augmentation).
        limit: use only the first records of each source (for trials).
        format: of all files where their names do not tell, see
            :func:`~sciar.datasets.readers.read`; it stays with the model, for ``sciar predict``.
        graphs: perceive bonds of molecules that come without.
        conformers: make coordinates of molecules that come without, by ETKDG.
        divide: how sources without official parts are divided, each as a whole: ``scaffold``,
            ``composition``, ``sequence`` (of proteins, relatives stay together), ``random`` or
            ``column:NAME``; all parts then come of the same files.
        divide_seed: of the division, so that runs of several seeds have the same parts.
        half: train on the ``first`` or the ``second`` half of the records, by their ids; an oracle
            that judges samples is trained on the other (``sciar oracle``).
        cache: folder for token caches and conformers; ``None`` keeps them in memory.
        seed: of shuffling and augmentation.
    """

    def __init__(
        self,
        train: list[str],
        tokenizer: LayoutTokenizer,
        val: list[str] | None = None,
        test: list[str] | None = None,
        batch_tokens: int = 2048,
        copies: int = 1,
        limit: int | None = None,
        format: str | None = None,
        graphs: bool = False,
        conformers: bool = False,
        divide: str | None = None,
        divide_seed: int = 0,
        half: str | None = None,
        cache: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sources = {"train": train, "val": val or train, "test": test or val or train}
        self.tokenizer, self.batch_tokens, self.copies = tokenizer, batch_tokens, copies
        self.limit, self.format, self.graphs, self.seed = limit, format, graphs, seed
        self.conformers, self.divide, self.divide_seed = conformers, divide, divide_seed
        self.half = half
        self.cache_folder = Path(cache) if cache else None
        self._loader: PackedLoader | None = None
        self.predicted_ids: list[str] = []

    @cached_property
    def train_records(self) -> list[Record]:
        """Records of the training split."""
        return self.records("train")

    @cached_property
    def fitted_tokenizer(self) -> LayoutTokenizer:
        """The tokenizer with statistics of the training data; what the model is built for."""
        self.tokenizer.remember(self.train_records)
        usable: list[Any] = []
        for record in self.train_records:
            try:
                subject = self.tokenizer.subject(record)
                self.tokenizer.encode(subject)
                usable.append(subject)
            except RecordError:
                continue
            if len(usable) >= 5000:
                break
        if not usable:
            self.encoded("train", self.train_records)
        self.tokenizer.fit_statistics(usable)
        return self.tokenizer

    def records(self, split: str) -> list[Record]:
        """Readable records of a split, with a warning that counts the others.

        Raises:
            UsageError: if there is none.
        """
        found: list[Record] = []
        failed: list[str] = []
        for source in self.sources[split]:
            records, failures = read_all(source_path(source, split), format=self.format)
            failed += [str(f.error) for f in failures]
            if self.divide is not None:
                records = divided(records, self.divide, split, self.divide_seed)
            if self.half is not None and split == "train":
                records = halved(records, self.half)
            found += self._prepared(records[: self.limit], failed)
        if not found:
            raise UsageError(f"{split}: no usable record in {self.sources[split]}: {failed[:1]}")
        if failed:
            warnings.warn(
                f"{split}: {len(failed)} records skipped; first: {failed[0]}", stacklevel=2
            )
        return found

    def _prepared(self, records: Sequence[Record], failed: list[str]) -> list[Record]:
        done = []
        kept = self.cache_folder if self.conformers else None
        store = ConformerStore(kept) if kept is not None else None
        for record in records:
            try:
                ready = prepared(
                    record, graphs=self.graphs, conformers=self.conformers, store=store
                )
            except RecordError as error:
                failed.append(str(error))
            else:
                done.append(ready)
        if store is not None:
            store.save()
        return done

    def encoded(self, split: str, records: Sequence[Record]) -> TokenCache:
        """Token cache of a split; only training data is augmented."""
        copies = self.copies if split == "train" else 1
        cache = cached(
            records, self.fitted_tokenizer, self.cache_folder, copies=copies, seed=self.seed
        )
        if cache.skipped:
            first = ": ".join(cache.skipped[0])
            warnings.warn(
                f"{split}: {len(cache.skipped)} of {len(records)} records cannot be encoded; "
                f"first: {first}",
                stacklevel=2,
            )
        return cache

    def _make(self, split: str, shuffle: bool, budget: int | None = None) -> PackedLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        world = self.trainer.world_size if self.trainer else 1
        records = self.train_records if split == "train" else self.records(split)
        cache = self.encoded(split, records)
        return PackedLoader(cache, budget or self.batch_tokens, self.seed, rank, world, shuffle)

    def train_dataloader(self) -> PackedLoader:
        """Shuffled, resumable packs."""
        self._loader = self._make("train", shuffle=True)
        return self._loader

    def val_dataloader(self) -> PackedLoader:
        """Packs in order of length."""
        return self._make("val", shuffle=False)

    def test_dataloader(self) -> PackedLoader:
        """Packs in order of length."""
        return self._make("test", shuffle=False)

    def predict_dataloader(self) -> PackedLoader:
        """The test split, each record a pack of its own."""
        loader = self._make("test", shuffle=False, budget=1)
        assert isinstance(loader.cache, TokenCache)
        self.predicted_ids = loader.cache.ids
        return loader
