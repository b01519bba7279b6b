"""SMILES as tokens: Kekule form, one token an atom.

A bracket atom such as ``[NH3+]`` is one token, so every atom of the molecule has exactly one token.
"""

from __future__ import annotations

import re

from sciar.errors import RecordError

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|[BCNOFPSI]|%\d\d|[1-9]|[=#().-]")
_BRACKET = re.compile(r"\[(?P<isotope>\d*)(?P<element>[A-Z][a-z]?)(?P<rest>[^\]]*)\]")
ORGANIC = ("B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
"""Elements that may stand without brackets; hydrogens fill up their valence."""

BONDS = {"-": 1, "=": 2, "#": 3}
"""Bond symbols and their orders."""

SYMBOLS = (
    *ORGANIC,
    *("(", ")", "=", "#", *"123456789"),
    *("[B-]", "[BH-]", "[BH2-]", "[BH3-]"),
    *("[C-]", "[CH-]", "[CH2-]", "[C+]", "[CH+]", "[CH2+]"),
    *("[N+]", "[NH+]", "[NH2+]", "[NH3+]", "[N-]", "[NH-]"),
    *("[O-]", "[O+]", "[OH+]", "[OH2+]"),
    *("[P+]", "[PH+]", "[P-]", "[PH]", "[S+]", "[SH+]", "[S-]", "[SH]"),
    *("[Si]", "[SiH]", "[SiH2]", "[SiH3]"),
)
"""Default symbols: organic chemistry with its usual charged atoms."""


def tokenize(smiles: str, fragments: bool = False) -> tuple[str, ...]:
    """Kekule SMILES -> tokens that join to it again.

    Args:
        smiles: without aromatic (lower-case) atoms.
        fragments: whether ``.`` between fragments is allowed.

    Raises:
        RecordError: for anything that is no token, naming the place.
    """
    tokens: list[str] = []
    at = 0
    while at < len(smiles):
        match = _TOKEN.match(smiles, at)
        if match is None:
            raise RecordError(_complaint(smiles, at), field="smiles")
        tokens.append(match.group())
        at = match.end()
    if not tokens:
        raise RecordError("the SMILES is empty", field="smiles")
    if "." in tokens and not fragments:
        raise RecordError(
            f"{smiles!r} has several fragments; give one molecule at a time", field="smiles"
        )
    return tuple(tokens)


def _complaint(smiles: str, at: int) -> str:
    character = smiles[at]
    hint = "it is no SMILES symbol"
    if character in "bcnops":
        hint = "aromatic atoms must be in Kekule form (RDKit: MolToSmiles(kekuleSmiles=True))"
    elif character in "/\\@":
        hint = "stereo marks are not tokens; strip them"
    return f"{smiles!r}: cannot read {character!r} at position {at}: {hint}"


def element(token: str) -> str:
    """Element of an atom token, empty for bonds, branches and ring digits."""
    if token in ORGANIC:
        return token
    match = _BRACKET.fullmatch(token)
    return match["element"] if match else ""
