"""Random programs of a language, by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from sciar.records import Call, Program
from sciar.tokenization.programs.language import Argument, Language


def values(argument: Argument) -> st.SearchStrategy:
    """Canonical values of an argument, numbers with its decimals."""
    if argument.words:
        return st.sampled_from(argument.words)
    if argument.counts:
        return st.integers(*argument.counts)
    number = st.integers(*argument.ticks).map(lambda k: k / 10**argument.decimals)
    return st.tuples(*(number for _ in argument.components))


def calls(language: Language, name: str) -> st.SearchStrategy:
    """Calls of a name; optional arguments may be missing."""
    arguments = language.calls[name].arguments
    must = {k: values(a) for k, a in arguments.items() if not a.optional}
    may = {k: values(a) for k, a in arguments.items() if a.optional}
    return st.fixed_dictionaries(must, optional=may).map(lambda given: Call(name, given))


def programs(language: Language, most: int = 3) -> st.SearchStrategy:
    """Programs with at most ``most`` calls of each name, in the order of the language."""
    parts = [
        st.lists(calls(language, name), min_size=s.least, max_size=min(s.most, most))
        for name, s in language.calls.items()
    ]
    return st.tuples(*parts).map(lambda lists: Program(tuple(c for part in lists for c in part)))
