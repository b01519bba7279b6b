"""Frames: what a model looks at, as an array of fixed shape that is cut into patches.

An image is (H, W, C) bytes, a powder pattern a (P,) profile between 0 and 1. A patch is the payload
of one given slot, which an input module reads (``model.inputs`` of a recipe).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import PowderPattern
from sciar.tokenization.diffraction import PatternGrid

SCALES = ("bytes", "range")


class Frame(Protocol):
    """What a tokenizer of programs needs to know of its observations.

    Attributes:
        name: of the constraint that brings one: ``image`` or ``pxrd``.
        slot: name of the slot that holds a patch.
        unit: of the numbers in it.
        shape: patches along each axis.
        width: numbers in a patch.
    """

    name: str
    slot: str
    unit: str
    shape: tuple[int, ...]
    width: int

    def patches(self, data: np.ndarray) -> np.ndarray:
        """The array as makers and :meth:`read` give it -> (K, width) float32, in raster order."""
        ...

    def read(self, given: Any) -> np.ndarray:
        """What a user gives -> the array.

        Raises:
            RecordError: it is of another kind, size, depth or range.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Options, with ``kind``."""
        ...


class ImageFrame:
    """Images of one size.

    Args:
        size: height and width, pixels.
        channels: 3 (RGB) or 1 (gray).
        patch: side of a patch, pixels; must divide the size.
        scale: ``bytes``: 8 bits a channel, as they are. ``range``: any depth; the smallest value
            becomes 0 and the largest 255, as for micrographs, whose intensities have no unit.

    Raises:
        UsageError: options that make no frame.
    """

    name, slot, unit = "image", "<image>", "share of full brightness"

    def __init__(
        self,
        size: tuple[int, int] | list[int] = (64, 64),
        channels: int = 3,
        patch: int = 8,
        scale: str = "bytes",
    ) -> None:
        if len(size) != 2 or min(size) < 1 or channels not in (1, 3):
            raise UsageError(f"an image of {size} pixels and {channels} channels is none")
        if patch < 1 or any(n % patch for n in size):
            raise UsageError(f"patches of {patch} pixels do not divide {size[0]} x {size[1]}")
        if scale not in SCALES:
            raise UsageError(f"scale {scale!r} is none of {', '.join(SCALES)}")
        self.size, self.channels = (int(size[0]), int(size[1])), channels
        self.patch, self.scale = patch, scale
        self.shape: tuple[int, ...] = (self.size[0] // patch, self.size[1] // patch)
        self.width = patch * patch * channels

    def to_dict(self) -> dict[str, Any]:
        """Options, with ``kind``."""
        return {
            "kind": "image",
            "size": list(self.size),
            "channels": self.channels,
            "patch": self.patch,
            "scale": self.scale,
        }

    def patches(self, data: np.ndarray) -> np.ndarray:
        """(H, W, C) bytes -> (K, width) in [0, 1]: a patch is (row, column, channel).

        Raises:
            RecordError: another shape or type.
        """
        wanted = (*self.size, self.channels)
        if data.shape != wanted or data.dtype != np.uint8:
            raise RecordError(
                f"an image of shape {data.shape} and type {data.dtype}; this model reads "
                f"{wanted} bytes",
                field=self.name,
            )
        p, (rows, columns) = self.patch, self.shape
        cut = data.reshape(rows, p, columns, p, self.channels).transpose(0, 2, 1, 3, 4)
        return (cut.reshape(rows * columns, self.width) / np.float32(255)).astype(np.float32)

    def read(self, given: Any) -> np.ndarray:
        """An array of pixels, (H, W) or (H, W, C) -> (H, W, C) bytes.

        Raises:
            RecordError: another mode, size or depth, numbers that are not finite, or one value
                everywhere.
        """
        data = np.asarray(given)
        if data.ndim == 2:
            data = data[..., None]
        if data.ndim != 3 or not (data.dtype.kind in "uif" or data.dtype == bool):
            raise self._wrong(f"is no image: an array of shape {data.shape} and type {data.dtype}")
        modes = {1: "gray", 2: "gray with alpha", 3: "RGB", 4: "RGB with alpha"}
        if data.shape[2] != self.channels:
            found = modes.get(data.shape[2], f"of {data.shape[2]} channels")
            raise self._wrong(f"is {found}; this model reads {modes[self.channels]} images")
        if data.shape[:2] != self.size:
            raise self._wrong(
                f"has {data.shape[0]} x {data.shape[1]} pixels; this model reads "
                f"{self.size[0]} x {self.size[1]} (height x width)"
            )
        if not np.isfinite(data).all():
            raise self._wrong("holds NaN or infinite numbers")
        if data.min() == data.max():
            raise self._wrong(f"has the same value, {data.min():g}, everywhere")
        if self.scale == "range":
            data = data.astype(np.float64)
            low, high = data.min(), data.max()
            return np.rint(255 * (data - low) / (high - low)).astype(np.uint8)
        if data.dtype != np.uint8:
            bits = f"{8 * data.dtype.itemsize} bits a channel" if data.dtype.kind != "f" else "real"
            raise self._wrong(f"has numbers of {bits}; this model reads 8 bits a channel")
        return data

    def _wrong(self, reason: str) -> RecordError:
        return RecordError(f"the image {reason}", field=self.name)


class PatternFrame:
    """Powder patterns on one grid.

    Args:
        grid: options of :class:`~sciar.tokenization.diffraction.PatternGrid`.
        patch: points of a patch; must divide those of the grid.

    Raises:
        UsageError: options that make no frame.
    """

    name, slot, unit = "pxrd", "<pxrd>", "root of relative intensity"

    def __init__(self, grid: Mapping[str, Any] | None = None, patch: int = 16) -> None:
        try:
            self.grid = PatternGrid(**(grid or {}))
        except TypeError as error:
            raise UsageError(f"a grid takes other options: {error}") from error
        if patch < 1 or self.grid.points % patch:
            raise UsageError(f"patches of {patch} points do not divide {self.grid.points}")
        self.width = patch
        self.shape: tuple[int, ...] = (self.grid.points // patch,)

    def to_dict(self) -> dict[str, Any]:
        """Options, with ``kind``."""
        return {"kind": "pattern", "grid": self.grid.to_dict(), "patch": self.width}

    def patches(self, data: np.ndarray) -> np.ndarray:
        """(P,) profile -> (K, width).

        Raises:
            RecordError: another number of points.
        """
        if data.shape != (self.grid.points,):
            raise RecordError(
                f"a pattern of shape {data.shape}; this model reads {self.grid.points} points",
                field=self.name,
            )
        return data.reshape(-1, self.width).astype(np.float32)

    def read(self, given: Any) -> np.ndarray:
        """A measured pattern or peaks -> (P,) profile; other wavelengths are converted.

        Raises:
            RecordError: it is no pattern, or of another range.
        """
        if not isinstance(given, PowderPattern):
            raise RecordError(
                f"a pattern is a PowderPattern, not a {type(given).__name__}", field=self.name
            )
        try:
            return self.grid.measured(given)
        except RecordError as error:
            raise error.located(source=given.source, record=given.id) from error


def frame_of(options: Mapping[str, Any]) -> Frame:
    """A frame from its options; ``kind`` is ``image`` or ``pattern``.

    Raises:
        UsageError: another kind or other options.
    """
    rest = {k: v for k, v in options.items() if k != "kind"}
    kinds: dict[str, Any] = {"image": ImageFrame, "pattern": PatternFrame}
    kind = options.get("kind")
    if kind not in kinds:
        raise UsageError(f"a frame is of kind {' or '.join(kinds)}, not {kind!r}")
    try:
        frame: Frame = kinds[kind](**rest)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a frame of kind {kind} takes other options: {error}") from error
    return frame
