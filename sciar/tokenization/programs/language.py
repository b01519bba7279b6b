"""Languages of programs: which calls there are, and what type each argument has.

A language is declared in YAML. Text, tokens, grammar and slots all derive from the declaration, so
a new kind of program is a file and no code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program, Value
from sciar.tokenization.programs.transforms import Transform

ROTATIONS = {"6d": 6, "9d": 9}


@dataclass(frozen=True)
class Argument:
    """One typed argument of a call. Exactly one of the four types is given.

    Attributes:
        words: the words that it may be, in canonical order.
        counts: smallest and largest whole number.
        numbers: names of its real components, one or more.
        rotation: ``6d`` (first two rows of the rotation matrix, row by row) or ``9d`` (three).
        optional: whether a call may lack it.
        synonyms: other words -> the canonical word that they mean.
        transform: of each number, see :class:`~sciar.tokenization.programs.transforms.Transform`.
        low: smallest number.
        high: largest number.
        scale: unit of the transform.
        decimals: digits after the point, in text and where numbers are spelled.
        unit: of the numbers, for readers.
    """

    words: tuple[str, ...] = ()
    counts: tuple[int, int] | None = None
    numbers: tuple[str, ...] = ()
    rotation: str = ""
    optional: bool = False
    synonyms: Mapping[str, str] = field(default_factory=dict)
    transform: str = "linear"
    low: float = -10.0
    high: float = 10.0
    scale: float = 1.0
    decimals: int = 3
    unit: str = ""

    def __post_init__(self) -> None:
        for name in ("words", "numbers"):
            object.__setattr__(self, name, tuple(map(str, getattr(self, name))))
        given = [n for n in ("words", "counts", "numbers", "rotation") if getattr(self, n)]
        if len(given) != 1:
            raise UsageError(f"give one of words, counts, numbers, rotation; got {given}")
        if self.counts:
            counts = tuple(self.counts)
            if len(counts) != 2 or not 0 <= counts[0] <= counts[1] <= 999:
                raise UsageError(f"counts are two rising numbers from 0 to 999, not {self.counts}")
            object.__setattr__(self, "counts", counts)
        if self.rotation and self.rotation not in ROTATIONS:
            raise UsageError(f"rotation {self.rotation!r} is none of {', '.join(ROTATIONS)}")
        if not 1 <= self.decimals <= 9:
            raise UsageError(f"decimals lie between 1 and 9, not {self.decimals}")
        for word in (*self.words, *self.synonyms):
            if not word or any(c in "'\n\r\\" for c in word):
                raise UsageError(f"the word {word!r} is empty or holds a quote or line break")
        if len({*self.words, *self.synonyms}) != len(self.words) + len(self.synonyms):
            raise UsageError(f"words and synonyms must differ: {self.words}, {[*self.synonyms]}")
        strange = set(self.synonyms.values()) - set(self.words)
        if strange:
            raise UsageError(f"synonyms of unknown words: {', '.join(sorted(strange))}")
        if self.components and self.ticks[0] > self.ticks[1]:
            raise UsageError(f"no number of {self.decimals} decimals lies in the range")

    @property
    def map(self) -> Transform:
        """The transform of each number; a rotation has none and lies in [-1, 1]."""
        if self.rotation:
            return Transform("linear", -1.0, 1.0)
        return Transform(self.transform, self.low, self.high, self.scale)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the real numbers; none for words and counts."""
        if self.rotation:
            n = ROTATIONS[self.rotation]
            return tuple(f"r{i // 3 + 1}{i % 3 + 1}" for i in range(n))
        return self.numbers

    @property
    def choices(self) -> tuple[str, ...]:
        """Canonical words, or counts as text."""
        if self.counts:
            return tuple(map(str, range(self.counts[0], self.counts[1] + 1)))
        return self.words

    @property
    def ticks(self) -> tuple[int, int]:
        """Smallest and largest number that can be spelled, in units of the last decimal."""
        unit, span = 10**self.decimals, self.map
        # Decimal fractions such as 0.1 miss their multiple by a rounding error.
        low = math.ceil(round(span.low * unit, 6))
        if span.kind == "torus":
            return low, math.ceil(round(span.high * unit, 6)) - 1
        return low, math.floor(round(span.high * unit, 6))

    def tick(self, x: float) -> int:
        """The number that spells x best; on the torus the upper end is the lower one."""
        low, high = self.ticks
        k = round(x * 10**self.decimals)
        if k > high and self.map.kind == "torus":
            return low
        return min(max(k, low), high)

    def rounded(self, x: float) -> float:
        """A number as text holds it: inside the range, with :attr:`decimals` digits."""
        return self.tick(x) / 10**self.decimals

    def check(self, value: Value) -> Value:
        """The value in canonical form.

        Raises:
            RecordError: of another type, unknown, or out of range; without a location.
        """
        if self.words:
            word = self.synonyms.get(value, value) if isinstance(value, str) else value
            if word not in self.words:
                known = ", ".join((*self.words, *self.synonyms))
                raise RecordError(f"{value!r} is none of {known}")
            return word
        if self.counts:
            low, high = self.counts
            if not isinstance(value, int) or not low <= value <= high:
                raise RecordError(f"{value!r} is no whole number from {low} to {high}")
            return value
        if isinstance(value, int):
            value = (float(value),)
        if not isinstance(value, tuple) or len(value) != len(self.components):
            raise RecordError(f"{value!r} is not {len(self.components)} real numbers")
        span = self.map
        if span.kind == "torus":
            return tuple(_wrapped(x, span.low, span.high) for x in value)
        for name, x in zip(self.components, value, strict=True):
            if not span.low <= x <= span.high:
                raise RecordError(f"{name} = {x:g} lies outside {span.low:g} ... {span.high:g}")
        return value


def _wrapped(x: float, low: float, high: float) -> float:
    if low <= x < high:
        return x
    x = low + (x - low) % (high - low)
    return x if x < high else low


@dataclass(frozen=True)
class Signature:
    """A call that programs may hold.

    Attributes:
        arguments: name -> argument, in the order of text.
        least: how often a program calls it at least.
        most: how often at most.
        sort: canonical order of several calls: names such as ``loc.x``, or ``-loc.x`` for falling
            numbers; words and counts sort by their rank.
    """

    arguments: Mapping[str, Argument]
    least: int = 0
    most: int = 1
    sort: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sort", tuple(self.sort))
        if not 0 <= self.least <= self.most or self.most < 1:
            raise UsageError(f"least {self.least} and most {self.most} are no counts of calls")
        for name in self.arguments:
            if not name.isidentifier():
                raise UsageError(f"{name!r} is no name of an argument")
        for key in self.sort:
            name, _, component = key.removeprefix("-").partition(".")
            argument = self.arguments.get(name)
            if argument is None or (component and component not in argument.components):
                raise UsageError(f"sort: there is no argument {key!r}")

    def rank(self, call: Call) -> tuple[float, ...]:
        """Sorting key of a checked call; an argument that it lacks comes first."""
        ranks = []
        for key in self.sort:
            name, _, component = key.removeprefix("-").partition(".")
            argument, value = self.arguments[name], call.arguments.get(name)
            if value is None:
                rank = float("-inf")
            elif isinstance(value, tuple):
                rank = value[argument.components.index(component) if component else 0]
            else:
                rank = float(argument.choices.index(str(value)))
            ranks.append(-rank if key.startswith("-") else rank)
        return tuple(ranks)


@dataclass(frozen=True)
class Language:
    """Calls in the order in which a program holds them, each as often as its signature says.

    Attributes:
        name: of the language.
        calls: name -> signature.
    """

    name: str
    calls: Mapping[str, Signature]

    def __post_init__(self) -> None:
        if not self.calls:
            raise UsageError(f"language {self.name}: no calls")
        for name in self.calls:
            if not name.isidentifier():
                raise UsageError(f"language {self.name}: {name!r} is no name of a call")

    @property
    def most(self) -> int:
        """Calls of the longest program."""
        return sum(signature.most for signature in self.calls.values())

    def check(self, program: Program, order: str = "file") -> Program:
        """The program in canonical form: canonical words, arguments and calls in declared order.

        Args:
            program: any program.
            order: ``canonical`` also sorts the calls of each name; ``file`` keeps their order.

        Raises:
            RecordError: what is not of this language; call and argument are named.
        """
        ranks = {name: i for i, name in enumerate(self.calls)}
        checked = [self.check_call(call, f"call {i + 1}") for i, call in enumerate(program.calls)]
        for name, signature in self.calls.items():
            n = sum(call.name == name for call in checked)
            if not signature.least <= n <= signature.most:
                raise RecordError(
                    f"{n} calls of {name}(); a program of {self.name} has {signature.least} to "
                    f"{signature.most}",
                    field=name,
                )
        if order == "canonical":
            checked.sort(key=lambda call: (ranks[call.name], *self.calls[call.name].rank(call)))
        else:
            checked.sort(key=lambda call: ranks[call.name])
        return Program(tuple(checked))

    def check_call(self, call: Call, where: str) -> Call:
        """One call in canonical form; see :meth:`check`."""
        signature = self.calls.get(call.name)
        if signature is None:
            known = ", ".join(f"{name}()" for name in self.calls)
            raise RecordError(f"{where}: there is no {call.name}(); known are {known}")
        unknown = [key for key in call.arguments if key not in signature.arguments]
        if unknown:
            known = ", ".join(signature.arguments)
            raise RecordError(
                f"{where}: {call.name}() has no argument {unknown[0]}; it takes {known}",
                field=unknown[0],
            )
        values: dict[str, Value] = {}
        for key, argument in signature.arguments.items():
            if key in call.arguments:
                try:
                    values[key] = argument.check(call.arguments[key])
                except RecordError as error:
                    raise RecordError(f"{where}: {key}: {error.reason}", field=key) from None
            elif not argument.optional:
                raise RecordError(f"{where}: {call.name}() lacks {key}", field=key)
        return Call(call.name, values)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "language") -> Language:
        """From the plain form that YAML holds.

        Raises:
            UsageError: an unknown option, or a declaration that makes no sense; it is named.
        """
        try:
            calls = {
                name: Signature(
                    **{
                        **call,
                        "arguments": {
                            key: _made(Argument, argument, f"{source}: {name}.{key}")
                            for key, argument in call["arguments"].items()
                        },
                    }
                )
                for name, call in data["calls"].items()
            }
            return cls(data["name"], calls)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{source}: not a language of programs ({error})") from error


def load_language(name: str) -> Language:
    """A language that ships, by its name, or one from a YAML file.

    Raises:
        UsageError: there is none, or it is none.
    """
    shipped = files("sciar.tokenization.programs") / f"{name}.yaml"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        text = path.read_text(encoding="utf-8")
    elif shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        raise UsageError(f"no language {name!r}; known are {', '.join(SHIPPED)}, or a YAML file")
    return Language.from_dict(yaml.safe_load(text), name)


SHIPPED = ("dots", "clevr", "crystal", "cell", "micrograph", "pose6d")


def _made(cls: type[Argument], options: Mapping[str, Any], where: str) -> Argument:
    unknown = set(options) - {f.name for f in fields(cls)}
    if unknown:
        raise UsageError(f"{where}: unknown options {', '.join(sorted(unknown))}")
    try:
        return cls(**options)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
