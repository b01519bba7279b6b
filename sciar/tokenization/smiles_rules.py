"""How many bonds an atom token may have, asked of RDKit once a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType

_MOST_BONDS = 7
HALOGENS = ("F", "Cl", "Br", "I")


@dataclass(frozen=True)
class AtomRule:
    """Valence of one atom token.

    Attributes:
        hydrogens: allowed sum of bond orders to heavy atoms -> hydrogens that the atom then has.
            A bracket atom that must have exactly three bonds has the one key 3.
    """

    hydrogens: Mapping[int, int]

    @cached_property
    def most(self) -> int:
        """Largest allowed sum of bond orders."""
        return max(self.hydrogens)

    @cached_property
    def plain(self) -> bool:
        """Whether every bond order just takes the place of a hydrogen, as for C, N and O."""
        return all(self.hydrogens.get(k) == self.most - k for k in range(self.most + 1))

    def missing(self, used: int) -> int:
        """Bond orders that are still needed before the atom may stay as it is."""
        return min(s - used for s in self.hydrogens if s >= used)

    def step(self, used: int) -> int:
        """Smallest positive bond order that brings the atom to an allowed sum."""
        return min(s - used for s in self.hydrogens if s > used)

    def hydrogen_count(self, used: int) -> int:
        """Hydrogens of the atom, or the most it may have while its sum is not yet allowed."""
        return self.hydrogens.get(used, max(self.hydrogens.values()))


@cache
def atom_rule(token: str) -> AtomRule | None:
    """The rule of an atom token: the sums of bond orders with which RDKit sanitises it.

    Each number of single bonds is tried with fluorine neighbours; sums that leave unpaired
    electrons are not allowed, nor are halogens with several bonds, whose oxides RDKit rewrites
    (charged ones in brackets are). ``None`` if no sum is: such a token cannot be generated.
    """
    from rdkit import Chem, rdBase

    hydrogens: dict[int, int] = {}
    with rdBase.BlockLogs():
        for count in range(2 if token in HALOGENS else _MOST_BONDS + 1):
            mol = Chem.MolFromSmiles(token + "(F)" * count)
            if mol is None:
                continue
            atom = mol.GetAtomWithIdx(0)
            if atom.GetNumRadicalElectrons() == 0:
                hydrogens[count] = atom.GetTotalNumHs()
    return AtomRule(MappingProxyType(hydrogens)) if hydrogens else None
