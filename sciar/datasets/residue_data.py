"""From sets of proteins to packs of residues: the data of encoder pretraining."""

from __future__ import annotations

from functools import cached_property

import lightning as L

from sciar.datasets.batching import PackedLoader
from sciar.datasets.residues import Gathered, ResidueCorpus, gather


class ResidueData(L.LightningDataModule):
    """Sequences of several sources, without what is tested, cropped and packed.

    Args:
        sources: names of protein sets, or files of sequences. The test parts of all of them
            are held out with their relatives (:func:`sciar.datasets.residues.gather`).
        batch_tokens: tokens a training batch, over all processes.
        crop: most residues of a sequence in a batch; another piece in every pass.
        k: length of the words by which relatives are told.
        threshold: share of common words from which two sequences are relatives.
        val_sequences: most sequences that are validated on.
        seed: of shuffling and crops.
    """

    def __init__(
        self,
        sources: list[str],
        batch_tokens: int = 4096,
        crop: int = 510,
        k: int = 5,
        threshold: float = 0.05,
        val_sequences: int = 300,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sources, self.batch_tokens, self.crop = sources, batch_tokens, crop
        self.k, self.threshold, self.val_sequences = k, threshold, val_sequences
        self.seed = seed
        self._loader: PackedLoader | None = None

    @cached_property
    def gathered(self) -> Gathered:
        """All sequences by their use."""
        return gather(self.sources, self.k, self.threshold, self.val_sequences)

    @cached_property
    def train_corpus(self) -> ResidueCorpus:
        """What is trained on."""
        return ResidueCorpus(self.gathered.train, self.crop, self.seed)

    @cached_property
    def background(self) -> list[float]:
        """Share of each token id among the residues of the training data."""
        return self.train_corpus.background()

    @property
    def counts(self) -> dict[str, int]:
        """How many sequences were read, left out and used."""
        return self.gathered.counts

    def _loader_of(self, corpus: ResidueCorpus, shuffle: bool) -> PackedLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        world = self.trainer.world_size if self.trainer else 1
        return PackedLoader(corpus, self.batch_tokens, self.seed, rank, world, shuffle)

    def train_dataloader(self) -> PackedLoader:
        """Shuffled, resumable packs."""
        self._loader = self._loader_of(self.train_corpus, shuffle=True)
        return self._loader

    def val_dataloader(self) -> PackedLoader:
        """Packs of what is neither trained on nor related to it, in order of length."""
        corpus = ResidueCorpus(self.gathered.val, self.crop, self.seed)
        return self._loader_of(corpus, shuffle=False)

    def test_dataloader(self) -> PackedLoader:
        """As validation: what benchmarks test is for benchmarks."""
        return self.val_dataloader()
