"""Images and patterns as plain SVG, with marks over them, for reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST, SIDE = 64, 240
"""Most pixels along a side, and length of the longer side of a drawing, SVG units."""
_MARK = "#d81b60"


def image_svg(image: np.ndarray, marks: np.ndarray | None = None, radius: float = 0.02) -> str:
    """An image as rectangles: runs of one colour are one, large images are averaged first.

    Args:
        image: (H, W) or (H, W, C) bytes.
        marks: (n, 2) places (x, y) in the unit square to circle.
        radius: of the circles, in the same unit.
    """
    pixels = _reduced(np.asarray(image, dtype=float).reshape(*image.shape[:2], -1))
    rows, columns = pixels.shape[:2]
    unit = SIDE / max(rows, columns)
    # Few enough levels that neighbours share a rectangle where there is nothing to see.
    levels = np.clip(np.rint(pixels / 8) * 8, 0, 255).astype(int)
    levels = np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * unit:g} {rows * unit:g}" '
        'shape-rendering="crispEdges">'
    ]
    for y, row in enumerate(levels):
        breaks = np.flatnonzero((row[1:] != row[:-1]).any(1)) + 1
        for start, stop in zip([0, *breaks], [*breaks, columns], strict=True):
            r, g, b = row[start]
            parts.append(
                f'<rect x="{start * unit:g}" y="{y * unit:g}" width="{(stop - start) * unit:g}" '
                f'height="{unit:g}" fill="#{r:02x}{g:02x}{b:02x}"/>'
            )
    for x, y in [] if marks is None else np.asarray(marks, dtype=float).reshape(-1, 2):
        parts.append(
            f'<circle cx="{x * columns * unit:.2f}" cy="{y * rows * unit:.2f}" '
            f'r="{max(1.5, radius * SIDE):.2f}" fill="none" stroke="{_MARK}" stroke-width="1.5"/>'
        )
    return "".join([*parts, "</svg>"])


def profile_svg(values: np.ndarray, marks: Sequence[float] = ()) -> str:
    """A profile of (P,) numbers between 0 and 1 as a line; marks are places in [0, 1] below it."""
    height = SIDE / 2
    x = np.linspace(0, SIDE, len(values))
    points = " ".join(f"{a:.1f},{height * (1 - v):.1f}" for a, v in zip(x, values, strict=True))
    ticks = "".join(
        f'<line x1="{m * SIDE:.1f}" x2="{m * SIDE:.1f}" y1="{height + 2:g}" y2="{height + 10:g}" '
        f'stroke="{_MARK}"/>'
        for m in marks
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {height + 12:g}">'
        f'<polyline points="{points}" fill="none" stroke="#1f77b4"/>{ticks}</svg>'
    )


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Averaged over squares, so that no side has more than ``MOST`` pixels."""
    step = -(-max(pixels.shape[:2]) // MOST)
    if step == 1:
        return pixels
    rows, columns = (n // step for n in pixels.shape[:2])
    cut = pixels[: rows * step, : columns * step]
    cut = cut.reshape(rows, step, columns, step, -1)
    return np.asarray(cut.mean(axis=(1, 3)))
