"""Programs with numbers <-> tokens, for any language.

Layout: ``<bos> <program> calls <eos>``, where the slots of numbers stand among the words of the
calls, so that each number and each word hangs on the numbers before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Program, Record
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.programs.language import load_language
from sciar.tokenization.programs.symbols import ProgramGrammar, Symbols, anchors_of
from sciar.tokenization.vocabulary import Vocabulary

ORDERS = ("canonical", "file", "random")


class ProgramTokenizer(LayoutTokenizer):
    """Program <-> tokens.

    Args:
        language: name of a language that ships, or a YAML file.
        numbers: ``float``: a slot for each number, which a head predicts; ``char``: digits.
        order: of calls of one name: ``canonical`` (as the language sorts), ``file``, or ``random``
            (anew for each augmented view).
        shuffle: augmented views have the arguments of each call in random order.
        synonyms: augmented views take any word of the same meaning.
        max_calls: longest program; by default what the language allows.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: an unknown language or option.
    """

    makes = ("programs",)

    def __init__(
        self,
        language: str,
        numbers: str = "float",
        order: str = "canonical",
        shuffle: bool = False,
        synonyms: bool = False,
        max_calls: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if order not in ORDERS:
            raise UsageError(f"order {order!r} is none of {', '.join(ORDERS)}")
        self.source, self.language = language, load_language(language)
        self.symbols = Symbols(self.language, numbers)
        self.numbers, self.order, self.shuffle = numbers, order, shuffle
        self.synonyms = synonyms
        self.max_calls = max_calls
        self.max_atoms = max_calls or self.language.most
        self.conditions = tuple(f"n_{name}" for name in self.language.calls)
        names = ("<pad>", "<bos>", "<eos>", "<program>", *self.symbols.names)
        self.vocabulary = vocabulary or Vocabulary(names, self.symbols.slots)
        self.layout = Layout(
            name=f"program-{self.language.name}",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("open", role="forced", tokens=("<program>",)),
                Segment("program", mixed=True),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
        )

    def config(self) -> dict[str, Any]:
        return {
            "language": self.source,
            "numbers": self.numbers,
            "order": self.order,
            "shuffle": self.shuffle,
            "synonyms": self.synonyms,
            "max_calls": self.max_calls,
        }

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Program -> words.

        Raises:
            RecordError: not a program of this language; call and argument are named.
        """
        self.check_kind(structure)
        assert isinstance(structure, Program)
        if self.order == "random" and augment is not None:
            mixed = [structure.calls[i] for i in augment.permutation(len(structure))]
            structure = Program(tuple(mixed))
        program = self.language.check(structure, self.order)
        rng = augment if self.shuffle or self.synonyms else None
        return {"program": self.symbols.write(program, rng, self.shuffle, self.synonyms)}

    def structure(self, fields: Mapping[str, Words | Slots]) -> Any:
        """Words -> program."""
        words = fields["program"]
        assert isinstance(words, Words)
        return self.symbols.read(words)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        raise UsageError("the numbers of a program stand among its words")

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        return ProgramGrammar(
            self.symbols, self.vocabulary, dict(request.constraints), self.max_atoms
        )

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        return anchors_of(words)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``n_add=3`` asks for exactly three calls of ``add()``.

        Raises:
            UsageError: an unknown constraint.
            RecordError: a number of calls that the language does not allow.
        """
        wanted = self.known(constraints)
        exactly: dict[str, int] = {}
        for key, value in wanted.items():
            name = key.removeprefix("n_")
            signature = self.language.calls[name]
            if not isinstance(value, int) or not signature.least <= value <= signature.most:
                raise RecordError(
                    f"{value!r} calls of {name}(); a program of {self.language.name} has "
                    f"{signature.least} to {signature.most}",
                    field=key,
                )
            exactly[name] = value
        total = sum(exactly.values()) + sum(
            s.least for name, s in self.language.calls.items() if name not in exactly
        )
        if total > self.max_atoms:
            raise RecordError(f"{total} calls; this model makes at most {self.max_atoms}")
        return Request({}, exactly, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        self.check_kind(record.structure)
        program: Any = record.structure
        return {
            f"n_{name}": sum(call.name == name for call in program.calls)
            for name in self.language.calls
        }

    def atom_order(self, structure: Any) -> list[int]:
        """Call of each anchor: the order in which calls are encoded."""
        checked = self.language.check(structure, self.order).calls
        plain = [self.language.check_call(call, "call") for call in structure.calls]
        order: list[int] = []
        for call in checked:
            order.append(next(i for i, c in enumerate(plain) if c == call and i not in order))
        return order
