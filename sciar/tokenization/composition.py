"""Compositions: parsing, and the grammar that keeps them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.elements import NUMBER, canonical_key
from sciar.tokenization.vocabulary import Vocabulary

_TERM = re.compile(r"([A-Z][a-z]?)(\d*)")


def parse_composition(composition: str | Mapping[str, int]) -> dict[str, int]:
    """``"Na4 Cl4"``, ``"Na4Cl4"`` or a mapping -> element -> atoms in the cell.

    Raises:
        RecordError: unknown element, a count that is no positive integer, or text left over.
    """
    if isinstance(composition, Mapping):
        pairs = [(str(k), v) for k, v in composition.items()]
    else:
        text = re.sub(r"\s+", "", composition)
        if not text or _TERM.sub("", text):
            raise RecordError(
                f"cannot read {composition!r} as a composition; write it like 'Na4 Cl4'",
                field="composition",
            )
        pairs = [(symbol, int(count or 1)) for symbol, count in _TERM.findall(text)]
    counts: Counter[str] = Counter()
    for symbol, count in pairs:
        if symbol not in NUMBER:
            raise RecordError(f"{symbol!r} is no element", field="composition")
        if int(count) != count or count < 1:
            raise RecordError(
                f"{symbol}: {count} atoms is no positive whole number", field="composition"
            )
        counts[symbol] += int(count)
    return dict(counts)


def exact_composition(
    wanted: Mapping[str, Any], task: str, most: int
) -> tuple[dict[str, int] | None, dict[str, Any]]:
    """The counts of an exact ``composition`` among what is wanted, and what else is wanted.

    Args:
        wanted: conditions of a request.
        task: ``csp`` needs a composition.
        most: atoms that the model was built for.

    Raises:
        UsageError: ``csp`` without a composition, or other conditions beside one.
        RecordError: no composition, or more atoms.
    """
    rest = dict(wanted)
    composition = rest.pop("composition", None)
    if composition is None:
        if task == "csp":
            raise UsageError("this model predicts structures of given compositions: give one")
        return None, rest
    if rest:
        raise UsageError(f"a composition is exact; drop {', '.join(sorted(rest))}")
    counts = parse_composition(composition)
    if sum(counts.values()) > most:
        raise RecordError(
            f"{sum(counts.values())} atoms; this model was built for at most {most}",
            field="composition",
        )
    return counts, rest


class CompositionGrammar:
    """Element symbols in canonical order, within a chemical system and a number of atoms.

    Args:
        vocabulary: the model's vocabulary.
        limit: most atoms that the model can express.
        elements: if given, exactly these elements must all occur.
        max_atoms: most atoms that the user wants.

    Raises:
        UsageError: if the constraints cannot be met.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        limit: int,
        elements: Iterable[str] | None = None,
        max_atoms: int | None = None,
        prefix: str = "",
    ) -> None:
        self.vocabulary = vocabulary
        self.limit = min(limit, max_atoms) if max_atoms else limit
        known = [n for n in vocabulary.names if n.startswith(prefix) and n[len(prefix) :] in NUMBER]
        wanted = sorted(set(elements), key=canonical_key) if elements else None
        if wanted is not None:
            for symbol in wanted:
                vocabulary.id(prefix + symbol)
            if len(wanted) > self.limit:
                raise UsageError(f"{len(wanted)} elements do not fit into {self.limit} atoms")
            known = [prefix + s for s in wanted]
        if self.limit < 1:
            raise UsageError("max_atoms must be at least 1")
        ranked = sorted(known, key=lambda name: canonical_key(name[len(prefix) :]))
        self.order = vocabulary.ids(ranked)
        self.rank = {int(token): i for i, token in enumerate(self.order)}
        self.all_required = wanted is not None
        self.current, self.count = -1, 0

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Symbols not before the current one; with a chemical system, none may be skipped."""
        mask = np.zeros(len(self.vocabulary), dtype=bool)
        last = len(self.order) - 1
        if self.count < self.limit:
            if self.all_required:
                missing = last - self.current
                if self.current >= 0 and self.limit - self.count > missing:
                    mask[self.order[self.current]] = True
                if self.current < last:
                    mask[self.order[self.current + 1]] = True
            else:
                mask[self.order[max(self.current, 0) :]] = True
        done = self.count > 0 and (not self.all_required or self.current == last)
        return mask, done

    def push(self, token: int) -> None:
        """Take one element symbol."""
        self.current, self.count = self.rank[token], self.count + 1
