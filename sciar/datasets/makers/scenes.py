"""CLEVR-like scenes by our own ray caster, with shifts of distribution between splits.

The rules (placement, palettes, camera, lamps) are those that the CLEVR generator is published with
(Johnson et al., arXiv:1612.06890); the yaw is in radians and agrees with the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.raycast import Body, Camera, linear, owners, render
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program

COLORS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
SIZES = {"small": 0.35, "large": 0.7}
MATERIALS = ("rubber", "metal")
SHAPES = ("cube", "sphere", "cylinder")
PALETTES = (("gray", "blue", "brown", "yellow"), ("red", "green", "purple", "cyan"))
"""Colours of cubes and of cylinders in condition A of CoGenT; condition B swaps them."""
GAP, MARGIN, TRIES = 0.25, 0.4, 50
CAMERA, LAMPS = (7.2, -6.5, 5.4), ((-4.0, -3.0, 8.0), (6.0, 2.0, 7.0), (1.0, 7.0, 6.0))


@dataclass(frozen=True)
class Shift:
    """What is special about the scenes of a split.

    Attributes:
        palette: condition of CoGenT, ``a`` or ``b``; empty: any colour.
        counts: smallest and largest number of objects, if not the maker's.
        hole: objects lie ``out`` of the hole in the floor plan, or ``in`` it; empty: anywhere.
        light: lamps stand on the other side.
    """

    palette: str = ""
    counts: tuple[int, int] | None = None
    hole: str = ""
    light: bool = False


SHIFTS = {
    "train-a": Shift("a"),
    "val-a": Shift("a"),
    "val-b": Shift("b"),
    "few": Shift("a", (3, 6)),
    "val-few": Shift("a", (3, 6)),
    "many": Shift("a", (7, 10)),
    "hole-train": Shift("a", (1, 3), hole="out"),
    "hole-id": Shift("a", (1, 3), hole="out"),
    "hole-gap": Shift("a", (1, 3), hole="in"),
    "light": Shift("a", light=True),
}


class SceneMaker(Maker):
    """Scenes of cubes, spheres and cylinders, in the language ``clevr``.

    Splits: ``train-a``, ``val-a``, ``val-b`` (pairs of shape and colour, as CoGenT), ``few``,
    ``val-few`` and ``many`` (number of objects), ``hole-train``, ``hole-id`` and ``hole-gap`` (a
    square of the floor), ``light``.

    Args:
        height: pixels.
        width: pixels.
        samples: rays along each side of a pixel.
        counts: smallest and largest number of objects, unless the split says.
        hole: (x, y, half side) of the square that ``hole-train`` leaves out.
        jitter: the camera moves by up to 0.5, each lamp by up to 1, along each axis.
    """

    name, version = "scenes", 1
    splits = tuple(SHIFTS)

    def __init__(
        self,
        height: int = 224,
        width: int = 224,
        samples: int = 2,
        counts: tuple[int, int] = (3, 10),
        hole: tuple[float, float, float] = (0.7, -0.6, 1.1),
        jitter: bool = True,
    ) -> None:
        if min(height, width) < 16 or samples < 1:
            raise UsageError(f"{height} x {width} pixels with {samples} samples make no picture")
        if not 1 <= counts[0] <= counts[1] <= 10:
            raise UsageError(f"counts are two rising numbers from 1 to 10, not {counts}")
        self.height, self.width, self.samples = height, width, samples
        self.counts, self.hole, self.jitter = tuple(counts), tuple(hole), jitter
        # As wide a view as that of Blender's lens of 35 mm on 32 mm, whatever the format.
        self.angle = math.degrees(2 * math.atan(16 / 35 * height / width))
        # CLEVR asks for 200 pixels of 320 x 240.
        self.visible = max(2, round(200 * height * width / (320 * 240)))

    def options(self) -> dict[str, Any]:
        return {
            "height": self.height,
            "width": self.width,
            "samples": self.samples,
            "counts": list(self.counts),
            "hole": list(self.hole),
            "jitter": self.jitter,
        }

    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """A scene in which every object can be seen.

        Raises:
            RecordError: a thousand scenes were tried in vain.
        """
        shift = SHIFTS[self.check_split(split)]
        for _ in range(1000):
            place = np.array(CAMERA) + self._moved(rng, 0.5)
            camera = Camera(place, np.zeros(3), self.angle)
            lamps = [np.array(lamp) + self._moved(rng, 1.0) for lamp in LAMPS]
            if shift.light:
                lamps = [lamp * [-1.0, -1.0, 1.0] for lamp in lamps]
            calls = self._objects(shift, camera, rng)
            if calls is None:
                continue
            bodies = [body_of(call, i) for i, call in enumerate(calls)]
            seen = owners(bodies, camera, self.height, self.width)
            area = np.bincount(seen[seen >= 0], minlength=len(bodies))
            if area.min() < self.visible:
                continue
            image, _ = render(bodies, camera, lamps, self.height, self.width, self.samples)
            places = np.array([call.arguments["loc"] for call in calls])
            details = {
                "camera": camera.position.tolist(),
                "lamps": [lamp.tolist() for lamp in lamps],
                "pixels": area.tolist(),
                "camera_frame": camera.seen(places).tolist(),
            }
            return Picture(image, Program(tuple(calls)), details)
        raise RecordError(f"{split}: no scene of {self.counts} objects found in 1000 attempts")

    def redraw(self, program: Program) -> np.ndarray:
        """The scene from the mean place of the camera, under the mean lamps."""
        bodies = [body_of(call, i) for i, call in enumerate(program.calls)]
        camera = Camera(np.array(CAMERA), np.zeros(3), self.angle)
        lamps = [np.array(lamp) for lamp in LAMPS]
        return render(bodies, camera, lamps, self.height, self.width, self.samples)[0]

    def _moved(self, rng: np.random.Generator, most: float) -> np.ndarray:
        return rng.uniform(-most, most, 3) if self.jitter else np.zeros(3)

    def _objects(self, shift: Shift, camera: Camera, rng: np.random.Generator) -> list[Call] | None:
        """Objects that keep their distances, or ``None`` if one found no place."""
        least, most = shift.counts or self.counts
        axes = camera.axes[[0, 2], :2]
        axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        calls: list[Call] = []
        taken: list[tuple[np.ndarray, float]] = []
        for _ in range(int(rng.integers(least, most + 1))):
            size, material, shape = (
                str(rng.choice(names)) for names in (tuple(SIZES), MATERIALS, SHAPES)
            )
            color = str(rng.choice(palette(shape, shift.palette)))
            radius = SIZES[size]
            for _ in range(TRIES):
                place = rng.uniform(-3, 3, 2)
                if self._fits(place, radius, taken, axes, shift.hole):
                    break
            else:
                return None
            taken.append((place, radius))
            words = {"size": size, "color": color, "material": material, "shape": shape}
            yaw = {"rotation": (float(rng.uniform(-math.pi / 4, math.pi / 4)),)}
            loc = (*place.tolist(), radius)
            calls.append(Call("add", {**words, "loc": loc, **(yaw if shape == "cube" else {})}))
        return calls

    def _fits(
        self,
        place: np.ndarray,
        radius: float,
        taken: list[tuple[np.ndarray, float]],
        axes: np.ndarray,
        hole: str,
    ) -> bool:
        inside = bool((np.abs(place - self.hole[:2]) < self.hole[2]).all())
        if hole and inside != (hole == "in"):
            return False
        for other, size in taken:
            step = place - other
            if np.linalg.norm(step) - radius - size < GAP:
                return False
            # In the hole there is no room to also keep apart along the camera's axes.
            if hole != "in" and (np.abs(axes @ step) < MARGIN).any():
                return False
        return True


def palette(shape: str, condition: str) -> tuple[str, ...]:
    """Colours of a shape in a condition of CoGenT; spheres have any."""
    if not condition or shape == "sphere":
        return tuple(COLORS)
    return PALETTES[(shape == "cylinder") != (condition == "b")]


def body_of(call: Call, owner: int) -> Body:
    """An object of the language ``clevr`` as the ray caster draws it."""
    words = call.arguments
    loc, yaw = words["loc"], words.get("rotation", (0.0,))
    assert isinstance(loc, tuple) and isinstance(yaw, tuple)
    c, s = math.cos(yaw[0]), math.sin(yaw[0])
    return Body(
        shape=str(words["shape"]),
        center=np.array(loc),
        extent=np.full(3, SIZES[str(words["size"])]),
        rotation=np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]),
        color=linear(COLORS[str(words["color"])]),
        metal=words["material"] == "metal",
        owner=owner,
    )
