"""Dots on a white square: the parameter-space experiment of IG-LLM (spec 3.1, 5.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.datasets.makers.base import Maker, Picture
from sciar.errors import UsageError
from sciar.records import Call, Program

RED = (255, 0, 0)


class DotMaker(Maker):
    """Red dots on white, at places of the unit square.

    Splits: ``train`` and ``id`` have dots on the black squares of a checkerboard that covers the
    middle of the canvas, ``interpolation`` on its white squares, ``extrapolation`` outside the
    board, ``uniform`` anywhere. The board should not share its lines with the patches of an
    encoder: such a gap is measured nowhere (spec 5.1).

    Args:
        size: width and height of the canvas in pixels.
        radius: of a dot, in pixels.
        cells: squares of the board along each side.
        margin: width of the frame around the board, as a fraction of the canvas; 0: none.
        dots: smallest and largest number of dots.

    Raises:
        UsageError: sizes that make no picture.
    """

    name, version = "dots", 1
    splits: tuple[str, ...] = ("train", "id", "interpolation", "extrapolation", "uniform")

    def __init__(
        self,
        size: int = 336,
        radius: float = 5.0,
        cells: int = 9,
        margin: float = 0.1,
        dots: tuple[int, int] = (1, 1),
    ) -> None:
        if size < 8 or not 0 < radius < size / 4:
            raise UsageError(f"dots of radius {radius} on {size} pixels make no picture")
        if cells < 2 or not 0 <= margin < 0.5:
            raise UsageError(f"{cells} cells and a margin of {margin} make no board")
        if not 1 <= dots[0] <= dots[1] <= 10:
            raise UsageError(f"dots are two rising numbers from 1 to 10, not {dots}")
        self.size, self.radius, self.cells = size, radius, cells
        self.margin, self.dots = margin, (int(dots[0]), int(dots[1]))
        if margin == 0:
            self.splits = tuple(s for s in type(self).splits if s != "extrapolation")

    def options(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "radius": self.radius,
            "cells": self.cells,
            "margin": self.margin,
            "dots": list(self.dots),
        }

    def region(self, x: float, y: float) -> str:
        """``black``, ``white`` or ``outside``: where a place lies on the board."""
        span = 1 - 2 * self.margin
        column, row = (int(np.floor((v - self.margin) / span * self.cells)) for v in (x, y))
        if not (0 <= column < self.cells and 0 <= row < self.cells):
            return "outside"
        return "white" if (column + row) % 2 else "black"

    def make(self, split: str, rng: np.random.Generator) -> Picture:
        """A picture of a split; dots may overlap."""
        allowed = {
            "interpolation": ("white",),
            "extrapolation": ("outside",),
            "uniform": ("black", "white", "outside"),
        }.get(self.check_split(split), ("black",))
        count = int(rng.integers(self.dots[0], self.dots[1] + 1))
        places: list[tuple[float, float]] = []
        while len(places) < count:
            x, y = rng.random(2).tolist()
            if self.region(x, y) in allowed:
                places.append((x, y))
        calls = tuple(Call("add", {"x": (x,), "y": (y,)}) for x, y in places)
        return Picture(self.draw(places), Program(calls))

    def redraw(self, program: Program) -> np.ndarray:
        places = [(_number(call, "x"), _number(call, "y")) for call in program.calls]
        return self.draw(places)

    def draw(self, places: list[tuple[float, float]]) -> np.ndarray:
        """(size, size, 3) bytes; the edge of a dot is smoothed over one pixel.

        A dot at (0, 0) touches the upper left corner from inside, so that none is cut.
        """
        span = self.size - 2 * self.radius
        middle = np.arange(self.size) + 0.5
        canvas = np.full((self.size, self.size, 3), 255.0)
        for x, y in places:
            at_x, at_y = self.radius + x * span, self.radius + y * span
            distance = np.hypot(middle[None, :] - at_x, middle[:, None] - at_y)
            cover = np.clip(self.radius + 0.5 - distance, 0.0, 1.0)[..., None]
            canvas = canvas * (1 - cover) + np.array(RED) * cover
        return np.rint(canvas).astype(np.uint8)


def _number(call: Call, key: str) -> float:
    value = call.arguments[key]
    assert isinstance(value, tuple)
    return value[0]
