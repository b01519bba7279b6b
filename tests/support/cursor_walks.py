"""Walking a cursor with the contents of an encoded sequence."""

from __future__ import annotations

import numpy as np

from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Choice, Cursor, End, Request, SlotQuery, WordGrammar
from sciar.tokenization.sequence import ARRAYS, TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


def replay(tokenizer: LayoutTokenizer, request: Request, wanted: TokenSequence) -> TokenSequence:
    """Answer every question of the cursor with what ``wanted`` has there."""
    cursor = tokenizer.cursor(request)
    for _ in range(len(wanted) + 1):
        question = cursor.expect()
        if isinstance(question, End):
            assert not question.failure, question.failure
            return cursor.sequence()
        at = cursor.known
        if isinstance(question, Choice):
            assert question.mask[wanted.ids[at]], tokenizer.vocabulary.names[wanted.ids[at]]
            cursor.push_token(int(wanted.ids[at]))
        else:
            assert isinstance(question, SlotQuery)
            assert question.kind == wanted.kinds[at]
            width = tokenizer.vocabulary.slots[question.kind - 1].width
            cursor.push_value(wanted.values[at, :width])
    raise AssertionError("the cursor asks for more than the sequence has")


def assert_replayed(tokenizer: LayoutTokenizer, request: Request, wanted: TokenSequence) -> None:
    """The cursor rebuilds the sequence exactly, but for the loss weights."""
    found = replay(tokenizer, request, wanted)
    assert found.context == wanted.context
    for name in ARRAYS:
        if name != "weights":
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def random_words(
    grammar: WordGrammar, vocabulary: Vocabulary, rng: np.random.Generator
) -> tuple[str, ...]:
    """A uniform random walk of a grammar; a dead end fails."""
    words: list[str] = []
    while True:
        mask, may_end = grammar.allowed()
        choices = [*np.flatnonzero(mask), *([-1] if may_end else [])]
        assert choices, f"dead end after {words}"
        token = int(rng.choice(choices))
        if token < 0:
            return tuple(words)
        words.append(vocabulary.names[token])
        grammar.push(token)


def finish_randomly(cursor: Cursor, rng: np.random.Generator) -> TokenSequence:
    """Random allowed tokens and random numbers up to the end."""
    for _ in range(2000):
        question = cursor.expect()
        if isinstance(question, End):
            assert not question.failure, question.failure
            return cursor.sequence()
        if isinstance(question, Choice):
            cursor.push_token(int(rng.choice(np.flatnonzero(question.mask))))
        else:
            width = cursor.vocabulary.slots[question.kind - 1].width
            cursor.push_value(rng.normal(size=width) * 0.1)
    raise AssertionError("the walk does not end")
