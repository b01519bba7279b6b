"""Errors that a user can act on.

Every message says what is wrong, where (file, record, field) and what to do about it.
"""

from __future__ import annotations


class SciarError(Exception):
    """Base class of every error that SciAR raises on purpose."""


class RecordError(SciarError):
    """One record of an input is bad. Batch work turns it into one error row and goes on.

    Attributes:
        source: file (or other origin) the record came from, or ``None``.
        record: identifier of the record, or ``None``.
        field: name of the offending field, or ``None``.
        reason: what is wrong and what to do, without the location.
    """

    def __init__(
        self,
        reason: str,
        *,
        source: str | None = None,
        record: str | None = None,
        field: str | None = None,
    ) -> None:
        self.reason, self.source, self.record, self.field = reason, source, record, field
        super().__init__(reason)

    def __str__(self) -> str:
        parts = [
            f"{name} {value}"
            for name, value in (
                ("file", self.source),
                ("record", self.record),
                ("field", self.field),
            )
            if value
        ]
        return f"{', '.join(parts)}: {self.reason}" if parts else self.reason

    def located(self, *, source: str | None = None, record: str | None = None) -> RecordError:
        """The same error with the location filled in where it was still unknown."""
        return type(self)(
            self.reason,
            source=self.source or source,
            record=self.record or record,
            field=self.field,
        )


class UsageError(SciarError):
    """The command or call itself is wrong (exit code 2)."""


class ModelError(SciarError):
    """A model folder or checkpoint cannot be used: damaged, too new, or with another tokenizer."""
