"""What every tokenizer must do, as a class of tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from sciar.errors import RecordError
from sciar.records import KINDS, Record, Structure, kind_of
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.sequence import ARRAYS, TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


class TokenizerTests(ABC):
    """Round trip, determinism, fingerprint, well-formed sequences, refusal of the unknown.

    Attributes:
        tolerance: resolution of the tokenizer, in angstrom.
    """

    tolerance: float = 1e-3

    @abstractmethod
    def make_tokenizer(self) -> LayoutTokenizer:
        """A fresh tokenizer; every call gives an equal one."""

    @abstractmethod
    def make_structures(self) -> Sequence[Structure]:
        """Structures that the tokenizer can express, different from each other."""

    @abstractmethod
    def make_inexpressible(self) -> Structure:
        """A structure with a symbol that the vocabulary does not have."""

    def assert_same(self, actual: Structure, expected: Structure) -> None:
        """Override where "the same structure" means something else."""
        assert_same_structure(actual, expected, self.tolerance)

    def test_decode_inverts_encode(self) -> None:
        """What is decoded is what was encoded, up to the resolution."""
        tokenizer = self.make_tokenizer()
        for structure in self.make_structures():
            self.assert_same(tokenizer.decode(tokenizer.encode(structure)), structure)

    def test_it_says_what_it_makes_and_takes(self) -> None:
        """Its kinds and conditions are declared, and a record asks for what the tokenizer knows."""
        tokenizer = self.make_tokenizer()
        assert set(tokenizer.makes) <= set(KINDS) and tokenizer.makes, "makes names no kind"
        for structure in self.make_structures():
            assert kind_of(structure) in tokenizer.makes, f"makes lacks {kind_of(structure)}"
            assert len(tokenizer.atom_order(structure)) <= len(structure)
            try:
                wanted = tokenizer.conditions_of(Record("record", structure))
            except RecordError as error:
                assert error.reason, "the error must say what the record lacks"
            else:
                unknown = set(wanted) - set(tokenizer.conditions)
                assert not unknown, f"asks for unknown {unknown}"
                request = tokenizer.request(wanted, "record")
                assert kind_of(structure) in tokenizer.makes_for(request)

    def test_augmentation_keeps_the_structure(self) -> None:
        """Random choices in encoding change the sequence at most, never the structure."""
        tokenizer = self.make_tokenizer()
        for seed, structure in enumerate(self.make_structures()):
            augmented = tokenizer.encode(structure, augment=np.random.default_rng(seed))
            self.assert_same(tokenizer.decode(augmented), structure)

    def test_encoding_is_deterministic(self) -> None:
        """Two equal tokenizers give equal sequences."""
        first, second = self.make_tokenizer(), self.make_tokenizer()
        for structure in self.make_structures():
            assert_equal_sequences(first.encode(structure), second.encode(structure))

    def test_sequences_are_well_formed(self) -> None:
        """Arrays agree in length and type; slots, payloads and loss weights are in place."""
        tokenizer = self.make_tokenizer()
        for structure in self.make_structures():
            assert_well_formed(tokenizer.encode(structure), tokenizer.vocabulary)

    def test_fingerprint_is_stable(self) -> None:
        """Equal tokenizers have equal fingerprints; encoding does not change them."""
        tokenizer = self.make_tokenizer()
        before = tokenizer.fingerprint
        for structure in self.make_structures():
            tokenizer.encode(structure)
        assert tokenizer.fingerprint == before == self.make_tokenizer().fingerprint

    def test_fingerprint_sees_the_vocabulary(self) -> None:
        """A vocabulary survives being stored; one more name gives another fingerprint."""
        tokenizer = self.make_tokenizer()
        vocabulary, before = tokenizer.vocabulary, tokenizer.fingerprint
        tokenizer.vocabulary = Vocabulary.from_dict(vocabulary.to_dict())
        assert tokenizer.fingerprint == before
        tokenizer.vocabulary = Vocabulary((*vocabulary.names, "<another>"), vocabulary.slots)
        assert tokenizer.fingerprint != before

    def test_unknown_symbol_raises(self) -> None:
        """What the vocabulary lacks is refused with an error that says so, never replaced."""
        tokenizer = self.make_tokenizer()
        try:
            tokenizer.encode(self.make_inexpressible())
        except RecordError as error:
            assert error.reason, "the error must say what is wrong"
        else:
            raise AssertionError("a structure with an unknown symbol was encoded")

    def test_too_many_atoms_raise(self) -> None:
        """The limit on the number of atoms holds."""
        tokenizer = self.make_tokenizer()
        structure = max(self.make_structures(), key=len)
        tokenizer.max_atoms = len(structure) - 1
        try:
            tokenizer.encode(structure)
        except RecordError as error:
            assert str(len(structure)) in error.reason, "the error must name the number of atoms"
        else:
            raise AssertionError(f"{len(structure)} atoms were encoded past the limit")


def assert_equal_sequences(first: TokenSequence, second: TokenSequence) -> None:
    """All arrays and the context are equal, exactly."""
    assert first.context == second.context
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def assert_well_formed(sequence: TokenSequence, vocabulary: Vocabulary) -> None:
    """The rules of :class:`~sciar.tokenization.sequence.TokenSequence`."""
    length = len(sequence)
    for name, dtype in ARRAYS.items():
        array = getattr(sequence, name)
        assert len(array) == length, f"{name} has length {len(array)}, ids {length}"
        assert array.dtype == dtype, f"{name} is {array.dtype}, not {dtype}"
    assert sequence.positions.shape == sequence.places.shape, "positions and places differ in axes"
    assert np.isfinite(sequence.positions).all(), "a position is not finite"
    assert np.isfinite(sequence.places).all(), "a place is not finite"
    assert 0 <= sequence.context < length, "nothing is left to predict"
    assert ((sequence.ids >= 0) & (sequence.ids < len(vocabulary))).all(), "an id has no name"
    expected = np.zeros(len(vocabulary), dtype=np.int64)
    for number, slot in enumerate(vocabulary.slots, start=1):
        expected[vocabulary.id(slot.name)] = number
    assert (sequence.kinds == expected[sequence.ids]).all(), "kinds disagree with the slot tokens"
    widths = np.array([0, *(slot.width for slot in vocabulary.slots)])[sequence.kinds]
    outside = np.arange(sequence.values.shape[1]) >= widths[:, None]
    assert not sequence.values[outside].any(), "there are numbers where no payload is"
    assert np.isfinite(sequence.values).all(), "a payload is not finite"
    assert (sequence.weights >= 0).all(), "a loss weight is negative"
    assert not sequence.weights[: sequence.context].any(), "a given position carries loss"
    assert sequence.weights.any(), "no position carries loss"
    assert (sequence.references < np.arange(length)[:, None]).all(), "a reference looks ahead"
