"""Intervals of the numbers of a program, in the units of its language."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.tokenization.programs.tokenizer import ProgramTokenizer
from sciar.tokenization.sequence import TokenSequence

Spans = list[dict[str, list[tuple[float, float] | None]]]
"""For each call: argument -> for each number its interval, ``None`` where none is known."""


def spans_of(tokenizer: ProgramTokenizer, sequence: TokenSequence, ends: np.ndarray) -> Spans:
    """Ends on the side of the heads -> ends as users read them.

    Monotone transforms carry quantiles over, so each end is mapped by itself; on a torus ends stay
    unrolled and may lie outside the range of the argument.

    Args:
        tokenizer: of the sequence.
        sequence: L tokens of a whole program.
        ends: (L, 2), NaN where there is no interval.
    """
    vocabulary, language = tokenizer.vocabulary, tokenizer.language
    names = [vocabulary.names[i] for i in sequence.ids]
    found: Spans = []
    arguments: Any = {}
    for i in range(names.index("<program>") + 1, len(names)):
        name = names[i]
        if name.endswith("("):
            found.append({})
            arguments = language.calls[name[:-1]].arguments
        if sequence.kinds[i] == 0 or sequence.labels[i] < 0:
            continue
        key = vocabulary.names[sequence.labels[i]].removesuffix("=")
        argument = arguments[key]
        width = vocabulary.slots[sequence.kinds[i] - 1].width
        own = found[-1].setdefault(key, [])
        if width > 1 or not np.isfinite(ends[i]).all():
            own += [None] * width
            continue
        if argument.map.kind == "torus":
            low, high = argument.map.low + (argument.map.high - argument.map.low) * ends[i]
        else:
            low, high = argument.map.inverse(ends[i])
        own.append((float(low), float(high)))
    return found
