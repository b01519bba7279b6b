"""What every codec of answers must do, as a class of tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.tokenization.answers.base import NUMBER, SPECIALS, AnswerCodec
from sciar.tokenization.vocabulary import Vocabulary

Example = tuple[Protein, Any, tuple[str, ...]]


class AnswerTests(ABC):
    """Round trip, and a grammar whose every walk is an answer.

    Attributes:
        walks: random walks for each example.
        one_way_to_write: whether a value has one way to be written, so that every walk is what
            encoding its value gives.
    """

    walks: int = 40
    one_way_to_write: bool = True

    @abstractmethod
    def make_codec(self) -> AnswerCodec:
        """A fresh codec; every call gives an equal one."""

    @abstractmethod
    def make_examples(self) -> Sequence[Example]:
        """(protein, value in canonical form, tokens of the answer)."""

    def test_encoding_gives_the_tokens(self) -> None:
        """The tokens are those of the examples."""
        codec = self.make_codec()
        for protein, value, tokens in self.make_examples():
            assert codec.encode(value, protein) == tokens

    def test_decode_inverts_encode(self) -> None:
        """What is decoded is what was encoded; so the grammar accepts every encoding."""
        codec = self.make_codec()
        for protein, value, _ in self.make_examples():
            payload = codec.payload(value)
            decoded = codec.decode(codec.encode(value, protein), protein, payload)
            assert decoded == value, f"{decoded!r} is not {value!r}"
            assert type(decoded) is type(value)

    def test_every_walk_is_an_answer(self) -> None:
        """Whatever is sampled, it ends in time and decodes."""
        codec = self.make_codec()
        vocabulary = crowded(codec)
        for number, (protein, _, _) in enumerate(self.make_examples()):
            rng = np.random.default_rng(number)
            for _ in range(self.walks):
                tokens = random_answer(codec, vocabulary, protein, rng)
                payload = rng.normal(size=tokens.count(NUMBER)).tolist()
                value = codec.decode(tokens, protein, payload)
                again = codec.encode(value, protein)
                if self.one_way_to_write:
                    assert again == tokens, f"{tokens} and {again} mean the same"
                assert codec.decode(again, protein, codec.payload(value)) == value

    def test_prompts_and_answers_are_in_the_vocabulary(self) -> None:
        """``names`` lists everything that is ever written, once."""
        codec = self.make_codec()
        assert len(set(codec.names)) == len(codec.names)
        for protein, value, _ in self.make_examples():
            used = {*codec.prompt(protein), *codec.encode(value, protein)}
            assert used <= set(codec.names)

    def test_other_tokens_are_refused(self) -> None:
        """A foreign token in front is an error, never skipped."""
        codec = self.make_codec()
        for protein, value, tokens in self.make_examples():
            try:
                codec.decode(("<bos>", *tokens), protein, codec.payload(value))
            except RecordError as error:
                assert "<bos>" in error.reason
            else:
                raise AssertionError("an answer with a foreign token was decoded")


def crowded(codec: AnswerCodec) -> Vocabulary:
    """A vocabulary in which the codec's tokens lie among others."""
    others = [f"other:{i}" for i in range(7)]
    return Vocabulary(tuple(dict.fromkeys((*SPECIALS, *others, *codec.names, "last"))))


def random_answer(
    codec: AnswerCodec, vocabulary: Vocabulary, protein: Protein, rng: np.random.Generator
) -> tuple[str, ...]:
    """A random walk of the grammar; a dead end or an overlong answer fails."""
    grammar, tokens = codec.grammar(vocabulary, protein), list[str]()
    limit = codec.max_tokens(protein)
    reluctance = rng.random()  # some walks end early, others go on as long as they may
    while True:
        mask, may_end = grammar.allowed()
        assert mask.shape == (len(vocabulary),) and mask.dtype == bool
        choices = np.flatnonzero(mask)
        assert len(choices) or may_end, f"dead end after {tokens[-5:]}"
        if may_end and (not len(choices) or rng.random() > reluctance):
            return tuple(tokens)
        token = int(rng.choice(choices[:3] if rng.random() < 0.5 else choices))
        tokens.append(vocabulary.names[token])
        assert len(tokens) <= limit, f"longer than max_tokens says: {limit}"
        grammar.push(token)
