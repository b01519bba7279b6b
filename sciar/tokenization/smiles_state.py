"""The state of a half-written SMILES: atoms, branches, rings, and what it takes to finish it.

States are values: every step returns a new one, or ``None`` where the string would be wrong. Ring
digits stand right after their atom, and a branch is always followed by a successor of its atom, as
RDKit writes SMILES.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from sciar.tokenization.smiles_rules import AtomRule

_FILLER = 4
"""Bonds of the carbons that finish a string."""


class Atom(NamedTuple):
    """An atom so far; ``loose`` counts its open rings whose order was not given at the opening."""

    rule: AtomRule
    used: int = 0
    loose: int = 0

    def bonded(self, order: int, loose: int = 0) -> Atom:
        """The atom with more bonds."""
        return Atom(self.rule, self.used + order, self.loose + loose)

    @property
    def free(self) -> int:
        """Bond orders that the atom can still take."""
        return self.rule.most - self.used

    @property
    def settled(self) -> bool:
        """Whether the atom may stay so, or will be completed by its open rings."""
        return self.free >= 0 and self.rule.missing(self.used) <= self.loose


class Ring(NamedTuple):
    """An open ring: the atom that opened it and the order given there (0: none)."""

    atom: int
    order: int


@dataclass(frozen=True)
class SmilesState:
    """What was written so far.

    Attributes:
        atoms: all atoms in order.
        tip: index of the atom that the next token belongs to.
        mode: ``start``, ``atom`` (after an atom or its ring digits), ``branch`` (after an opening
            parenthesis) or ``after`` (after a closing one).
        stack: atoms whose branch is open, the innermost last.
        rings: open ring digits.
        bonds: pairs of bonded atoms.
        closed: ring digits closed at the tip.
    """

    atoms: tuple[Atom, ...] = ()
    tip: int = -1
    mode: str = "start"
    stack: tuple[int, ...] = ()
    rings: tuple[tuple[int, Ring], ...] = ()
    bonds: frozenset[tuple[int, int]] = frozenset()
    closed: frozenset[int] = frozenset()

    def add(self, rule: AtomRule, order: int) -> SmilesState | None:
        """Write an atom, bonded to the tip."""
        if self.mode == "start":
            return SmilesState((Atom(rule),), 0, "atom")
        parent = self.atoms[self.tip].bonded(order)
        # an atom with an open branch keeps a bond for the successor after the branch
        possible = parent.free > 0 if self.mode == "branch" else parent.settled
        if not possible or order > rule.most:
            return None
        new = len(self.atoms)
        atoms = (*self._with(self.tip, parent), Atom(rule, order))
        bonds = self.bonds | {(self.tip, new)}
        return SmilesState(atoms, new, "atom", self.stack, self.rings, bonds)

    def branch(self) -> SmilesState | None:
        """Open a branch."""
        if self.mode not in ("atom", "after") or self.atoms[self.tip].free < 2:
            return None
        return replace(self, mode="branch", stack=(*self.stack, self.tip))

    def close_branch(self) -> SmilesState | None:
        """Close the innermost branch."""
        if self.mode != "atom" or not self.stack or not self.atoms[self.tip].settled:
            return None
        return replace(self, mode="after", tip=self.stack[-1], stack=self.stack[:-1])

    def ring(self, digit: int, order: int) -> SmilesState | None:
        """Open or close a ring; ``order`` 0 if no bond symbol was written."""
        if self.mode != "atom":
            return None
        found = dict(self.rings).get(digit)
        return self._open(digit, order) if found is None else self._close(digit, found, order)

    def _open(self, digit: int, order: int) -> SmilesState | None:
        free = {d for d, _ in self.rings} | self.closed
        if order > 2 or digit != min(d for d in range(1, 101) if d not in free):
            return None
        tip = self.atoms[self.tip].bonded(order or 1, loose=int(not order))
        if tip.free < 0:
            return None
        rings = (*self.rings, (digit, Ring(self.tip, order)))
        return replace(self, atoms=self._with(self.tip, tip), rings=rings)

    def _close(self, digit: int, ring: Ring, order: int) -> SmilesState | None:
        if not self.closable(ring) or (ring.order and order not in (0, ring.order)):
            return None
        total = ring.order or order or 1
        start = self.atoms[ring.atom]
        if not ring.order:
            start = start.bonded(total - 1, loose=-1)
        tip = self.atoms[self.tip].bonded(total)
        possible = start.free > 0 if ring.atom in self.stack else start.settled
        if not possible or tip.free < 0:
            return None
        atoms = list(self._with(self.tip, tip))
        atoms[ring.atom] = start
        return replace(
            self,
            atoms=tuple(atoms),
            rings=tuple(pair for pair in self.rings if pair[0] != digit),
            bonds=self.bonds | {(ring.atom, self.tip)},
            closed=self.closed | {digit},
        )

    def closable(self, ring: Ring) -> bool:
        """Whether a ring may close at the tip: neither at its own atom nor along a bond."""
        return ring.atom != self.tip and (ring.atom, self.tip) not in self.bonds

    @property
    def finished(self) -> bool:
        """Whether the string is complete."""
        open_end = self.mode != "atom" or self.stack or self.rings
        return not open_end and self.atoms[self.tip].settled

    @property
    def size(self) -> int:
        """Atoms with their hydrogens, if nothing were added."""
        return sum(1 + a.rule.hydrogen_count(a.used) for a in self.atoms)

    def finished_size(self, cost: int) -> int:
        """Most atoms, with hydrogens, after finishing with so many carbons.

        A carbon brings itself and three hydrogens and takes one from its neighbour; a bracket atom
        loses none, and S or P may even gain one. Closing a ring takes one more.
        """
        plain = all(self.atoms[i].rule.plain for i in (*self.stack, self.tip))
        return self.size + (3 if plain else 5) * cost - len(self.rings)

    @property
    def cost(self) -> int | None:
        """Atoms that surely suffice to finish the string; ``None`` if it may be impossible.

        The plan: carbons complete the tip, then each atom of the stack gets its successor, then a
        tail of carbons closes one ring each (one bond back, at most two for the ring, one on).
        """
        tip = self.atoms[self.tip]
        if self.mode == "branch":
            best = [self._branch_cost(order) for order in (1, 2, 3)]
            return min((c for c in best if c is not None), default=None)
        parents = sum(_fillers(self.atoms[i].rule.step(self.atoms[i].used)) for i in self.stack)
        if self.mode == "after":
            return parents + _fillers(tip.rule.step(tip.used)) + len(self.rings)
        return self._tail(tip, parents)

    def _branch_cost(self, order: int) -> int | None:
        """Cost with a filling carbon as the first atom of the branch just opened."""
        parent = self.atoms[self.tip].bonded(order)
        if parent.free < 1:
            return None
        others = sum(_fillers(self.atoms[i].rule.step(self.atoms[i].used)) for i in self.stack[:-1])
        return 1 + others + _fillers(parent.rule.step(parent.used)) + len(self.rings)

    def _tail(self, tip: Atom, parents: int) -> int | None:
        """Cost of the mode ``atom``."""
        rings = len(self.rings)
        if not tip.settled:
            return _fillers(tip.rule.missing(tip.used)) + parents + rings
        if not rings:
            return parents
        closed = self._closed_by_tip(tip)
        if closed == rings:
            return parents
        if self.stack:
            return parents + rings - closed
        if tip.free < 1:
            return None
        # the first carbon of the tail cannot close a ring if it is bonded to the atom that opened
        # it, or if it spends its bonds on completing the tip
        own = sum(ring.atom == self.tip for _, ring in self.rings)
        direct = (closed > 0 or tip.rule.step(tip.used) == 1) and rings - closed > own
        return rings - closed + (not direct)

    def _closed_by_tip(self, tip: Atom) -> int:
        """How many open rings the tip itself could close, with a bond left if others stay open."""
        if not tip.rule.plain:
            return 0
        orders = sorted({r.atom: self._due(r) for _, r in self.rings if self.closable(r)}.values())
        for count in range(len(orders), 0, -1):
            spare = 0 if count == len(self.rings) or self.stack else 1
            if sum(orders[:count]) + spare <= tip.free:
                return count
        return 0

    def _due(self, ring: Ring) -> int:
        """Order that a ring is closed with by the plan."""
        start = self.atoms[ring.atom]
        return ring.order or (2 if start.rule.missing(start.used) else 1)

    def _with(self, index: int, atom: Atom) -> tuple[Atom, ...]:
        return (*self.atoms[:index], atom, *self.atoms[index + 1 :])


def _fillers(bonds: int) -> int:
    """Carbons that provide so many bond orders; each keeps one bond to go on."""
    return -(-bonds // (_FILLER - 1))
