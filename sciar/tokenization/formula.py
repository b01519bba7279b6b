"""Formulas as words: each label with how often it occurs, and the grammar that keeps them.

``C *7 O *2 H *10``: labels in a fixed order, each followed by its count. A count word announces the
label that it counts, so that pairs stay pairs where tokens have no order but their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.layout import SlotSpec, Words
from sciar.tokenization.vocabulary import Vocabulary


def count_names(most: int) -> tuple[str, ...]:
    """Names of the count words up to ``most``."""
    return tuple(f"*{n}" for n in range(1, most + 1))


class Formula:
    """Labels in their order, and formulas of them as words.

    Args:
        labels: all labels, in the order in which a formula names them.
        most: largest number of points.
    """

    def __init__(self, labels: Sequence[str], most: int) -> None:
        self.labels, self.most = tuple(labels), most
        self.rank = {label: i for i, label in enumerate(self.labels)}

    def words(self, counts: Mapping[str, int]) -> Words:
        """The words of a formula.

        Raises:
            RecordError: a label that the model does not know, or a count that it cannot express.
        """
        unknown = [label for label in counts if label not in self.rank]
        if unknown:
            raise RecordError(
                f"{unknown[0]!r} is not among the {len(self.labels)} kinds of points that this "
                f"model knows: {', '.join(self.labels[:12])}{', ..' * (len(self.labels) > 12)}",
                field="species",
            )
        tokens: list[str] = []
        labels: list[str] = []
        anchors: list[int] = []
        for i, label in enumerate(sorted(counts, key=self.rank.__getitem__)):
            if not 1 <= counts[label] <= self.most:
                raise RecordError(
                    f"{counts[label]} of {label}; this model takes 1 to {self.most}",
                    field="natoms",
                )
            tokens += [label, f"*{counts[label]}"]
            labels += ["", label]
            anchors += [-1, i]
        return Words(tuple(tokens), tuple(anchors), tuple(labels))

    @staticmethod
    def counts(words: Words) -> dict[str, int]:
        """Label -> count; the inverse of :meth:`words`."""
        pairs = zip(words.tokens[::2], words.tokens[1::2], strict=True)
        return {label: int(count[1:]) for label, count in pairs}


class FormulaGrammar:
    """What may follow inside a formula.

    Args:
        vocabulary: the model's vocabulary.
        formula: labels and the most points.
        elements: if given, exactly these labels occur.
        max_atoms: most points wanted.
        atoms: exact number of points wanted.

    Raises:
        UsageError: the wishes cannot be met.
        RecordError: an unknown label.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        formula: Formula,
        elements: Iterable[str] | None = None,
        max_atoms: int | None = None,
        atoms: int | None = None,
    ) -> None:
        for name, value in (("max_atoms", max_atoms), ("atoms", atoms)):
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1")
        if atoms is not None and atoms > (most := min(formula.most, max_atoms or formula.most)):
            raise UsageError(f"{atoms} atoms are wanted, but at most {most} are possible")
        self.vocabulary, self.formula = vocabulary, formula
        self.limit = atoms or min(formula.most, max_atoms or formula.most)
        self.total = atoms
        wanted = None if elements is None else formula.words(dict.fromkeys(elements, 1)).tokens[::2]
        self.labels = formula.labels if wanted is None else wanted
        self.all_required = wanted is not None
        if wanted is not None and len(wanted) > self.limit:
            raise UsageError(f"{len(wanted)} elements do not fit into {self.limit} atoms")
        self.order = vocabulary.ids(self.labels)
        self.rank = {int(token): i for i, token in enumerate(self.order)}
        self.first_count = vocabulary.id("*1")
        self.current, self.count, self.open, self.pairs = -1, 0, False, 0
        self.position: tuple[float, ...] = ()

    def coming(self) -> SlotSpec:
        """A count announces its label; a label announces nothing."""
        if not self.open:
            return SlotSpec()
        return SlotSpec(label=self.labels[self.current], anchor=self.pairs - 1)

    def group(self) -> list[SlotSpec]:
        """One word at a time."""
        return [self.coming()]

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Allowed tokens, and whether the formula may end."""
        mask = np.zeros(len(self.vocabulary), dtype=bool)
        last = len(self.order) - 1
        left = self.limit - self.count
        if self.open:
            later = last - self.current
            most = left - (later if self.all_required else 0)
            least = 1
            if self.total is not None and not later:
                least = left  # nothing else can make up the total
            mask[self.first_count + least - 1 : self.first_count + most] = True
            return mask, False
        if left and self.current < last:
            end = self.current + 2 if self.all_required else None
            mask[self.order[self.current + 1 : end]] = True
        complete = self.count > 0 and (not self.all_required or self.current == last)
        return mask, complete and (self.total is None or self.count == self.total)

    def push(self, token: int) -> None:
        """Take a label or a count."""
        if self.open:
            self.count += token - self.first_count + 1
        else:
            self.current = self.rank[token]
            self.pairs += 1
        self.open = not self.open


def formula_of(labels: Iterable[str]) -> dict[str, int]:
    """Label -> how often it occurs."""
    return dict(Counter(labels))
