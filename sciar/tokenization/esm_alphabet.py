"""The 33 tokens of ESM-2's encoder, and proteins as their ids."""

from __future__ import annotations

import numpy as np

from sciar.records import RESIDUES, Protein

TOKENS = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)
_ID = {token: i for i, token in enumerate(TOKENS)}
CLS, PAD, EOS, MASK = (_ID[token] for token in ("<cls>", "<pad>", "<eos>", "<mask>"))
RESIDUE_IDS = tuple(_ID[letter] for letter in RESIDUES)
"""Ids of everything that may stand in a sequence."""
STANDARD_IDS = tuple(_ID[letter] for letter in "ACDEFGHIKLMNPQRSTVWY")
"""Ids of the 20 residues of the genetic code."""
_TABLE = np.full(256, _ID["<unk>"])
_TABLE[[ord(letter) for letter in RESIDUES]] = RESIDUE_IDS


def encoder_ids(protein: Protein) -> np.ndarray:
    """(N,) int64 ids: ``<cls> A ... <eos>``, then ``B ... <eos>`` for a pair."""
    parts = [np.array([CLS])]
    for chain in protein.chains:
        parts += [residue_ids(chain), np.array([EOS])]
    return np.concatenate(parts)


def residue_ids(chain: str) -> np.ndarray:
    """(L,) int64 ids of the residues of a chain."""
    return _TABLE[np.frombuffer(chain.encode("ascii"), dtype=np.uint8)]


def residue_rows(protein: Protein) -> np.ndarray:
    """(L,) rows of the encoder's output that belong to the residues, chain after chain."""
    ids = encoder_ids(protein)
    return np.flatnonzero((ids != CLS) & (ids != EOS))
