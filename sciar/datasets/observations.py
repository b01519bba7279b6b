"""Observations from files: images (PNG, TIFF, JPEG, BMP, NPY, NPZ) and powder patterns.

A bad file becomes one :class:`~sciar.datasets.readers.RecordFailure` and the reading goes on.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.formats.pattern import read_patterns
from sciar.datasets.readers import RecordFailure, UniqueNames, stem_of
from sciar.errors import RecordError, UsageError
from sciar.records import PowderPattern

IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".npy", ".npz")
PATTERNS = (".xy", ".xye", ".dat", ".txt", ".csv", ".jsonl", ".ndjson", ".json")
_MODES = {"L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B"}


@dataclass(frozen=True, eq=False)
class Observation:
    """One image or pattern.

    Attributes:
        id: identifier, unique within its source.
        data: (H, W) or (H, W, C) array of pixels, or a pattern.
        source: file it came from.
        index: position in the source, from 0.
    """

    id: str
    data: np.ndarray | PowderPattern
    source: str = ""
    index: int = 0


def read_observations(path: str | Path, kind: str) -> Iterator[Observation | RecordFailure]:
    """Observations and failures of a file or of the files of a folder, in order.

    Args:
        path: file or folder.
        kind: ``image`` or ``pxrd``.

    Raises:
        UsageError: no such path, or nothing of this kind in it; at the call.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; check the path")
    known = IMAGES if kind == "image" else PATTERNS
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and _suffix(p) in known)
        if not files:
            raise UsageError(f"{path}: holds no files of {', '.join(known)}")
    elif _suffix(path) not in known:
        raise UsageError(f"{path}: of no known format; this model reads {', '.join(known)}")
    return _numbered(path, files, kind)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _numbered(path: Path, files: list[Path], kind: str) -> Iterator[Observation | RecordFailure]:
    names, index = UniqueNames(str(path)), 0
    for file in files:
        for item in _images(file) if kind == "image" else _patterns(file):
            id = names.claim(item.id)
            if isinstance(item, RecordFailure):
                error = item.error.located(source=str(file), record=id)
                yield RecordFailure(id, str(file), index, error)
            else:
                yield Observation(id, item.data, str(file), index)
            index += 1


def _patterns(file: Path) -> Iterator[Observation | RecordFailure]:
    try:
        for item in read_patterns(file):
            if isinstance(item, RecordFailure):
                yield item
            else:
                yield Observation(item.id, item, str(file))
    except UsageError as error:
        yield _failure(file, stem_of(file), RecordError(str(error)))


def _images(file: Path) -> Iterator[Observation | RecordFailure]:
    stem = stem_of(file)
    try:
        if _suffix(file) == ".npz":
            yield from _stack(file, stem)
        elif _suffix(file) == ".npy":
            yield Observation(stem, _array(file.read_bytes()), str(file))
        else:
            yield Observation(stem, _picture(file), str(file))
    except RecordError as error:
        yield _failure(file, stem, error)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        yield _failure(file, stem, RecordError(f"no readable image ({error})", field="image"))


def _array(data: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _stack(file: Path, stem: str) -> Iterator[Observation]:
    """The images of a NumPy archive: its member ``images`` or ``image``, (N, H, W) or (.., C)."""
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as data:
        name = next((n for n in ("images", "image") if n in data.files), None)
        if name is None:
            raise RecordError(f"holds {', '.join(data.files) or 'nothing'}, no images")
        stack = data[name]
    if stack.ndim not in (3, 4):
        raise RecordError(f"{name} has the shape {stack.shape}; (N, H, W) or (N, H, W, C) is due")
    for i, image in enumerate(stack):
        yield Observation(f"{stem}_{i}", image, str(file))


def _picture(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise RecordError(f"holds {frames} images; give a file for each", field="image")
            if image.mode not in _MODES:
                raise RecordError(
                    f"the image is of mode {image.mode}; save it as gray or RGB", field="image"
                )
            return np.asarray(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RecordError(f"no readable image ({error})", field="image") from error


def _failure(file: Path, id: str, error: RecordError) -> RecordFailure:
    return RecordFailure(id, str(file), 0, error.located(source=str(file), record=id))


def fitted(data: Any, size: tuple[int, int], channels: int) -> np.ndarray:
    """An image of any size, mode and depth as (H, W, C) bytes: padded to the aspect, then resized.

    Alpha is laid over white, gray is repeated, colours are weighed to gray (ITU-R BT.601), the
    range of 16 bits and of real numbers becomes that of bytes; the border is the image's median.

    Raises:
        RecordError: it is no image, or has the same value everywhere.
    """
    from PIL import Image

    array = np.asarray(data)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise RecordError(f"an array of shape {array.shape} is no image", field="image")
    wide = array.astype(np.float64)
    if not np.isfinite(wide).all() or wide.min() == wide.max():
        raise RecordError("the image is constant or holds NaN", field="image")
    if array.dtype != np.uint8:
        wide = 255 * (wide - wide.min()) / (wide.max() - wide.min())
    if wide.shape[2] in (2, 4):
        alpha = wide[..., -1:] / 255
        wide = wide[..., :-1] * alpha + 255 * (1 - alpha)
    if channels == 1 and wide.shape[2] == 3:
        wide = wide @ np.array([[0.299], [0.587], [0.114]])
    wide = np.repeat(wide, channels, axis=2) if wide.shape[2] < channels else wide
    rows, columns = wide.shape[:2]
    # The smallest frame of the wanted aspect that holds the image.
    scale = max(rows / size[0], columns / size[1])
    full = (max(rows, round(size[0] * scale)), max(columns, round(size[1] * scale)))
    canvas = np.tile(np.median(wide, axis=(0, 1)), (*full, 1))
    top, left = (full[0] - rows) // 2, (full[1] - columns) // 2
    canvas[top : top + rows, left : left + columns] = wide
    layers = [
        np.asarray(
            Image.fromarray(canvas[..., c].astype(np.float32)).resize(
                (size[1], size[0]), Image.Resampling.BICUBIC
            )
        )
        for c in range(channels)
    ]
    return np.rint(np.clip(np.stack(layers, axis=-1), 0, 255)).astype(np.uint8)
