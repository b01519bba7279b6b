"""Folders on disk that are there whole or not at all."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sciar.errors import UsageError

_HERE = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name, then put it in place of the one of that name.

    Whenever the process ends, the name holds the old folder or the new one, whole; see
    :func:`exchange` for file systems that cannot do so in one step.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder.parent))
        try:
            for name, content in files.items():
                (scratch / name).write_bytes(content)
            scratch.chmod(0o755)
            if folder.exists():
                exchange(scratch, folder)
            else:
                os.replace(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from error


def exchange(first: Path, second: Path) -> None:
    """Two existing folders swap their names.

    In one step on Linux and macOS, where the file system can. Elsewhere in three renames: what
    ``second`` was then stands, for an instant, beside it under a name that begins with
    ``.replaced-``, from where it is put back if a rename fails.

    Raises:
        OSError: neither way works.
    """
    if _exchange_at_once(first, second):
        return
    aside = second.with_name(f".replaced-{second.name}.{os.getpid()}")
    os.replace(second, aside)
    try:
        os.replace(first, second)
    except OSError:
        os.replace(aside, second)
        raise
    os.replace(aside, first)


def _exchange_at_once(first: Path, second: Path) -> bool:
    """Whether the system could do it."""
    names = os.fsencode(first.absolute()), os.fsencode(second.absolute())
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            done = library.renamex_np(*names, _EXCHANGE)
        else:
            done = library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)
    except (OSError, AttributeError, TypeError):  # no such library, or no such function in it
        return False
    return bool(done == 0)
