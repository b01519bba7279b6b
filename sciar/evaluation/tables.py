"""Summaries as text: every rate is printed with its counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, Mapping) or "rate" in value or "mean" in value


def _flat(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in summary.items():
        label = f"{prefix}{name}".replace("_", " ")
        if _is_leaf(value):
            yield label, value
        else:
            yield from _flat(value, f"{label} / ")


def _interval(value: Mapping[str, Any], scale: float, digits: int) -> str:
    if not value.get("interval"):
        return ""
    low, high = (scale * end for end in value["interval"])
    return f"   [{low:.{digits}f}, {high:.{digits}f}]"


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and "rate" in value:
        share = "-" if value["rate"] is None else f"{100 * value['rate']:.2f} %"
        return f"{share}   ({value['count']:,} of {value['of']:,}){_interval(value, 100, 2)}"
    if isinstance(value, Mapping):
        number = "-" if value["mean"] is None else f"{value['mean']:.4f}"
        return f"{number}   (over {value['count']:,} of {value['of']:,}){_interval(value, 1, 4)}"
    if isinstance(value, bool) or value is None:
        return "-" if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def format_table(summary: Mapping[str, Any]) -> str:
    """A summary of any evaluation as an aligned text table.

    Rates are printed in percent with their counts, means with the number of records they are
    taken over, both with the 95 % bootstrap interval in brackets where there is one.
    """
    rows = [(label, _text(value)) for label, value in _flat(summary)]
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)
