"""Programs as tokens: names, the slots among them, writing, reading, and what may follow.

A call is ``add(``, then for each argument its key and its value, then ``)``. A value is a word, a
whole number, or for each real component either one slot (``float``) or digits of fixed width
(``char``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program, Value
from sciar.tokenization.answers.digits import DIGITS, MINUS, PLUS, POINT, DigitsGrammar
from sciar.tokenization.layout import SlotSpec, Words
from sciar.tokenization.programs.language import Argument, Language
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

NUMBERS = ("float", "char")
CLOSE = ")"


@dataclass(frozen=True)
class Symbols:
    """The tokens of a language.

    Attributes:
        language: of the programs.
        numbers: ``float``: real numbers are payloads of slots; ``char``: they are spelled.
    """

    language: Language
    numbers: str = "float"

    def __post_init__(self) -> None:
        if self.numbers not in NUMBERS:
            raise UsageError(f"numbers {self.numbers!r} are none of {', '.join(NUMBERS)}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All tokens, slots among them, each once."""
        found: dict[str, None] = {}
        for call, signature in self.language.calls.items():
            found[f"{call}("] = None
            for key, argument in signature.arguments.items():
                found[f"{key}="] = None
                found.update(dict.fromkeys(self.choices(argument)))
        found[CLOSE] = None
        found.update(dict.fromkeys(slot.name for slot in self.slots))
        if self.numbers == "char" and any(a.components for _, _, a in self.arguments()):
            found.update(dict.fromkeys((*DIGITS, POINT, PLUS, MINUS)))
        return tuple(found)

    @cached_property
    def slots(self) -> tuple[SlotKind, ...]:
        """A kind for each real component, so that each has its own scale; a rotation is one."""
        if self.numbers == "char":
            return ()
        return tuple(
            SlotKind(name, width, geometry)
            for call, key, argument in self.arguments()
            for name, width, geometry in self.places(call, key, argument)
        )

    def arguments(self) -> Iterator[tuple[str, str, Argument]]:
        """Call, key and argument of all."""
        for call, signature in self.language.calls.items():
            for key, argument in signature.arguments.items():
                yield call, key, argument

    @staticmethod
    def choices(argument: Argument) -> tuple[str, ...]:
        """Tokens of words (with synonyms) or whole numbers."""
        words = (*argument.choices, *argument.synonyms)
        return words if argument.counts else tuple(f"'{word}'" for word in words)

    @staticmethod
    def places(call: str, key: str, argument: Argument) -> tuple[tuple[str, int, str], ...]:
        """Name, width and geometry of the slots of an argument."""
        names = argument.components
        if argument.rotation:
            return ((f"<{call}.{key}>", len(names), "rotation"),)
        if len(names) == 1:
            return ((f"<{call}.{key}>", 1, argument.map.geometry),) if names else ()
        return tuple((f"<{call}.{key}.{c}>", 1, argument.map.geometry) for c in names)

    def most_tokens(self, call: str) -> int:
        """Tokens of the longest call of a name."""
        total = 2
        for key, argument in self.language.calls[call].arguments.items():
            n = len(argument.components)
            if n and self.numbers == "char":
                total += 1 + n * digits_of(argument)
            else:
                total += 1 + (len(self.places(call, key, argument)) if n else 1)
        return total

    def write(
        self,
        program: Program,
        rng: np.random.Generator | None = None,
        shuffle: bool = False,
        synonyms: bool = False,
    ) -> Words:
        """A checked program as words and payloads.

        Args:
            program: in canonical form.
            rng: source of random choices, if there are any.
            shuffle: the arguments of each call come in random order.
            synonyms: any of the words of one meaning is taken.
        """
        tokens: list[str] = []
        payloads: list[tuple[float, ...]] = []
        labels: list[str] = []
        for call in program.calls:
            arguments = self.language.calls[call.name].arguments
            keys = list(call.arguments)
            if rng is not None and shuffle:
                keys = [keys[i] for i in rng.permutation(len(keys))]
            parts: list[tuple[str, tuple[float, ...], str]] = [(f"{call.name}(", (), "")]
            for key in keys:
                argument, value = arguments[key], call.arguments[key]
                parts.append((f"{key}=", (), ""))
                if isinstance(value, tuple):
                    parts += self._reals(call.name, key, argument, value)
                    continue
                text = str(value)
                if rng is not None and synonyms:
                    same = [text, *(s for s, word in argument.synonyms.items() if word == text)]
                    text = same[int(rng.integers(len(same)))]
                parts.append((text if argument.counts else f"'{text}'", (), ""))
            parts.append((CLOSE, (), ""))
            for name, payload, label in parts:
                tokens.append(name)
                payloads.append(payload)
                labels.append(label)
        return Words(tuple(tokens), anchors_of(tokens), tuple(labels), payloads=tuple(payloads))

    def _reals(
        self, call: str, key: str, argument: Argument, value: tuple[float, ...]
    ) -> list[tuple[str, tuple[float, ...], str]]:
        if self.numbers == "char":
            return [(t, (), "") for x in value for t in spell(argument, x)]
        mapped = tuple(np.atleast_1d(argument.map.forward(np.array(value))).tolist())
        places = self.places(call, key, argument)
        if argument.rotation:
            return [(places[0][0], mapped, f"{key}=")]
        pairs = zip(places, mapped, strict=True)
        return [(name, (u,), f"{key}=") for (name, _, _), u in pairs]

    def read(self, words: Words) -> Program:
        """Words and payloads -> program; the inverse of :meth:`write` but for rounding.

        Numbers of slots are kept inside their ranges, so what the grammar allows is a program.

        Raises:
            RecordError: tokens that are no program.
        """
        calls: list[Call] = []
        payloads = words.payloads or ((),) * len(words.tokens)
        queue = list(zip(words.tokens, payloads, strict=True))[::-1]
        try:
            while queue:
                name = queue.pop()[0].removesuffix("(")
                arguments = self.language.calls[name].arguments
                values: dict[str, Value] = {}
                while (token := queue.pop()[0]) != CLOSE:
                    key = token.removesuffix("=")
                    values[key] = self._taken(arguments[key], queue)
                calls.append(Call(name, values))
        except (IndexError, KeyError) as error:
            raise RecordError(f"the tokens are no program of {self.language.name}") from error
        return self.language.check(Program(tuple(calls)))

    def _taken(self, argument: Argument, queue: list[tuple[str, tuple[float, ...]]]) -> Value:
        if argument.words:
            return queue.pop()[0].strip("'")
        if argument.counts:
            return int(queue.pop()[0])
        n = len(argument.components)
        if self.numbers == "char":
            return tuple(float(_digits(argument, queue)) for _ in range(n))
        if argument.rotation:
            row = queue.pop()[1]
            return tuple(np.clip(row, -1.0, 1.0).tolist())
        mapped = np.array([queue.pop()[1][0] for _ in range(n)])
        return tuple(argument.map.inverse(mapped).tolist())


def anchors_of(tokens: Sequence[str]) -> tuple[int, ...]:
    """Index of the call that each token is in."""
    index, anchors = -1, []
    for token in tokens:
        index += token.endswith("(")
        anchors.append(index)
    return tuple(anchors)


def width_of(argument: Argument) -> int:
    """Digits before the point."""
    return max(1, len(str(max(map(abs, argument.ticks)))) - argument.decimals)


def spell(argument: Argument, x: float) -> tuple[str, ...]:
    """Sign, digits, point, digits; the sign only where the range has negative numbers."""
    before, k = width_of(argument), argument.tick(x)
    text = f"{abs(k):0{before + argument.decimals}d}"
    digits = [DIGITS[int(c)] for c in text]
    sign = [MINUS if k < 0 else PLUS] if argument.ticks[0] < 0 else []
    return (*sign, *digits[:before], POINT, *digits[before:])


def digits_of(argument: Argument) -> int:
    """Tokens of a number that is spelled."""
    return width_of(argument) + 1 + argument.decimals + (argument.ticks[0] < 0)


def _digits(argument: Argument, queue: list[tuple[str, tuple[float, ...]]]) -> str:
    n = digits_of(argument)
    return "".join(queue.pop()[0].removeprefix("dig:") for _ in range(n))


class ProgramGrammar:
    """What may follow in a program; a :class:`~sciar.tokenization.cursor.MixedGrammar`.

    Args:
        symbols: the tokens of the language.
        vocabulary: that holds them.
        exactly: name of a call -> how often it must come, in place of the limits of the language.
        most: calls of the longest program.
    """

    def __init__(
        self,
        symbols: Symbols,
        vocabulary: Vocabulary,
        exactly: dict[str, int] | None = None,
        most: int = 10**6,
    ) -> None:
        self.symbols, self.vocabulary, self.most = symbols, vocabulary, most
        exactly = exactly or {}
        self.limits = {
            name: (exactly.get(name, s.least), exactly.get(name, s.most))
            for name, s in symbols.language.calls.items()
        }
        self.counts = dict.fromkeys(self.limits, 0)
        self.calls = 0
        # Inside a call: its name, the keys that are still free, and what the value lacks.
        self.call = ""
        self.free: list[str] = []
        self.key = ""
        self.left: list[str] = []
        self.digits: DigitsGrammar | None = None

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Words that may come, and whether the program may end."""
        names = self._names()
        if self.digits is not None:
            return self.digits.allowed()[0], False
        mask = np.zeros(len(self.vocabulary), dtype=bool)
        mask[self.vocabulary.ids(names)] = True
        return mask, not self.call and self._complete()

    def slot(self) -> tuple[str, SlotSpec] | None:
        """The slot of the next real number, where numbers are slots."""
        if self.left and self.symbols.numbers == "float":
            return self.left[0], SlotSpec(label=f"{self.key}=", anchor=self.calls - 1)
        return None

    def push(self, token: int) -> None:
        """Take a word or a slot."""
        if self.digits is not None:
            self.digits.push(token)
            if self.digits.allowed()[1]:
                self.left.pop(0)
                self._spell()
            return
        name = self.vocabulary.names[token]
        if self.left:
            self.left.pop(0)
            self.key = self.key if self.left else ""
        elif not self.call:
            self.call = name.removesuffix("(")
            self.free = list(self._arguments)
            self.counts[self.call] += 1
            self.calls += 1
        elif self.key:
            self.key = ""
        elif name == CLOSE:
            self.call = ""
        else:
            self.key = name.removesuffix("=")
            self.free.remove(self.key)
            argument = self._arguments[self.key]
            if argument.components:
                if self.symbols.numbers == "float":
                    places = self.symbols.places(self.call, self.key, argument)
                    self.left = [place for place, _, _ in places]
                else:
                    self.left = list(argument.components)
                    self._spell()

    @property
    def _arguments(self) -> dict[str, Argument]:
        return dict(self.symbols.language.calls[self.call].arguments)

    def _spell(self) -> None:
        """Begin the next number of a value, or end the value."""
        if not self.left:
            self.digits, self.key = None, ""
            return
        argument = self._arguments[self.key]
        self.digits = DigitsGrammar(
            self.vocabulary, *argument.ticks, width_of(argument), argument.decimals
        )

    def _names(self) -> list[str]:
        if not self.call:
            return [f"{name}(" for name in self._next_calls()]
        if self.key:
            return list(self.symbols.choices(self._arguments[self.key]))
        names = [f"{key}=" for key in self.free]
        if all(self._arguments[key].optional for key in self.free):
            names.append(CLOSE)
        return names

    def _next_calls(self) -> Iterator[str]:
        """Calls that may come: none before the last one's, none past one that is still due."""
        names = list(self.limits)
        # Room that is kept for calls that must still come.
        due = sum(max(0, low - self.counts[name]) for name, (low, _) in self.limits.items())
        room = self.most - self.calls - due
        last = max((i for i, name in enumerate(names) if self.counts[name]), default=0)
        for name in names[last:]:
            least, most = self.limits[name]
            if self.counts[name] < most and (room > 0 or self.counts[name] < least):
                yield name
            if self.counts[name] < least:
                return

    def _complete(self) -> bool:
        return all(self.counts[name] >= least for name, (least, _) in self.limits.items())
