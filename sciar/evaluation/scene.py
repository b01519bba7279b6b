"""A scene of balls, sticks and lines, drawn orthographically as one self-contained SVG.

Scene coordinates are angstrom with x to the right, y up and z towards the viewer. What is nearer is
painted later, which is exact enough for balls and half-sticks that touch but do not pass through
each other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2s
from html import escape

import numpy as np

LEGEND_HEIGHT = 34.0
MARGIN = 8.0
MAX_SCALE = 56.0  # pixels per angstrom: one small molecule should not fill the card
MAX_BYTES = 60_000  # a picture above this is drawn again with less detail
_BLACK, _WHITE = np.zeros(3), np.ones(3)
_AXIS_COLOURS = ("#d1453b", "#3a9a4b", "#3b6fd1")
_serial = itertools.count()


@dataclass(frozen=True)
class Ball:
    """An atom: ``centre`` (3,), ``radius`` in angstrom, and its element, which gives the colour."""

    centre: np.ndarray
    radius: float
    element: str


@dataclass(frozen=True)
class Stick:
    """Half a bond, in the colour of the atom it starts from; ``faded`` if it leaves the picture."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    element: str
    faded: bool = False


@dataclass(frozen=True)
class Line:
    """A thin line, such as an edge of the unit cell."""

    start: np.ndarray
    end: np.ndarray


@dataclass
class Scene:
    """What a picture shows.

    Attributes:
        title: the picture's accessible name.
        legend: element -> number shown beside its colour (0: no number).
        axes: (3, 3) rows a, b, c turned as the scene is, for the small tripod; or ``None``.
    """

    title: str
    balls: list[Ball] = field(default_factory=list)
    sticks: list[Stick] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    legend: Counter[str] = field(default_factory=Counter)
    axes: np.ndarray | None = None


@dataclass(frozen=True)
class _Camera:
    """Scene coordinates to SVG user units."""

    scale: float
    centre: np.ndarray
    middle: tuple[float, float]

    def __call__(self, point: np.ndarray) -> str:
        x = self.middle[0] + self.scale * (point[0] - self.centre[0])
        y = self.middle[1] - self.scale * (point[1] - self.centre[1])
        return f"{_number(x)} {_number(y)}"


def colour(element: str) -> np.ndarray:
    """RGB in 0..1 of an element after Jmol's table."""
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors

    number = atomic_numbers.get(element, 0)
    return np.asarray(jmol_colors[number if number < len(jmol_colors) else 0], dtype=np.float64)


def render(scene: Scene, *, width: int = 320, height: int = 280) -> str:
    """The scene as an SVG string of at most about 60 kB, with ids no other picture has.

    Large scenes lose the highlights of their sticks first, then the sticks.
    """
    digest = blake2s(repr((scene.title, len(scene.sticks))).encode(), digest_size=3).hexdigest()
    uid = f"s{digest}{next(_serial)}"
    for detail in (2, 1, 0):
        svg = _drawing(scene, uid, width, height, detail)
        if len(svg) <= MAX_BYTES:
            break
    return svg


def _drawing(scene: Scene, uid: str, width: int, height: int, detail: int) -> str:
    camera = _fit(scene, width, height - LEGEND_HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(scene.title)}" '
        f'font-family="system-ui,sans-serif" font-size="12">',
        f"<title>{escape(scene.title)}</title><defs>",
        *(_gradient(uid, element) for element in _elements(scene)),
        '</defs><g stroke-width=".7">',
        *_painted(scene, camera, uid, detail),
        "</g>",
        _tripod(scene, height - LEGEND_HEIGHT / 2),
        _legend(scene, uid, width, height - LEGEND_HEIGHT / 2),
        "</svg>",
    ]
    return "".join(parts)


def _elements(scene: Scene) -> list[str]:
    return sorted({ball.element for ball in scene.balls} | set(scene.legend))


def _fit(scene: Scene, width: float, height: float) -> _Camera:
    low, high = [], []
    for ball in scene.balls:
        low.append(ball.centre[:2] - ball.radius)
        high.append(ball.centre[:2] + ball.radius)
    spans = [(line.start, line.end) for line in scene.lines]
    spans += [(stick.start, stick.end) for stick in scene.sticks]
    for point in itertools.chain.from_iterable(spans):
        low.append(point[:2])
        high.append(point[:2])
    bottom, top = np.min(low, axis=0), np.max(high, axis=0)
    extent = np.maximum(top - bottom, 1e-3)
    scale = float(min((width - 2 * MARGIN) / extent[0], (height - 2 * MARGIN) / extent[1]))
    return _Camera(min(scale, MAX_SCALE), (bottom + top) / 2, (width / 2, height / 2))


def _painted(scene: Scene, camera: _Camera, uid: str, detail: int) -> Iterator[str]:
    """Shapes from the farthest to the nearest."""
    shapes: list[tuple[float, str]] = []
    for ball in scene.balls:
        shapes.append((float(ball.centre[2]), _circle(ball, camera, uid)))
    for stick in scene.sticks if detail else ():
        depth = float(stick.start[2] + stick.end[2]) / 2
        shapes.append((depth, _cylinder(stick, camera, detail > 1)))
    for line in scene.lines:
        shapes.extend(_segments(line, camera))
    return (svg for _, svg in sorted(shapes, key=lambda shape: shape[0]))


def _circle(ball: Ball, camera: _Camera, uid: str) -> str:
    x, y = camera(ball.centre).split()
    rim = _hex(_mix(colour(ball.element), _BLACK, 0.6))
    radius = _number(ball.radius * camera.scale)
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="url(#{uid}{ball.element})" stroke="{rim}"/>'
    )


def _cylinder(stick: Stick, camera: _Camera, rich: bool) -> str:
    """A dark rim, the body, and a highlight where there is room for it."""
    rgb = colour(stick.element)
    width = 2 * stick.radius * camera.scale
    path = f'd="M{camera(stick.start)}L{camera(stick.end)}"'
    layers = [(_mix(rgb, _BLACK, 0.55), width), (_mix(rgb, _BLACK, 0.1), width * 0.78)]
    if rich and width > 3.5 and not stick.faded:
        layers.append((_mix(rgb, _WHITE, 0.45), width * 0.28))
    svg = "".join(
        f'<path {path} stroke="{_hex(rgb)}" stroke-width="{_number(w)}"/>' for rgb, w in layers
    )
    return f'<g opacity=".4">{svg}</g>' if stick.faded else svg


def _segments(line: Line, camera: _Camera, pieces: int = 10) -> Iterator[tuple[float, str]]:
    """A line in pieces, so that each is hidden by just what is in front of it."""
    for i in range(pieces):
        start = line.start + (line.end - line.start) * (i / pieces)
        end = line.start + (line.end - line.start) * ((i + 1) / pieces)
        path = f"M{camera(start)}L{camera(end)}"
        svg = f'<path d="{path}" stroke="currentColor" stroke-opacity=".6" stroke-width="1.1"/>'
        yield float(start[2] + end[2]) / 2, svg


def _gradient(uid: str, element: str) -> str:
    rgb = colour(element)
    stops = (
        (0, _mix(rgb, _WHITE, 0.8)),
        (30, _mix(rgb, _WHITE, 0.25)),
        (65, _mix(rgb, _BLACK, 0.06)),
        (100, _mix(rgb, _BLACK, 0.5)),
    )
    inner = "".join(f'<stop offset="{at}%" stop-color="{_hex(c)}"/>' for at, c in stops)
    return (
        f'<radialGradient id="{uid}{element}" cx=".42" cy=".4" r=".68" fx=".32" fy=".28">'
        f"{inner}</radialGradient>"
    )


def _tripod(scene: Scene, y: float, size: float = 13.0) -> str:
    """Small arrows a, b, c in the lower left corner, the nearest drawn last."""
    if scene.axes is None:
        return ""
    units = scene.axes / np.linalg.norm(scene.axes, axis=1, keepdims=True)
    tips = size * units[:, :2] * (1, -1)
    reach = np.maximum(np.linalg.norm(tips, axis=1, keepdims=True), 1e-6)
    labels = tips * (1 + 7 / reach)
    # centre the drawing, labels included, on its place
    box = np.vstack([labels, np.zeros((1, 2))])
    x, y = np.array([28.0, y]) - (box.max(axis=0) + box.min(axis=0)) / 2
    parts = []
    for i in np.argsort(units[:, 2]):
        parts.append(
            f'<path d="M{_number(x)} {_number(y)}l{_number(tips[i, 0])} {_number(tips[i, 1])}" '
            f'stroke="{_AXIS_COLOURS[i]}" stroke-width="2" stroke-linecap="round"/>'
            f'<text x="{_number(x + labels[i, 0])}" y="{_number(y + labels[i, 1] + 3)}" '
            f'text-anchor="middle" font-size="10" fill="{_AXIS_COLOURS[i]}">{"abc"[i]}</text>'
        )
    return "".join(parts)


def _legend(scene: Scene, uid: str, width: float, y: float) -> str:
    """Element chips, right-aligned, squeezed if there are many."""
    entries = list(scene.legend.items())
    if not entries:
        return ""
    left = 60.0 if scene.axes is not None else 10.0
    step = min(52.0, (width - left - 6) / len(entries))
    start = width - 6 - step * len(entries)
    parts = []
    for i, (element, count) in enumerate(entries):
        x = start + i * step
        number = f"<tspan fill-opacity='.65'> {count}</tspan>" if count > 1 and step > 34 else ""
        parts.append(
            f'<circle cx="{_number(x + 7)}" cy="{_number(y)}" r="6" fill="url(#{uid}{element})" '
            f'stroke="currentColor" stroke-opacity=".35" stroke-width=".7"/>'
            f'<text x="{_number(x + 16)}" y="{_number(y + 4)}" fill="currentColor">'
            f"{escape(element)}{number}</text>"
        )
    return "".join(parts)


def _mix(rgb: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return rgb * (1 - share) + other * share


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(np.clip(v, 0, 1))):02x}" for v in rgb)


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
