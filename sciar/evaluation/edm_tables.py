"""Bond lengths and valences of the EDM stability rule, as arrays by atomic number.

Typical bond lengths in picometres (wiredchemist.com, "Common Bond Energies and Bond Lengths", the
tables that G-SchNet and EDM, Hoogeboom et al., arXiv:2203.17003, score with) plus the margins that
EDM fitted on QM9: 10, 5 and 3 pm for single, double and triple bonds.
"""

from __future__ import annotations

from functools import cache

import numpy as np

MARGINS = (10.0, 5.0, 3.0)

_SINGLE = """
H-H 74   H-C 109  H-N 101  H-O 96   H-F 92   H-B 119  H-Si 148 H-P 144  H-As 152 H-S 134
H-Cl 127 H-Br 141 H-I 161
C-C 154  C-N 147  C-O 143  C-F 135  C-Si 185 C-P 184  C-S 182  C-Cl 177 C-Br 194 C-I 214
N-N 145  N-O 140  N-F 136  N-Cl 175 N-Br 214 N-S 168  N-I 222  N-P 177
O-O 148  O-F 142  O-Br 172 O-S 151  O-P 163  O-Si 163 O-Cl 164 O-I 194
F-F 142  F-S 158  F-Si 160 F-Cl 166 F-Br 178 F-P 156  F-I 187
B-Cl 175
Si-Si 233 Si-S 200 Si-Cl 202 Si-Br 215 Si-I 243
Cl-Cl 199 Cl-P 203 Cl-S 207 Cl-Br 214
S-S 204  S-Br 225 S-P 210  S-I 234
Br-Br 228 Br-P 222
P-P 221
I-I 266
"""
_DOUBLE = """
C-C 134 C-N 129 C-O 120 C-S 160 N-N 125 N-O 121 O-O 121 O-P 150 P-S 186
"""
_TRIPLE = """
C-C 120 C-N 116 C-O 113 N-N 110
"""

VALENCES: dict[str, tuple[int, ...]] = {
    "H": (1,),
    "B": (3,),
    "C": (4,),
    "N": (3,),
    "O": (2,),
    "F": (1,),
    "Al": (3,),
    "Si": (4,),
    "P": (3, 5),
    "S": (4,),
    "Cl": (1,),
    "As": (3,),
    "Br": (1,),
    "I": (1,),
    "Hg": (1, 2),
    "Bi": (3, 5),
}
"""Sums of bond orders that make an atom stable (EDM). Sulfur's single value 4 is EDM's own."""

_SIZE = 119
_LARGEST_ORDER_SUM = 64


def _thresholds(text: str, margin: float) -> np.ndarray:
    from rdkit.Chem import GetPeriodicTable

    number = GetPeriodicTable().GetAtomicNumber
    table = np.full((_SIZE, _SIZE), -1.0)
    words = text.split()
    for pair, length in zip(words[::2], words[1::2], strict=True):
        first, second = (number(symbol) for symbol in pair.split("-"))
        table[first, second] = table[second, first] = (float(length) + margin) / 100.0
    return table


@cache
def bond_thresholds() -> np.ndarray:
    """(3, 119, 119) distances in angstrom below which two elements (by atomic number) count as
    singly, doubly, triply bonded; -1 where no such bond is listed."""
    tables = (_SINGLE, _DOUBLE, _TRIPLE)
    return np.stack([_thresholds(t, m) for t, m in zip(tables, MARGINS, strict=True)])


@cache
def allowed_valences() -> np.ndarray:
    """(119, 64) booleans: whether a sum of bond orders makes an atom of that number stable."""
    from rdkit.Chem import GetPeriodicTable

    table = np.zeros((_SIZE, _LARGEST_ORDER_SUM), dtype=bool)
    for symbol, sums in VALENCES.items():
        table[GetPeriodicTable().GetAtomicNumber(symbol), list(sums)] = True
    return table
