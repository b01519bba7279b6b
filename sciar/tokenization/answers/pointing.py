"""Auxiliary tasks whose labels follow from the sequence; they teach a decoder to point.

A decoder that has learnt to list the positions of a residue type, or to copy classes in step with
the sequence, learns binding sites and secondary structure from fewer examples.
"""

from __future__ import annotations

from typing import Literal

from sciar.errors import UsageError
from sciar.records import RESIDUES, Protein
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.sites import Sites

CLASSES = {
    "hydrophobic": "AVLIMC", "aromatic": "FWYH", "polar": "STNQ", "positive": "KR",
    "negative": "DE", "special": "GPBXUZO",
}  # fmt: skip
"""Residue classes of the copying task."""
_CLASS_OF = {letter: name for name, letters in CLASSES.items() for letter in letters}


class Pointing(Sites):
    """Positions of a motif, or of the beginnings of runs of equal residues.

    The grammar opens every position, so that the answer is not given away.

    Args:
        what: ``motif`` or ``runs``.
        motif: one or more residue letters; all their occurrences count, overlapping ones too.
        max_length: longest sequence.

    Raises:
        UsageError: no motif, or a letter that is no residue.
    """

    def __init__(
        self, what: Literal["motif", "runs"] = "motif", motif: str = "", max_length: int = 512
    ) -> None:
        if what not in ("motif", "runs"):
            raise UsageError(f"what is 'motif' or 'runs', not {what!r}")
        if (what == "motif") != bool(motif) or not set(motif) <= set(RESIDUES):
            raise UsageError(f"a motif is written with residue letters, got {motif!r}")
        super().__init__(max_length=max_length)
        self.what, self.motif = what, motif

    def derive(self, protein: Protein) -> tuple[int, ...] | None:
        """The label of a sequence; ``None`` if there is nothing to point at."""
        sequence = protein.sequence
        if self.what == "motif":
            found = [i for i in range(len(sequence)) if sequence.startswith(self.motif, i)]
        else:
            found = [
                i
                for i in range(len(sequence) - 1)
                if sequence[i] == sequence[i + 1] and (i == 0 or sequence[i - 1] != sequence[i])
            ]
        return tuple(found) or None


class Copying(PerResidue):
    """The class of every residue, in step with the sequence.

    Args:
        max_length: longest sequence.
    """

    def __init__(self, max_length: int = 512) -> None:
        super().__init__(tuple(CLASSES), "residue", max_length)

    def derive(self, protein: Protein) -> tuple[str, ...]:
        """The label of a sequence."""
        return tuple(_CLASS_OF[letter] for letter in protein.sequence)
