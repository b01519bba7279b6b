"""Line, bar and histogram charts as inline SVG in the colours of the page they stand in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from sciar.errors import UsageError

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 34, 48
_COLOURS = ("#3b6fd1", "#d1633b", "#3a9a6b", "#9257c2", "#b58a1b", "#4aa3b8")


class _Axis:
    """Values to pixels along one axis, linear or logarithmic, with round tick values."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, log: bool) -> None:
        self.log, self.start, self.end = log, start, end
        low, high = min(values), max(values)
        if log and low <= 0:
            raise UsageError("a logarithmic axis needs values above zero")
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        self.ticks = _log_ticks(low, high) if log else _ticks(low, high)
        self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])

    def __call__(self, value: float) -> float:
        value, low, high = ((math.log(v) if self.log else v) for v in (value, self.low, self.high))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Points joined by lines, one colour a series; e.g. match rate over sampler steps.

    Args:
        series: name -> (x, y) points, in any order; points that are not finite are left out.
        title: above the chart and its accessible name.
        x_label: with the unit.
        y_label: with the unit.
        log_x: logarithmic x axis.
        log_y: logarithmic y axis.

    Raises:
        UsageError: there is no finite point, or a logarithmic axis meets a value of zero or less.
    """
    clean = {
        name: sorted((x, y) for x, y in points if math.isfinite(x) and math.isfinite(y))
        for name, points in series.items()
    }
    points = [point for line in clean.values() for point in line]
    if not points:
        raise UsageError(f"chart {title!r} has no finite point")
    x = _Axis([p[0] for p in points], _LEFT, WIDTH - _RIGHT, log=log_x)
    y = _Axis([p[1] for p in points], HEIGHT - _BOTTOM, _TOP, log=log_y)
    marks = []
    for i, line in enumerate(clean.values()):
        shade = _COLOURS[i % len(_COLOURS)]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{shade}" stroke-width="2"/>')
        marks += [
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.2" fill="{shade}">'
            f"<title>{_text(a)}, {_text(b)}</title></circle>"
            for a, b in line
        ]
    ticks = [(x(tick), _text(tick)) for tick in x.ticks]
    return _frame(title, x_label, y_label, ticks, y, marks, list(clean))


def bar_chart(
    values: Mapping[str, float], *, title: str, x_label: str = "", y_label: str = ""
) -> str:
    """One bar a name, from zero, with its value above it.

    Raises:
        UsageError: no values, or one that is not finite.
    """
    if not values or not all(math.isfinite(v) for v in values.values()):
        raise UsageError(f"chart {title!r} needs finite values")
    y = _Axis([0.0, *values.values()], HEIGHT - _BOTTOM, _TOP, log=False)
    step = (WIDTH - _LEFT - _RIGHT) / len(values)
    marks, ticks = [], []
    for i, (name, value) in enumerate(values.items()):
        middle = _LEFT + step * (i + 0.5)
        marks.append(_bar(middle - step * 0.32, step * 0.64, y(0), y(value), _COLOURS[0], name))
        marks.append(
            f'<text x="{middle:.1f}" y="{min(y(value), y(0)) - 5:.1f}" text-anchor="middle" '
            f'fill="currentColor">{_text(value)}</text>'
        )
        ticks.append((middle, name))
    return _frame(title, x_label, y_label, ticks, y, marks, [])


def histogram(
    samples: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str = "share of structures",
    bins: int = 30,
) -> str:
    """Distributions over common bins, each summing to one; the legend gives the counts.

    Values that are not finite are left out.

    Raises:
        UsageError: there is no finite value at all.
    """
    arrays = {name: np.asarray(list(v), dtype=np.float64) for name, v in samples.items()}
    arrays = {name: a[np.isfinite(a)] for name, a in arrays.items()}
    arrays = {name: a for name, a in arrays.items() if len(a)}
    if not arrays:
        raise UsageError(f"chart {title!r} has no finite value")
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=bins)
    shares = {name: np.histogram(a, bins=edges)[0] / len(a) for name, a in arrays.items()}
    x = _Axis([float(edges[0]), float(edges[-1])], _LEFT, WIDTH - _RIGHT, log=False)
    y = _Axis([0.0, *(float(s.max()) for s in shares.values())], HEIGHT - _BOTTOM, _TOP, log=False)
    marks = []
    for i, share in enumerate(shares.values()):
        shade = _COLOURS[i % len(_COLOURS)]
        path = [f"M{x(edges[0]):.1f} {y(0):.1f}"]
        for left, right, height in zip(edges[:-1], edges[1:], share, strict=True):
            path.append(f"L{x(left):.1f} {y(height):.1f}L{x(right):.1f} {y(height):.1f}")
        path.append(f"L{x(edges[-1]):.1f} {y(0):.1f}")
        marks.append(
            f'<path d="{"".join(path)}" fill="{shade}" fill-opacity=".22" stroke="{shade}" '
            f'stroke-width="1.6"/>'
        )
    ticks = [(x(tick), _text(tick)) for tick in x.ticks]
    legend = [f"{name} ({len(a):,})" for name, a in arrays.items()]
    return _frame(title, x_label, y_label, ticks, y, marks, legend)


def _bar(x: float, width: float, base: float, top: float, shade: str, name: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{min(base, top):.1f}" width="{width:.1f}" '
        f'height="{abs(base - top):.1f}" fill="{shade}" rx="2"><title>{escape(name)}</title></rect>'
    )


def _frame(
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    y: _Axis,
    marks: Sequence[str],
    legend: Sequence[str],
) -> str:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui,sans-serif" font-size="11">'
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600" fill="currentColor">'
        f"{escape(title)}</text>"
    ]
    for tick in y.ticks:
        parts.append(
            f'<path d="M{_LEFT} {y(tick):.1f}H{right}" stroke="currentColor" stroke-opacity=".15"/>'
            f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="currentColor">'
            f"{_text(tick)}</text>"
        )
    for place, label in x_ticks:
        parts.append(
            f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle" fill="currentColor">'
            f"{escape(label)}</text>"
        )
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts += [
        f'<path d="M{_LEFT} {bottom}H{right}" stroke="currentColor" stroke-opacity=".6"/>',
        *marks,
        f'<text x="{middle_x}" y="{HEIGHT - 10}" text-anchor="middle" fill="currentColor">'
        f"{escape(x_label)}</text>"
        f'<text transform="translate(13 {middle_y}) rotate(-90)" text-anchor="middle" '
        f'fill="currentColor">{escape(y_label)}</text>',
    ]
    if len(legend) > 1 or (legend and legend[0]):
        parts.append(_legend(legend))
    return "".join(parts) + "</svg>"


def _legend(names: Sequence[str]) -> str:
    spans = [
        f'<tspan fill="{_COLOURS[i % len(_COLOURS)]}" dx="{10 if i else 0}">■</tspan>'
        f'<tspan dx="3" fill="currentColor">{escape(name)}</tspan>'
        for i, name in enumerate(names)
    ]
    return f'<text x="{WIDTH - _RIGHT}" y="30" text-anchor="end">{"".join(spans)}</text>'


def _ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) that enclose ``low`` to ``high``."""
    raw = (high - low) / target
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times the powers of ten; powers alone when they are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1.0,) if last - first > 3 else (1.0, 2.0, 5.0)
    candidates = [m * 10.0**p for p in range(first, last + 1) for m in steps]
    below = max(c for c in candidates if c <= low * (1 + 1e-9))
    above = min((c for c in candidates if c >= high * (1 - 1e-9)), default=candidates[-1])
    return [c for c in candidates if below <= c <= above]


def _text(value: float) -> str:
    rounded = 0.0 if abs(value) < 1e-12 else value
    return f"{rounded:,.0f}" if abs(rounded) >= 10_000 else f"{rounded:.4g}"
