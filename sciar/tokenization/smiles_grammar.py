"""An automaton over SMILES tokens whose every finished string RDKit parses and sanitises."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from sciar.errors import UsageError
from sciar.tokenization.smiles import BONDS, element
from sciar.tokenization.smiles_rules import AtomRule, atom_rule
from sciar.tokenization.smiles_state import SmilesState
from sciar.tokenization.vocabulary import Vocabulary


class SmilesGrammar:
    """What may follow inside a generated SMILES; a :class:`~sciar.tokenization.cursor.WordGrammar`.

    A token is allowed if the string is right so far and could still be finished within the limits,
    by the plan of :attr:`SmilesState.cost`; so no walk ends in a dead end.

    Args:
        vocabulary: its SMILES tokens (with ``prefix``) are used, others are never allowed.
        max_heavy: most heavy atoms.
        max_atoms: most atoms with hydrogens; ``None``: no limit.
        prefix: what the names of the SMILES tokens begin with.

    Raises:
        UsageError: if the vocabulary has no carbon or a limit is below one.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        max_heavy: int,
        max_atoms: int | None = None,
        prefix: str = "",
    ) -> None:
        needed = [s for s in ("C", "=", "#", "(", ")") if prefix + s not in vocabulary]
        if needed:
            raise UsageError(f"generating SMILES needs {needed} in the vocabulary")
        if max_heavy < 1 or (max_atoms is not None and max_atoms < 1):
            raise UsageError("the limit on the number of atoms must be at least 1")
        self.size, self.max_heavy, self.max_atoms = len(vocabulary), max_heavy, max_atoms
        self.rules: dict[int, AtomRule] = {}
        self.bonds: dict[int, int] = {}
        self.digits: dict[int, int] = {}
        for i, name in enumerate(vocabulary.names):
            if name.startswith(prefix):
                self._sort_in(i, name[len(prefix) :])
        self.open, self.close = vocabulary.id(prefix + "("), vocabulary.id(prefix + ")")
        groups: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
        for token, rule in self.rules.items():
            groups[tuple(sorted(rule.hydrogens.items()))].append(token)
        self.groups = list(groups.values())
        self.state, self.pending = SmilesState(), 0
        if not self._following(0):
            raise UsageError(f"no molecule has at most {max_atoms or max_heavy} atoms")

    def allowed(self) -> tuple[np.ndarray, bool]:
        """(V,) bool mask of the tokens that may follow, and whether the SMILES may end here."""
        mask = np.zeros(self.size, dtype=bool)
        mask[self._following(self.pending)] = True
        if self.pending:
            return mask, False
        if self.state.mode != "start":
            for token, order in self.bonds.items():
                mask[token] = bool(self._following(order))
            mask[self.open] = self._fits(self.state.branch())
            mask[self.close] = self._fits(self.state.close_branch())
        return mask, self.state.mode != "start" and self.state.finished

    def push(self, token: int) -> None:
        """Take one token, which must be allowed."""
        if token in self.bonds:
            self.pending = self.bonds[token]
            return
        after = self._after(token, self.pending)
        if after is None:
            raise UsageError(f"token {token} is not allowed here")
        self.state, self.pending = after, 0

    def _sort_in(self, token: int, name: str) -> None:
        if name in BONDS:
            # a single bond is written by leaving its symbol out
            if BONDS[name] > 1:
                self.bonds[token] = BONDS[name]
        elif name.lstrip("%").isdigit():
            self.digits[token] = int(name.lstrip("%"))
        elif element(name):
            rule = atom_rule(name)
            if rule is not None:
                self.rules[token] = rule

    def _after(self, token: int, order: int) -> SmilesState | None:
        if token in self.rules:
            return self.state.add(self.rules[token], order or 1)
        if token in self.digits:
            return self.state.ring(self.digits[token], order)
        if token == self.open:
            return self.state.branch()
        return self.state.close_branch() if token == self.close else None

    def _following(self, order: int) -> list[int]:
        """Atoms and ring digits that may follow a bond symbol of this order (0: none)."""
        # tokens with the same valences are allowed or forbidden together
        found = [
            t for group in self.groups if self._fits(self._after(group[0], order)) for t in group
        ]
        if self.state.mode == "atom":
            found += [t for t in self.digits if self._fits(self._after(t, order))]
        return found

    def _fits(self, state: SmilesState | None) -> bool:
        """Whether the string can be finished within the limits."""
        cost = None if state is None else state.cost
        if state is None or cost is None or len(state.atoms) + cost > self.max_heavy:
            return False
        return self.max_atoms is None or state.finished_size(cost) <= self.max_atoms
