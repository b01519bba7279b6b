"""One object in any pose, with a held-out ball of rotations (spec 3.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.raycast import Body, Camera, linear, render
from sciar.datasets.makers.scenes import CAMERA, COLORS, LAMPS
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program

PARTS = (
    ("cube", (0.0, 0.0, 0.0), (0.75, 0.16, 0.14)),
    ("cube", (0.2, 0.0, 0.0), (0.13, 0.7, 0.05)),
    ("cube", (-0.62, 0.0, 0.25), (0.1, 0.04, 0.22)),
    ("sphere", (0.78, 0.1, 0.08), (0.16, 0.16, 0.16)),
)
"""Shape, centre and half lengths of the parts: no rotation but none maps them onto themselves."""
REACH = 1.1
"""No part is further than this from the centre."""
CENTRE = Rotation.from_rotvec([0.6, -0.4, 0.9]).as_matrix()


class PoseMaker(Maker):
    """An assembly of boxes and a ball with six degrees of freedom, in the language ``pose6d``.

    Splits: ``train`` and ``id`` have any rotation outside a ball, ``gap`` those inside it, ``all``
    any. A rotation is written as the first two rows of the matrix with ``world = local @ matrix``.

    Args:
        size: height and width in pixels.
        samples: rays along each side of a pixel.
        ball: radius of the held-out ball, degrees.

    Raises:
        UsageError: sizes that make no picture.
    """

    name, version = "poses", 1
    splits = ("train", "id", "gap", "all")

    def __init__(self, size: int = 224, samples: int = 2, ball: float = 30.0) -> None:
        if size < 16 or samples < 1 or not 0 < ball < 180:
            raise UsageError(f"size {size}, samples {samples}, ball {ball} make no picture")
        self.size, self.samples, self.ball = size, samples, ball

    def options(self) -> dict[str, Any]:
        return {"size": self.size, "samples": self.samples, "ball": self.ball}

    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """The object somewhere above the floor."""
        rotation = self._rotation(self.check_split(split), rng)
        loc = rng.uniform([-1.5, -1.5, REACH], [1.5, 1.5, 2.2])
        color = str(rng.choice(tuple(COLORS)))
        image = self._draw(loc, rotation, color)
        call = Call(
            "add",
            {
                "shape": "assembly",
                "color": color,
                "loc": tuple(loc.tolist()),
                "rotation": tuple(rotation[:2].ravel().tolist()),
            },
        )
        turn = _camera().axes @ rotation.T
        return Picture(image, Program((call,)), {"camera": CAMERA, "camera_frame": turn.tolist()})

    def redraw(self, program: Program) -> np.ndarray:
        words = program.calls[0].arguments
        loc, rows = words["loc"], words["rotation"]
        assert isinstance(loc, tuple) and isinstance(rows, tuple)
        return self._draw(np.array(loc), _matrix(np.array(rows)), str(words["color"]))

    def _draw(self, loc: np.ndarray, rotation: np.ndarray, color: str) -> np.ndarray:
        bodies = [
            Body(
                shape,
                loc + np.array(center) @ rotation,
                np.array(extent),
                rotation,
                linear(COLORS[color]),
            )
            for shape, center, extent in PARTS
        ]
        lamps = [np.array(lamp) for lamp in LAMPS]
        return render(bodies, _camera(), lamps, self.size, self.size, self.samples)[0]

    def _rotation(self, split: str, rng: np.random.Generator) -> np.ndarray:
        if split == "gap":
            # Uniform in the ball: the density of the angle is 1 - cos.
            while True:
                angle = rng.uniform(0, np.radians(self.ball))
                if rng.random() * (1 - np.cos(np.radians(self.ball))) < 1 - np.cos(angle):
                    break
            axis = rng.normal(size=3)
            axis /= np.linalg.norm(axis)
            return np.asarray(CENTRE @ Rotation.from_rotvec(angle * axis).as_matrix())
        while True:
            q = rng.normal(size=4)
            matrix = np.asarray(Rotation.from_quat(q / np.linalg.norm(q)).as_matrix())
            if split == "all" or degrees_between(matrix, CENTRE) > self.ball:
                return matrix


def _camera() -> Camera:
    return Camera(np.array(CAMERA), np.array([0.0, 0.0, 1.2]))


def _matrix(rows: np.ndarray) -> np.ndarray:
    """Two rows, not quite orthonormal -> a rotation, by Gram and Schmidt.

    Raises:
        RecordError: they are parallel.
    """
    first, second = rows.reshape(2, 3)
    size = np.linalg.norm(first)
    second = second - first * (first @ second) / max(size**2, 1e-12)
    if size < 1e-6 or np.linalg.norm(second) < 1e-6:
        raise RecordError("the two rows of the rotation are parallel", field="rotation")
    first, second = first / size, second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def degrees_between(first: np.ndarray, second: np.ndarray) -> float:
    """Angle of the rotation that leads from one (3, 3) rotation to another, degrees."""
    cos = (np.trace(first @ second.T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cos, -1.0, 1.0))))
