"""Programs as text, and back: one call a line, in the syntax of a function call with keywords.

    add(size='small', color='blue', loc=(1.204, -2.310, 0.350), rotation=0.035)

Reading takes what people write by hand (arguments in any order, blank lines, comments, one-line
programs) and says where it does not understand.
"""

from __future__ import annotations

import re
from typing import NoReturn

from sciar.errors import RecordError
from sciar.records import Call, Program, Value
from sciar.tokenization.programs.language import Argument, Language

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")


def write_program(program: Program, language: Language) -> str:
    """Program -> text, numbers with the decimals of the language.

    Raises:
        RecordError: the program is not of this language.
    """
    lines = []
    for call in language.check(program).calls:
        arguments = language.calls[call.name].arguments
        parts = (f"{key}={_value(arguments[key], v)}" for key, v in call.arguments.items())
        lines.append(f"{call.name}({', '.join(parts)})\n")
    return "".join(lines)


def _value(argument: Argument, value: Value) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, int):
        return str(value)
    numbers = [f"{argument.rounded(x):.{argument.decimals}f}" for x in value]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def read_program(text: str, language: Language) -> Program:
    """Text -> program in canonical form; the inverse of :func:`write_program` up to its decimals.

    Raises:
        RecordError: what is wrong, with line and column, both counted from 1.
    """
    return _Reader(text, language).program()


class _Reader:
    """Reads one program by recursive descent."""

    def __init__(self, text: str, language: Language) -> None:
        self.text, self.language, self.at = text, language, 0

    def program(self) -> Program:
        calls: list[Call] = []
        ranks = {name: i for i, name in enumerate(self.language.calls)}
        counts = dict.fromkeys(self.language.calls, 0)
        while self._peek():
            start = self.at
            call = self._call()
            signature = self.language.calls[call.name]
            if calls and ranks[call.name] < ranks[calls[-1].name]:
                self._fail(f"{call.name}() must come before {calls[-1].name}()", start)
            counts[call.name] += 1
            if counts[call.name] > signature.most:
                self._fail(f"at most {signature.most} calls of {call.name}() may come", start)
            calls.append(call)
        for name, count in counts.items():
            if count < (least := self.language.calls[name].least):
                self._fail(f"the program ends with {count} calls of {name}(), not {least}", self.at)
        return self.language.check(Program(tuple(calls)))

    def _call(self) -> Call:
        start = self.at
        name = self._name("the name of a call")
        if name not in self.language.calls:
            known = ", ".join(f"{known}()" for known in self.language.calls)
            self._fail(f"there is no {name}(); known are {known}", start)
        arguments = self.language.calls[name].arguments
        values: dict[str, Value] = {}
        self._expect("(")
        while self._peek() != ")":
            if values:
                if self._peek() != ",":
                    self._fail(f"expected ',' or ')', found {self._found()}", self.at)
                self._expect(",")
                if self._peek() == ")":
                    break
            here = self.at
            key = self._name("the name of an argument")
            if key not in arguments:
                self._fail(f"{name}() has no argument {key}; it takes {', '.join(arguments)}", here)
            if key in values:
                self._fail(f"{key} is given twice", here)
            self._expect("=")
            self._peek()
            here = self.at
            try:
                values[key] = arguments[key].check(self._argument(arguments[key]))
            except RecordError as error:
                if error.field == _PLACE:
                    raise
                self._fail(f"{key}: {error.reason}", here)
        for key, argument in arguments.items():
            if key not in values and not argument.optional:
                self._fail(f"{name}() lacks {key}", self.at)
        self._expect(")")
        return Call(name, values)

    def _argument(self, argument: Argument) -> Value:
        if argument.words:
            match = _WORD.match(self.text, self.at)
            if match is None:
                self._fail(f"expected a quoted word, found {self._found()}", self.at)
            self.at = match.end()
            return match[1] if match[1] is not None else match[2]
        if argument.counts:
            start = self.at
            number = self._number()
            if not number.is_integer():
                self._fail(f"expected a whole number, found {number:g}", start)
            return int(number)
        n = len(argument.components)
        if n == 1 and self._peek() != "(":
            return (self._number(),)
        self._expect("(")
        numbers = [self._number()]
        while self._peek() == ",":
            self._expect(",")
            if self._peek() == ")":
                break
            numbers.append(self._number())
        end = self.at
        self._expect(")")
        if len(numbers) != n:
            self._fail(f"{len(numbers)} numbers where there are {n}", end)
        return tuple(numbers)

    def _number(self) -> float:
        self._peek()
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            self._fail(f"expected a number, found {self._found()}", self.at)
        number = float(match[0])
        if abs(number) > 1e300:
            self._fail(f"{match[0]} is too large", self.at)
        self.at = match.end()
        return number

    def _name(self, what: str) -> str:
        self._peek()
        match = _NAME.match(self.text, self.at)
        if match is None:
            self._fail(f"expected {what}, found {self._found()}", self.at)
        self.at = match.end()
        return match[0]

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            self._fail(f"expected {sign!r}, found {self._found()}", self.at)
        self.at += 1

    def _peek(self) -> str:
        """The next character that counts; empty at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def _found(self) -> str:
        rest = self.text[self.at :]
        if not rest:
            return "the end of the program"
        match = re.match(r"\w+|[^\w\s]", rest)
        return repr(match[0] if match else rest[0])

    def _fail(self, reason: str, at: int) -> NoReturn:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise RecordError(f"line {line}, column {column}: {reason}", field=_PLACE)


_PLACE = "program"
"""Field that errors with a place in the text name."""
