"""The tests for codecs of answers fail for codecs that are wrong."""

from __future__ import annotations

import pytest

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.testing import AnswerTests
from sciar.tokenization.answers.automata import FixedLengthGrammar
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.sites import Sites

P = Protein("MSTAY")


class OffByOne(Sites):
    def value(self, tokens, protein, payload):
        return tuple(int(token[4:]) for token in tokens)


class OneTooFew(PerResidue):
    def grammar(self, vocabulary, protein):
        return FixedLengthGrammar(vocabulary, self.names, len(protein) - 1)


class Forgetful(Sites):
    @property
    def names(self):
        return super().names[:3]


class Hopeful(MultiLabel):
    def max_tokens(self, protein):
        return 1


@pytest.mark.parametrize(
    ("make", "value", "tokens", "test"),
    [
        (OffByOne, (1, 3), ("idx:2", "idx:4"), "test_decode_inverts_encode"),
        (lambda: OneTooFew("A", "x"), "AAAAA", ("cls:x:A",) * 5, "test_decode_inverts_encode"),
        (lambda: OneTooFew("A", "x"), "AAAAA", ("cls:x:A",) * 5, "test_every_walk_is_an_answer"),
        (Forgetful, (4,), ("idx:5",), "test_prompts_and_answers_are_in_the_vocabulary"),
        (lambda: Hopeful("ABCDE", "x"), (), (), "test_every_walk_is_an_answer"),
        (Sites, (1, 3), ("idx:3", "idx:1"), "test_encoding_gives_the_tokens"),
    ],
)
def test_wrong_codecs_fail(make, value, tokens: tuple[str, ...], test: str) -> None:
    class Tests(AnswerTests):
        def make_codec(self):
            return make()

        def make_examples(self):
            return [(P, value, tokens)]

    with pytest.raises((AssertionError, RecordError)):
        getattr(Tests(), test)()


@pytest.mark.parametrize("test", [name for name in dir(AnswerTests) if name.startswith("test_")])
def test_right_codecs_pass(test: str) -> None:
    class Tests(AnswerTests):
        def make_codec(self):
            return Sites()

        def make_examples(self):
            return [(P, (1, 3), ("idx:2", "idx:4"))]

    getattr(Tests(), test)()
