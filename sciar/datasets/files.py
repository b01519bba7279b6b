"""Files of numbers and rows: written under a temporary name, then renamed."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

from sciar.errors import UsageError


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file completely or not at all; ``.gz`` compresses.

    Raises:
        UsageError: no space, no permission; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def write_json(path: str | Path, content: Any) -> Path:
    """Write numbers as JSON; what is not finite becomes ``null``."""
    from sciar.datasets.formats.text import plain  # numpy, which a command's --help can do without

    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    return replace_file(Path(path), (text + "\n").encode())


def unwritable(path: Path, error: OSError) -> UsageError:
    """The error of a file that cannot be written."""
    reason = error.strerror or str(error)
    return UsageError(f"{path}: cannot be written ({reason}); free space or choose another place")
