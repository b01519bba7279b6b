"""``--pxrd``: powder patterns among the conditions of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sciar.datasets.formats.pattern import read_patterns
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.records import PowderPattern

NONE = "none"


def with_patterns(
    pxrd: str, composition: str, conditions: Mapping[str, Any] | None
) -> tuple[str, Any]:
    """The composition and the conditions of a run with the patterns of a file among them.

    One pattern is a condition of everything that is asked for. Several are asked for in turn, with
    the same composition; a bad one is one failed prompt.

    Raises:
        UsageError: no such file, or nothing in it.
        RecordError: the only pattern is bad.
    """
    if not pxrd:
        return composition, conditions
    common = dict(conditions or {})
    if pxrd == NONE:
        return composition, {**common, "pxrd": NONE}
    found: list[PowderPattern | RecordError] = [
        item.error if isinstance(item, RecordFailure) else item for item in read_patterns(pxrd)
    ]
    if not found:
        raise UsageError(f"{pxrd}: the file holds no pattern")
    if len(found) == 1:
        only = found[0]
        if isinstance(only, RecordError):
            raise only
        return composition, {**common, "pxrd": only}
    given = {"composition": composition} if composition else {}
    return "", [{**common, **given, "pxrd": item} for item in found]
