"""Bytes and text shared by the formats: gzip by content, UTF-8 per record, numbers in text."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from sciar.errors import RecordError

_INTEGER = re.compile(r"[+-]?\d{1,18}\Z")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")


def open_bytes(path: Path) -> IO[bytes]:
    """Open for reading; gzip is recognised by its first two bytes, not by the name."""
    with path.open("rb") as stream:
        magic = stream.read(2)
    return cast("IO[bytes]", gzip.open(path, "rb")) if magic == b"\x1f\x8b" else path.open("rb")


def lines(path: Path) -> Iterator[bytes]:
    """Lines of a plain or gzipped file, one at a time, line ends included."""
    with open_bytes(path) as stream:
        yield from stream


def decode(raw: bytes) -> str:
    """UTF-8 text without a byte-order mark; other bytes raise :class:`RecordError`."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(
            f"byte {error.object[error.start]:#04x} at offset {error.start} is not UTF-8; "
            "convert the file, for example with iconv -t UTF-8"
        ) from error


def value(text: str) -> int | float | str:
    """A number if the text is a plain finite decimal number, else the text itself."""
    stripped = text.strip()
    if _INTEGER.match(stripped):
        return int(stripped)
    if _FLOAT.match(stripped) and math.isfinite(float(stripped)):
        return float(stripped)
    return text


def plain(item: Any) -> Any:
    """Numbers and arrays of NumPy as Python values; non-finite floats become ``None``."""
    if isinstance(item, np.ndarray):
        return plain(item.tolist())
    if isinstance(item, np.generic):
        return plain(item.item())
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if isinstance(item, dict):
        return {str(key): plain(entry) for key, entry in item.items()}
    if isinstance(item, list | tuple | set):
        return [plain(entry) for entry in item]
    return item if item is None or isinstance(item, bool | int | str) else str(item)


def array(items: Any, shape: tuple[int, int], field: str) -> np.ndarray:
    """``items`` as a float64 array of ``shape``, or a :class:`RecordError` naming ``field``."""
    try:
        result = np.asarray(items, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RecordError(f"expected numbers of shape {shape}: {error}", field=field) from error
    if result.shape != shape:
        raise RecordError(f"expected shape {shape}, got {result.shape}", field=field)
    return result
