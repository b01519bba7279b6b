"""UniGenX's dictionaries and vocabularies (spec 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sciar.errors import UsageError
from sciar.tokenization.elements import SYMBOLS
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

SLOT = "<mask>"
ORDERS = tuple(f"<order{axes}>" for axes in ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx"))
_RESIDUES = "ARNDCQEGHILKMFPSTWYVX"
_SMILES_ELEMENTS = (
    *("H", "C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "Na", "K", "Ca", "Mg", "Zn", "Fe"),
    *("Li", "Cu", "Ti", "B", "Si"),
)


def _mat() -> list[str]:
    return [*SYMBOLS, *(f"<sgn>{i}" for i in range(1, 231))]


def _qm9() -> list[str]:
    return [*"HCNOF", *"123456", *"()[]=#-+."]


def _drugs() -> list[str]:
    elements = ("C", "H", "O", "N", "S", "Cl", "F", "Br", "I", "P", "B")
    return [*elements, *"=()[]%+-#.", *"1234567890"]


def _uni() -> list[str]:
    smiles = [*_SMILES_ELEMENTS, *"1234567890", *"%=#/\\()[]+-.@"]
    return [
        *("<molecule>", "<material>", "<protein>"),
        *(f"<s>{token}" for token in smiles),
        *(f"<m>{symbol}" for symbol in SYMBOLS),
        *(f"<p>{residue}" for residue in _RESIDUES),
    ]


def _cond_mat() -> list[str]:
    names = ("band", "bulk", "mag", "k_avg_cleaned", "E_hill", "density", "heat_capacity_300K")
    groups = (f"<sgn>{i}" for i in range(8, 231))
    return [*SYMBOLS, *(f"<{name}>" for name in names), *groups]


def _cond_mol() -> list[str]:
    return [*_qm9(), "<w>", *(f"<{letter}>" for letter in "aghlmc")]


BUILT_IN = {
    "mat": _mat,
    "cond_mat": _cond_mat,
    "qm9": _qm9,
    "drugs": _drugs,
    "cond_mol": _cond_mol,
    "uni": _uni,
    "prot": lambda: list(_RESIDUES),
}


def dictionary_lines(dictionary: str | Path | Sequence[str]) -> list[str]:
    """Tokens of a dictionary: a built-in name, the path of a dictionary file, or its lines.

    Raises:
        UsageError: no such dictionary or file.
    """
    if isinstance(dictionary, (str, Path)):
        if str(dictionary) in BUILT_IN:
            return BUILT_IN[str(dictionary)]()
        path = Path(dictionary)
        if not path.is_file():
            raise UsageError(f"no dictionary {dictionary}; built in are {', '.join(BUILT_IN)}")
        dictionary = path.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in dictionary if line.strip()]


def unigenx_vocabulary(lines: Sequence[str], reorder: bool = False) -> Vocabulary:
    """``<pad> <bos> <eos> <unk>``, the dictionary, ``<mask> <coord> <sg>``, and the order tokens.

    ``<mask>`` is the one slot kind: three numbers as they are.
    """
    names = ("<pad>", "<bos>", "<eos>", "<unk>", *lines, SLOT, "<coord>", "<sg>")
    return Vocabulary(names + ORDERS if reorder else names, (SlotKind(SLOT, 3),))
