"""Class labels as tokens ``cls:SPACE:LABEL``, and reading them from records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sciar.errors import RecordError, UsageError


class Labels:
    """The classes of a task in canonical order.

    Args:
        labels: class names; a text such as ``HEC`` means one class a letter.
        space: name space; tasks that name the same space share their tokens.

    Raises:
        UsageError: no labels, or one of them twice.
    """

    def __init__(self, labels: Sequence[Any] | str, space: str) -> None:
        self.labels = tuple(str(label) for label in labels)
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise UsageError("labels must be a non-empty list of different names")
        self.prefix = f"cls:{space}:"
        self.names = tuple(self.prefix + label for label in self.labels)
        self.rank = {label: i for i, label in enumerate(self.labels)}

    def check(self, value: Any) -> str:
        """The label that a record gives, as text.

        Raises:
            RecordError: not one of the labels; the message lists them.
        """
        label = str(value)
        if label not in self.rank:
            shown = ", ".join(self.labels[:12]) + (", ..." if len(self.labels) > 12 else "")
            raise RecordError(f"the label {label!r} is unknown; known: {shown}")
        return label

    def tokens(self, values: Iterable[Any]) -> tuple[str, ...]:
        """Token names of labels, in the order given."""
        return tuple(self.prefix + self.check(value) for value in values)

    def label(self, token: str) -> str:
        """Label of a token name."""
        return token.removeprefix(self.prefix)


def members(value: Any, separator: str | None = None) -> list[Any]:
    """The members of a set-valued label: a list, a set, or a text that is split.

    Raises:
        RecordError: neither, or a member occurs twice.
    """
    if isinstance(value, str):
        parts: list[Any] = value.split(separator) if separator else [value] if value else []
        found = [part.strip() for part in parts if part.strip()]
    elif isinstance(value, Iterable):
        found = list(value)
    elif value is None:
        raise RecordError("the label is missing")
    else:
        found = [value]
    if len(set(found)) != len(found):
        raise RecordError("a member of the set occurs twice")
    return found
