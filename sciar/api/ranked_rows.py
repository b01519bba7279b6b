"""Candidates that were ranked: the first one of each ranking, with its budget.

Each ranking is a row of its own beside the raw samples, never in their place: a ranking by
likelihood has drawn n samples for its one answer, a ranking by energy has relaxed them too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sciar.api.inputs import Collection, Item, origin, places


def ranked_groups(pool: Collection, truth: Collection) -> dict[str, list[list[Any]]]:
    """Label -> for each reference its first candidate; nothing where samples were not ranked."""
    names = sorted({name for item in pool.items for name in item.ranks})
    if not names:
        return {}
    known = places(truth.items)
    groups: dict[int, list[Item]] = defaultdict(list)
    for item in pool.items:
        place = origin(item, known)
        if place is not None:
            groups[place].append(item)
    drawn = max(len(group) for group in groups.values())
    relaxed = any(item.relaxed for item in pool.items)
    budget = f"of {drawn} drawn{', relaxed' if relaxed else ''}"
    return {
        f"first by {name} ({budget})": [
            [_first(groups[place], name)] for place in range(len(truth.items))
        ]
        for name in names
    }


def _first(group: list[Item], name: str) -> Any:
    return next((item.structure for item in group if item.ranks.get(name) == 1), None)
