"""Which proteins are close relatives of others, by the words of k residues that they share.

For a pair of sequences the measure is the containment: distinct k-mers in common, divided by those
of the shorter list. Where identical residues are spread evenly, a share ``p`` of them leaves about
``p ** k`` of the k-mers intact: at k = 5, 55 % identical residues give 0.05, 70 % give 0.17.
Unrelated sequences of 300 residues share about 0.03 k-mers, so 0.05 and at least six in common
tell them apart, also where one of thousands of references is meant. Words of one or two kinds of
residues (runs, purification tags of histidine) do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sciar.errors import UsageError

_LETTERS = "ACDEFGHIKLMNPQRSTVWY"
_UNKNOWN = 31
_CODE = np.full(256, _UNKNOWN, dtype=np.int64)
_CODE[np.frombuffer(_LETTERS.encode(), dtype=np.uint8)] = np.arange(20)


def kmers(sequence: str, k: int) -> np.ndarray:
    """Sorted int64 codes of the distinct k-mers, without those of fewer than three kinds of
    residues, or with a letter beyond the 20."""
    letters = _CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    number = len(letters) - k + 1
    if number < 1:
        return np.zeros(0, dtype=np.int64)
    codes, kinds = np.zeros(number, dtype=np.int64), np.zeros(number, dtype=np.int64)
    unknown = np.zeros(number, dtype=bool)
    for shift in range(k):
        letter = letters[shift : shift + number]
        codes = codes * 20 + letter
        kinds |= np.left_shift(1, letter & 31)
        unknown |= letter == _UNKNOWN
    varied = (kinds & (kinds - 1)) & ((kinds & (kinds - 1)) - 1) != 0
    return np.unique(codes[varied & ~unknown])


@dataclass(frozen=True)
class Relative:
    """The closest reference of a sequence.

    Attributes:
        reference: its index.
        shared: distinct k-mers in common.
        containment: the same as a share of the shorter list of k-mers.
    """

    reference: int
    shared: int
    containment: float


class Homologues:
    """An index of reference sequences that tells whether others are close to one of them.

    Args:
        references: sequences of residue letters.
        k: length of the words.
        threshold: containment from which two sequences count as homologous.
        at_least: k-mers that they must share as well (all of them, if one has fewer).

    Raises:
        UsageError: ``k`` is no length between 2 and 12, or the threshold no share.
    """

    def __init__(
        self, references: Sequence[str], k: int = 5, threshold: float = 0.05, at_least: int = 6
    ) -> None:
        if not 2 <= k <= 12 or not 0 < threshold <= 1:
            raise UsageError(
                f"homologues are told by words of 2 to 12 residues and a share above 0 and up to "
                f"1, got k = {k} and a threshold of {threshold}"
            )
        self.k, self.threshold, self.at_least = k, threshold, at_least
        self._same = frozenset(references)
        lists = [kmers(sequence, k) for sequence in references]
        self._counts = np.array([len(codes) for codes in lists], dtype=np.int64)
        codes = np.concatenate([*lists, np.zeros(0, dtype=np.int64)])
        owners = np.repeat(np.arange(len(lists)), self._counts)
        order = np.argsort(codes, kind="stable")
        self._codes, self._owners = codes[order], owners[order]

    def closest(self, sequence: str) -> Relative | None:
        """The reference with the largest containment; ``None`` if no k-mer is shared."""
        own = kmers(sequence, self.k)
        shared = self._shared(own)
        if not shared.any():
            return None
        share = shared / np.maximum(1, np.minimum(len(own), self._counts))
        best = int(np.argmax(share))
        return Relative(best, int(shared[best]), float(share[best]))

    def __contains__(self, sequence: str) -> bool:
        """Whether a sequence is a reference, or homologous to one."""
        return sequence in self._same or len(self.relatives(sequence)) > 0

    def relatives(self, sequence: str) -> np.ndarray:
        """Indices of the references that a sequence is homologous to; equal ones too, if they have
        words that count."""
        own = kmers(sequence, self.k)
        shared = self._shared(own)
        fewer = np.minimum(len(own), self._counts)
        needed = np.maximum(np.minimum(self.at_least, fewer), self.threshold * fewer)
        return np.flatnonzero((shared >= needed) & (shared > 0))

    def _shared(self, own: np.ndarray) -> np.ndarray:
        """(references,) number of k-mers in common."""
        first = np.searchsorted(self._codes, own, side="left")
        number = np.searchsorted(self._codes, own, side="right") - first
        inside = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        hits = self._owners[np.repeat(first, number) + inside]
        return np.bincount(hits, minlength=len(self._counts))
