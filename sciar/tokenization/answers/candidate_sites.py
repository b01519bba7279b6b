"""Sites among candidates that are known from the sequence, such as phosphorylated S, T and Y."""

from __future__ import annotations

from sciar.errors import UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import Empty, empty_names
from sciar.tokenization.answers.base import SEP
from sciar.tokenization.answers.indices import index_names
from sciar.tokenization.answers.sites import Sites


class CandidateSites(Sites):
    """Sites after a prompt that lists every candidate residue, then ``<sep>``.

    The sequence M S T A Y with the site Y is written ``2 3 5 <sep> 5``. For a pair (substrate and
    kinase) the candidates are those of the substrate, the first chain.

    Args:
        residues: letters of the candidates, such as ``STY``.
        positive: a value may also be one letter a residue; these letters mean "a site".
        empty: ``implicit`` or ``explicit``.
        max_length: longest sequence.

    Raises:
        UsageError: no letters.
    """

    def __init__(
        self,
        residues: str,
        positive: str = "",
        empty: Empty = "implicit",
        max_length: int = 1022,
    ) -> None:
        if not residues:
            raise UsageError("residues must name the letters of the candidates")
        super().__init__(residues, positive, 0, empty, max_length)

    @property
    def names(self) -> tuple[str, ...]:
        """The residue indices, ``<sep>``, and ``<none>`` if it is used."""
        return (*index_names(self.max_length), SEP, *empty_names(self.empty))

    def prompt(self, protein: Protein) -> tuple[str, ...]:
        """The candidates, then ``<sep>``."""
        return (*self.candidates(protein), SEP)
