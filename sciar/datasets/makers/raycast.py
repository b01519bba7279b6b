"""An analytic ray caster in NumPy: boxes, spheres, cylinders, a floor, lights with shadows.

It is the renderer of tests and of machines without another one: exact silhouettes, object masks,
no reflections. Vectors are rows; z points up; ``world = local @ rotation + center``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sciar.errors import UsageError

SHAPES = ("sphere", "cube", "cylinder")
EPSILON = 1e-6
FLOOR = np.array([0.48, 0.48, 0.48])
AMBIENT = 0.35


@dataclass(frozen=True, eq=False)
class Body:
    """One primitive.

    Attributes:
        shape: ``sphere``, ``cube`` or ``cylinder`` (its axis is local z).
        center: (3,).
        extent: (3,) half lengths along the local axes; radii of a sphere or cylinder are the first.
        rotation: (3, 3), rows are the local axes in the world.
        color: (3,) linear RGB in [0, 1].
        metal: shiny.
        owner: number of the object that it is part of.
    """

    shape: str
    center: np.ndarray
    extent: np.ndarray
    rotation: np.ndarray
    color: np.ndarray
    metal: bool = False
    owner: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UsageError(f"shape {self.shape!r} is none of {', '.join(SHAPES)}")


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        position: (3,).
        target: (3,) what the middle of the picture shows.
        angle: vertical angle of view, degrees.
    """

    position: np.ndarray
    target: np.ndarray
    angle: float = 35.0

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) rows: right, down, forward."""
        forward = self.target - self.position
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def seen(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world -> (n, 3) camera frame: right, down, depth."""
        return (points - self.position) @ self.axes.T

    def rays(self, height: int, width: int, offset: tuple[float, float]) -> np.ndarray:
        """(height * width, 3) unit directions through a point of each pixel."""
        scale = np.tan(np.radians(self.angle) / 2) / (height / 2)
        y, x = np.mgrid[:height, :width].astype(float)
        right = (x + offset[0] - width / 2) * scale
        down = (y + offset[1] - height / 2) * scale
        local = np.stack([right, down, np.ones_like(right)], axis=-1).reshape(-1, 3)
        directions = local @ self.axes
        return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def hit(body: Body, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First hit of each of n rays: (n,) distances, infinite if none, and (n, 3) normals outwards.

    Origins lie outside the body.
    """
    o = (origins - body.center) @ body.rotation.T
    d = directions @ body.rotation.T
    near = {"sphere": _sphere, "cube": _box, "cylinder": _cylinder}[body.shape]
    distance, normal = near(o, d, body.extent)
    return distance, normal @ body.rotation


def _sphere(o: np.ndarray, d: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    radius = extent[0]
    b, c = (o * d).sum(-1), (o * o).sum(-1) - radius**2
    root = np.sqrt(np.maximum(b * b - c, 0.0))
    t = np.where((b * b > c) & (-b - root > EPSILON), -b - root, np.inf)
    return t, (o + _finite(t)[:, None] * d) / radius


def _box(o: np.ndarray, d: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    d = np.where(np.abs(d) < 1e-12, 1e-12, d)
    first, second = (-extent - o) / d, (extent - o) / d
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    axis = enter.argmax(-1)
    t, end = enter.max(-1), leave.min(-1)
    normal = np.zeros_like(o)
    rows = np.arange(len(o))
    normal[rows, axis] = -np.sign(d[rows, axis])
    return np.where((t < end) & (t > EPSILON), t, np.inf), normal


def _cylinder(o: np.ndarray, d: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    radius, half = extent[0], extent[2]
    a = np.maximum((d[:, :2] ** 2).sum(-1), 1e-12)
    b, c = (o[:, :2] * d[:, :2]).sum(-1), (o[:, :2] ** 2).sum(-1) - radius**2
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    side = (-b - root) / a
    height = o[:, 2] + side * d[:, 2]
    side = np.where((b * b > a * c) & (side > EPSILON) & (np.abs(height) <= half), side, np.inf)
    dz = np.where(np.abs(d[:, 2]) < 1e-12, 1e-12, d[:, 2])
    cap = (-np.sign(dz) * half - o[:, 2]) / dz
    place = o[:, :2] + cap[:, None] * d[:, :2]
    cap = np.where(((place**2).sum(-1) <= radius**2) & (cap > EPSILON), cap, np.inf)
    t = np.minimum(side, cap)
    on_side = o + _finite(t)[:, None] * d
    on_side[:, 2] = 0.0
    flat = np.zeros_like(o)
    flat[:, 2] = -np.sign(dz)
    return t, np.where((cap < side)[:, None], flat, on_side / radius)


def _finite(t: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(t), t, 0.0)


def trace(
    bodies: Sequence[Body], origin: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What n rays from one origin see first.

    Returns:
        (n,) distances; (n, 3) normals; (n,) index of the body, -1 the floor, -2 nothing.
    """
    n = len(directions)
    origins = np.broadcast_to(origin, (n, 3))
    down = directions[:, 2]
    away = np.where(down < -EPSILON, -origin[2] / np.where(down < -EPSILON, down, -1.0), np.inf)
    best = np.where(away > EPSILON, away, np.inf)
    normals = np.tile([0.0, 0.0, 1.0], (n, 1))
    which = np.where(np.isfinite(best), -1, -2)
    for i, body in enumerate(bodies):
        t, normal = hit(body, origins, directions)
        closer = t < best
        best, which = np.where(closer, t, best), np.where(closer, i, which)
        normals = np.where(closer[:, None], normal, normals)
    return best, normals, which


def render(
    bodies: Sequence[Body],
    camera: Camera,
    lights: Sequence[np.ndarray],
    height: int,
    width: int,
    samples: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and who is seen where.

    Args:
        bodies: what stands on the floor z = 0.
        camera: where from.
        lights: (3,) places of lamps of equal strength.
        height: pixels.
        width: pixels.
        samples: rays along each side of a pixel.

    Returns:
        (height, width, 3) uint8 sRGB, and (height, width) owner in the middle of each pixel, -1
        for none.
    """
    total = np.zeros((height * width, 3))
    steps = (np.arange(samples) + 0.5) / samples
    for dy in steps:
        for dx in steps:
            total += _shade(bodies, camera, lights, camera.rays(height, width, (dx, dy)))
    image = _to_srgb(total / samples**2).reshape(height, width, 3)
    return np.rint(255 * image).astype(np.uint8), owners(bodies, camera, height, width)


def owners(bodies: Sequence[Body], camera: Camera, height: int, width: int) -> np.ndarray:
    """(height, width) owner of what the middle of each pixel shows, -1 for none."""
    which = trace(bodies, camera.position, camera.rays(height, width, (0.5, 0.5)))[2]
    table = np.array([*(body.owner for body in bodies), -1, -1])
    return table[np.where(which < 0, len(bodies), which)].reshape(height, width)


def _shade(
    bodies: Sequence[Body], camera: Camera, lights: Sequence[np.ndarray], rays: np.ndarray
) -> np.ndarray:
    """(n, 3) linear colours of rays: ambient, diffuse and highlights (Phong) with hard shadows."""
    t, normal, which = trace(bodies, camera.position, rays)
    colors = np.array([*(body.color for body in bodies), FLOOR, FLOOR])
    metals = np.array([*(body.metal for body in bodies), False, False])
    index = np.where(which < 0, len(bodies), which)
    base, metal = colors[index], metals[index][:, None]
    point = camera.position + _finite(t)[:, None] * rays + 1e-4 * normal
    light = np.full_like(base, AMBIENT)
    shine = np.zeros_like(base)
    for lamp in lights:
        way = lamp - point
        far = np.linalg.norm(way, axis=-1)
        way = way / far[:, None]
        free = np.ones(len(rays), dtype=bool)
        for body in bodies:
            free &= hit(body, point, way)[0] >= far
        facing = np.maximum((normal * way).sum(-1), 0.0) * free
        light += ((1 - AMBIENT) / len(lights) * 1.4 * facing)[:, None]
        mirrored = 2 * (normal * way).sum(-1, keepdims=True) * normal - way
        along = np.maximum(-(mirrored * rays).sum(-1), 0.0) * free
        # Metal mirrors the lamp sharply and in its own colour, rubber hardly.
        shine += np.where(
            metal, 0.9 * (0.3 + base) * (along**40)[:, None], 0.04 * along[:, None] ** 4
        )
    diffuse = np.where(metal, 0.6, 1.0) * base * light
    return np.where((which == -2)[:, None], 0.55, diffuse + shine)


def linear(srgb: Sequence[int]) -> np.ndarray:
    """sRGB bytes -> linear RGB in [0, 1] (IEC 61966-2-1)."""
    c = np.asarray(srgb, dtype=float) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _to_srgb(c: np.ndarray) -> np.ndarray:
    c = np.clip(c, 0.0, 1.0)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)
