"""Which call of one program is which of another: one to one, by the Hungarian algorithm."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from sciar.records import Call, Program
from sciar.tokenization.programs.language import Language


def cost(language: Language, first: Call, second: Call) -> float:
    """How different two calls of one name are: 1 for each argument that differs in words or counts
    or is missing in one; for numbers their distance as a share of their range, at most 1.
    """
    total = 0.0
    for key, argument in language.calls[first.name].arguments.items():
        a, b = first.arguments.get(key), second.arguments.get(key)
        if not isinstance(a, tuple) or not isinstance(b, tuple):
            total += float(a != b)
            continue
        span = argument.map
        ends = span.forward(np.array([span.low, span.high]))
        gap = np.abs(span.forward(np.array(a)) - span.forward(np.array(b)))
        if span.kind == "torus":
            gap = np.minimum(gap, 1.0 - gap)
        else:
            gap = gap / (ends[1] - ends[0])
        total += min(1.0, float(np.linalg.norm(gap)))
    return total


def relabelled(language: Language, true: Program, found: Program) -> tuple[int, ...]:
    """The order of the calls of ``true`` that agrees best with the order of ``found``.

    Calls are matched name by name; those that nothing matches come last, in the order of ``true``.

    Returns:
        Indices into ``true.calls``, each once.
    """
    ranks = {i: (len(found.calls), i) for i in range(len(true.calls))}
    for name in language.calls:
        own = [i for i, call in enumerate(true.calls) if call.name == name]
        theirs = [j for j, call in enumerate(found.calls) if call.name == name]
        if not own or not theirs:
            continue
        table = np.array(
            [[cost(language, true.calls[i], found.calls[j]) for j in theirs] for i in own]
        )
        for a, b in zip(*linear_sum_assignment(table), strict=True):
            ranks[own[a]] = (theirs[b], own[a])
    return tuple(sorted(ranks, key=lambda i: ranks[i]))
