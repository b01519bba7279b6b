"""Kept scaffolds: molecules that hold a given fragment, at given coordinates, in every sample.

The SMILES begins with the tokens of the scaffold in their order. Between them, chains may be
inserted where the scaffold has hydrogens to spare, and behind them the molecule goes on as it
likes; so the scaffold is a subgraph of whatever is drawn. Its atoms come with their coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sciar.errors import RecordError
from sciar.records import Molecule
from sciar.tokenization.kekule import heavy_graph, kekule_smiles
from sciar.tokenization.molecule_frame import canonical_orientation
from sciar.tokenization.smiles import element, tokenize
from sciar.tokenization.smiles_grammar import SmilesGrammar
from sciar.tokenization.smiles_state import SmilesState
from sciar.tokenization.vocabulary import Vocabulary

FRAME = 3
"""Atoms of the scaffold before anything is inserted: they fix the frame of coordinates."""


@dataclass(frozen=True, eq=False)
class Scaffold:
    """A fragment to be kept.

    Attributes:
        tokens: its SMILES.
        positions: (n, 3) angstrom of its heavy atoms in the order of the SMILES, as given.
    """

    tokens: tuple[str, ...]
    positions: np.ndarray

    @classmethod
    def of(cls, fragment: Molecule) -> Scaffold:
        """From a molecule with bonds and coordinates; its hydrogens may be replaced.

        Raises:
            RecordError: it has none of these.
        """
        if fragment.mol is None or fragment.positions is None:
            raise RecordError("a scaffold needs bonds and coordinates", field="scaffold")
        heavy, source = heavy_graph(fragment.mol)
        smiles, order = kekule_smiles(heavy)
        return cls(tokenize(smiles), fragment.positions[[source[i] for i in order]])

    @property
    def placed(self) -> np.ndarray:
        """(n, 3) positions in the frame of the model: the first atom at the origin."""
        return canonical_orientation(self.positions)

    def restored(self, molecule: Molecule) -> Molecule:
        """A sample in the frame of the scaffold, whose atoms get their coordinates back exactly.

        Raises:
            RecordError: the molecule does not hold the scaffold's coordinates.
        """
        assert molecule.positions is not None
        placed = self.placed
        apart = np.linalg.norm(placed[:, None] - molecule.positions, axis=-1)
        atoms = apart.argmin(1)
        if apart.min(1).max() > 1e-2 or len(set(atoms.tolist())) < len(atoms):
            raise RecordError("the sample lost the scaffold")
        turn = _rotation(placed - placed.mean(0), self.positions - self.positions.mean(0))
        moved = (molecule.positions - placed.mean(0)) @ turn + self.positions.mean(0)
        moved[atoms] = self.positions
        return Molecule(molecule.symbols, moved, mol=molecule.mol)


def _rotation(origin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) proper rotation R with ``origin @ R`` nearest to ``target`` (Kabsch, 1976)."""
    u, _, v = np.linalg.svd(origin.T @ target)
    sign = np.sign(np.linalg.det(u @ v))
    return u @ np.diag([1.0, 1.0, sign]) @ v


class ScaffoldGrammar:
    """SMILES that begin with a scaffold, with chains inserted between its tokens.

    Every state can be finished: a token is allowed only if the insertion could end behind it and
    the rest of the scaffold follow.

    Args:
        vocabulary: of the model.
        scaffold: what is kept.
        max_heavy: most heavy atoms.
        max_atoms: most atoms with hydrogens; ``None``: no limit.

    Raises:
        RecordError: the scaffold itself is beyond the vocabulary or the limits.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        scaffold: Scaffold,
        max_heavy: int,
        max_atoms: int | None = None,
    ) -> None:
        self.free = SmilesGrammar(vocabulary, max_heavy, max_atoms)
        self.tokens = vocabulary.ids(scaffold.tokens).tolist()
        self.is_atom = [bool(element(token)) for token in scaffold.tokens]
        self.next, self.inserting = 0, False
        self.kept: list[int] = []
        if not self._finishes(SmilesState(), 0, 0):
            size = sum(self.is_atom)
            raise RecordError(
                f"the scaffold ({size} heavy atoms) does not fit into molecules of this model, of "
                f"at most {max_atoms or max_heavy} atoms",
                field="scaffold",
            )

    def allowed(self) -> tuple[np.ndarray, bool]:
        """(V,) bool mask of the tokens that may follow, and whether the SMILES may end here."""
        if self.next == len(self.tokens) and not self.inserting:
            return self.free.allowed()
        mask = np.zeros(self.free.size, dtype=bool)
        if self.inserting:
            mask[self._insertable()] = True
        else:
            extending = self._extends()
            if extending:
                mask[self._chain(self._finishes_from_here)] = True
            if not (extending and self.free.pending):
                mask[self.tokens[self.next]] = True
                mask[self.free.open] |= self._may_insert()
        return mask, False

    def push(self, token: int) -> None:
        """Take one token, which must be allowed."""
        if self.inserting:
            self.inserting = token != self.free.close
        elif self.next < len(self.tokens):
            if token == self.tokens[self.next]:
                if self.is_atom[self.next]:
                    self.kept.append(len(self.free.state.atoms))
                self.next += 1
            else:
                self.inserting = token == self.free.open
        self.free.push(token)

    @property
    def _framed(self) -> bool:
        return len(self.kept) >= min(FRAME, sum(self.is_atom))

    def _extends(self) -> bool:
        """Whether a branch of the scaffold ends here, which a chain may make longer."""
        return self._framed and self.tokens[self.next] == self.free.close

    def _finishes_from_here(self, state: SmilesState | None) -> bool:
        return state is not None and self._finishes(state, self.next, 0)

    def _may_insert(self) -> bool:
        """Whether a branch may begin here: after the first atoms, and not amid a bond."""
        if self.free.pending or not self._framed:
            return False
        opened = self.free.state.branch()
        return opened is not None and any(
            self._ends(opened.add(self.free.rules[group[0]], 1)) for group in self.free.groups
        )

    def _insertable(self) -> list[int]:
        """Atoms, bonds and the end that may follow inside an insertion."""
        found = self._chain(self._ends)
        if not self.free.pending and self._ends(self.free.state):
            found.append(self.free.close)
        return found

    def _chain(self, fits: Callable[[SmilesState | None], bool]) -> list[int]:
        """Atoms and bonds that a chain goes on with; ``fits`` says where it could end."""
        free = self.free
        found = self._atoms(free.pending or 1, fits)
        if free.pending:
            return found
        return found + [t for t, order in free.bonds.items() if self._atoms(order, fits)]

    def _atoms(self, order: int, fits: Callable[[SmilesState | None], bool]) -> list[int]:
        state, rules = self.free.state, self.free.rules
        return [
            token
            for group in self.free.groups
            if fits(state.add(rules[group[0]], order))
            for token in group
        ]

    def _ends(self, state: SmilesState | None) -> bool:
        """Whether the insertion may end here, and the scaffold still be finished."""
        closed = None if state is None else state.close_branch()
        return closed is not None and self._finishes(closed, self.next, 0)

    def _finishes(self, state: SmilesState | None, place: int, order: int) -> bool:
        """Whether the scaffold's tokens from ``place`` on may follow, within the limits."""
        free = self.free
        for token in self.tokens[place:]:
            assert state is not None
            if token in free.bonds:
                order = free.bonds[token]
                continue
            if token in free.rules:
                state = state.add(free.rules[token], order or 1)
            elif token in free.digits:
                state = state.ring(free.digits[token], order)
            else:
                state = state.branch() if token == free.open else state.close_branch()
            order = 0
            if state is None:
                return False
        if state is None or not state.finished or len(state.atoms) > free.max_heavy:
            return False
        return free.max_atoms is None or state.size <= free.max_atoms


def kept_atoms(
    vocabulary: Vocabulary, scaffold: Scaffold, tokens: Sequence[str], limit: int
) -> list[int]:
    """Index among the heavy atoms of a SMILES of each atom of its scaffold."""
    grammar = ScaffoldGrammar(vocabulary, scaffold, limit)
    for token in vocabulary.ids(tokens).tolist():
        grammar.push(token)
    return grammar.kept
