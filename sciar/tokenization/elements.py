"""Element symbols and their canonical order."""

from __future__ import annotations

from functools import cache

_PERIODIC_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As
    Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu
    Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np
    Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS: tuple[str, ...] = tuple(_PERIODIC_TABLE.split())
NUMBER: dict[str, int] = {symbol: i + 1 for i, symbol in enumerate(SYMBOLS)}


@cache
def electronegativity(symbol: str) -> float:
    """Pauling electronegativity; elements without one sort last."""
    import math

    from pymatgen.core import Element

    element = Element(symbol)
    value = element.X if element.Z <= 103 and element.symbol not in ("He", "Ne", "Ar") else math.nan
    return 9.0 if math.isnan(value) else float(value)


def canonical_key(symbol: str) -> tuple[float, int]:
    """Sort key of an element: electronegativity, then atomic number."""
    return electronegativity(symbol), NUMBER[symbol]
