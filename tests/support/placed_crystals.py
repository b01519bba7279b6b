"""Crystals whose tokens have places in space: a layout with axes for tests of the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tiny_models import ELEMENTS, random_crystals

from sciar.records import Structure
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.sequence import TokenSequence


class PlacedCrystals(CrystalTokenizer):
    """Random but repeatable places; labels and anchors of words do not tell what they are."""

    def encode(
        self, structure: Structure, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        sequence = super().encode(structure, augment=augment)
        n = len(sequence)
        rng = np.random.default_rng(n)
        places = rng.normal(0, 2, (n, 3)).astype(np.float32)
        words = sequence.kinds == 0
        return replace(
            sequence,
            labels=np.where(words, np.arange(n) % 3, sequence.labels).astype(np.int32),
            anchors=np.where(words, n - np.arange(n), sequence.anchors).astype(np.int16),
            places=places,
            positions=places + rng.normal(0, 0.1, (n, 3)).astype(np.float32),
        )


def placed_tokenizer(task: str = "denovo") -> PlacedCrystals:
    """Few elements, statistics of random crystals, three axes."""
    vocabulary = crystal_vocabulary(ELEMENTS)
    tokenizer = PlacedCrystals(task=task, vocabulary=vocabulary, cell="as-given", max_atoms=8)
    tokenizer.fit_statistics(random_crystals(20))
    tokenizer.layout = replace(tokenizer.layout, axes=3)
    return tokenizer
