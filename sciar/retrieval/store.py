"""Indices on disk: one NPZ of arrays and one JSON, written whole or not at all; no pickles."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sciar.atomic import write_folder
from sciar.errors import ModelError, UsageError
from sciar.retrieval.index import StructureIndex

FORMAT = 1
ARRAYS, FACTS = "known.npz", "known.json"
_NAMES = ("lattices", "offsets", "elements", "frac")


def to_files(index: StructureIndex) -> dict[str, bytes]:
    """File name -> content."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: getattr(index, name) for name in _NAMES})
    facts = {"format": FORMAT, "fingerprint": index.fingerprint, "ids": index.ids}
    text = json.dumps(facts, ensure_ascii=False)
    return {ARRAYS: stream.getvalue(), FACTS: text.encode()}


def from_files(read: Mapping[str, bytes], where: str = "index") -> StructureIndex:
    """Inverse of :func:`to_files`.

    Raises:
        ModelError: damaged, or written by a newer SciAR.
    """
    try:
        facts = json.loads(read[FACTS])
        if facts["format"] > FORMAT:
            raise ModelError(f"{where}: known structures of a newer SciAR; upgrade sciar")
        with np.load(io.BytesIO(read[ARRAYS]), allow_pickle=False) as arrays:
            index = StructureIndex(facts["ids"], **{name: arrays[name] for name in _NAMES})
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile, UsageError) as error:
        raise ModelError(f"{where}: the known structures are damaged ({error})") from error
    if index.fingerprint != facts["fingerprint"]:
        raise ModelError(f"{where}: the known structures are damaged (their checksum differs)")
    return index


def save_index(index: StructureIndex, folder: str | Path) -> Path:
    """Write an index as a folder of its own; an older one there is replaced whole.

    Raises:
        UsageError: the target exists and is no index, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / FACTS).exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} exists and is no index; choose another name")
    write_folder(folder, to_files(index))
    return folder


def load_index(folder: str | Path) -> StructureIndex:
    """Read the index of a folder: one of its own, or a model's.

    Raises:
        UsageError: there is none.
        ModelError: it is damaged.
    """
    folder = Path(folder)
    try:
        read = {name: (folder / name).read_bytes() for name in (ARRAYS, FACTS)}
    except OSError as error:
        raise UsageError(f"{folder}: no index of known structures here ({error})") from error
    return from_files(read, str(folder))
