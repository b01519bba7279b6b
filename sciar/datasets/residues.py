"""Sequences for pretraining an encoder: gathered from all sets, nothing close to what is tested."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sciar.datasets.homologues import Homologues
from sciar.datasets.protein_sets import parent_of, protein_set, read_set, split_of
from sciar.datasets.proteins import read_proteins
from sciar.datasets.readers import RecordFailure
from sciar.errors import UsageError
from sciar.tokenization.esm_alphabet import CLS, EOS, TOKENS
from sciar.tokenization.residues import ResiduePack


@dataclass
class Gathered:
    """Sequences by their use; no sequence is in two lists, and none is in a list twice.

    Attributes:
        train: to train on.
        val: to validate on; nothing in ``train`` is homologous to them.
        test: held out, with the parents of sets of variants.
        counts: how many sequences were seen, repeated, left out and why.
    """

    train: list[str] = field(default_factory=list)
    val: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def gather(sources: Sequence[str], k: int = 5, threshold: float = 0.05, val: int = 300) -> Gathered:
    """Sequences of named sets and of files, without what is held out and its relatives.

    The test parts of *all* named sets of ``sources`` are held out, and the parents of sets of
    variants; what is related to them is left out. Of the rest, some are taken for validation, by a
    hash of their letters, and what is related to those is not trained on either.

    Args:
        sources: names of sets (:mod:`sciar.datasets.protein_sets`), or files of sequences, which
            have no held-out part.
        k: length of the words by which relatives are told (:mod:`sciar.datasets.homologues`).
        threshold: containment from which two sequences are relatives.
        val: sequences to validate on; never more than a twentieth of what there is.

    Raises:
        UsageError: unknown set, missing file, or nothing left to train on.
    """
    wanted: dict[bool, dict[str, None]] = {True: {}, False: {}}
    counts = dict.fromkeys(("read", "unreadable", "parents of variants"), 0)
    for source in sources:
        for tested, sequence in _uses(source, counts):
            wanted[tested].setdefault(sequence)
    out = Gathered(test=list(wanted[True]), counts=counts)
    counts["distinct"], counts["test"] = len(wanted[True] | wanted[False]), len(out.test)
    near = Homologues(out.test, k, threshold)
    usable = [s for s in wanted[False] if s not in near]
    both = len(wanted[False].keys() & wanted[True].keys())
    counts["related to test"] = len(wanted[False]) - both - len(usable)
    usable.sort(key=lambda s: hashlib.sha256(s.encode()).digest())
    out.val = usable[: max(1, min(val, len(usable) // 20))]
    near = Homologues(out.val, k, threshold)
    out.train = [s for s in usable[len(out.val) :] if s not in near]
    counts["val"] = len(out.val)
    counts["related to val"] = len(usable) - len(out.val) - len(out.train)
    counts["train"] = len(out.train)
    counts["train residues"] = sum(map(len, out.train))
    counts["val residues"] = sum(map(len, out.val))
    if not out.train:
        raise UsageError(f"no sequence to train on in {', '.join(sources)}: {counts}")
    return out


def _uses(source: str, counts: dict[str, int]) -> Iterator[tuple[bool, str]]:
    """(is it held out, chain) for every chain of a source."""
    named = None if Path(source).exists() else protein_set(source)
    if named is not None and named.parents:
        # One protein in thousands of variants would fill the data, and it is tested.
        counts["parents of variants"] += 1
        yield True, parent_of(named)
        return
    for record in read_proteins(source) if named is None else read_set(named.name):
        counts["read"] += 1
        if isinstance(record, RecordFailure):
            counts["unreadable"] += 1
            continue
        tested = named is not None and split_of(record, named.split) in named.held_out
        yield from ((tested, chain) for chain in record.protein.chains)


class ResidueCorpus:
    """Sequences as ids, handed out as packs; long ones are cropped anew in every pass.

    Args:
        sequences: residue letters.
        crop: most residues of a sequence in a pack.
        seed: of the crops.

    Raises:
        UsageError: no sequence, or a crop below one residue.
    """

    copies = 1_000_000
    """Passes that differ in their crops."""

    def __init__(self, sequences: Sequence[str], crop: int, seed: int = 0) -> None:
        if not sequences or crop < 1:
            raise UsageError(f"{len(sequences)} sequences cropped to {crop} residues are no data")
        self.crop, self.seed = crop, seed
        table = np.zeros(128, dtype=np.uint8)
        for id, token in enumerate(TOKENS):
            if len(token) == 1:
                table[ord(token)] = id
        self._ids = table[np.frombuffer("".join(sequences).encode("ascii"), dtype=np.uint8)]
        self._sizes = np.array([len(s) for s in sequences], dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def lengths(self, copy: int = 0) -> np.ndarray:
        """(N,) tokens of each sequence in a pass."""
        return np.minimum(self._sizes, self.crop) + 2

    def background(self) -> list[float]:
        """Share of each id among the residues."""
        return (np.bincount(self._ids, minlength=len(TOKENS)) / len(self._ids)).tolist()

    def pack(self, records: np.ndarray, copy: int = 0) -> ResiduePack:
        """The given sequences as one pack; their index is their key."""
        parts = [self._cropped(int(i), copy) for i in records]
        return ResiduePack(
            ids=torch.from_numpy(np.concatenate(parts)).long(),
            lengths=torch.tensor([len(p) for p in parts]),
            keys=torch.from_numpy(np.asarray(records, dtype=np.int64)),
        )

    def _cropped(self, record: int, copy: int) -> np.ndarray:
        spare = int(self._sizes[record]) - self.crop
        first = 0
        if spare > 0:
            first = int(np.random.default_rng((self.seed, record, copy)).integers(spare + 1))
        begin = self._starts[record] + first
        kept = self._ids[begin : begin + min(self.crop, self._sizes[record])]
        return np.concatenate([[CLS], kept, [EOS]])
