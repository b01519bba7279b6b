"""Checkpoints of other systems: tensors and plain fields, whatever classes the file names.

PyTorch's restricted loader (``weights_only``) makes no object but of classes on a list. Classes of
settings are put on it as empty stand-ins, which keep what they are given and do nothing, so nothing
of the file is executed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from sciar.errors import ModelError, UsageError

NAMESPACE = "argparse.Namespace"


class Plain:
    """A stand-in of a class of settings: arguments and attributes as they are."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        tensors: name -> tensor.
        fields: plain settings (numbers, texts, truth values, lists of these); others are left out.
    """

    tensors: dict[str, Tensor]
    fields: dict[str, Any]


def read_checkpoint(path: Path, packages: Sequence[str]) -> Checkpoint:
    """Tensors and settings of a checkpoint.

    Args:
        path: file of ``torch.save``: a mapping with the tensors under ``model`` or ``module``, or
            itself a mapping of tensors, and the settings under ``args``.
        packages: whose classes may be settings; those of other packages are refused.

    Raises:
        UsageError: no such file.
        ModelError: it is damaged, in another format, or names a class that is none of settings.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a checkpoint in PyTorch's format (a zip archive)")
    try:
        named = get_unsafe_globals_in_checkpoint(str(path))
        classes: list[Any] = [_stand_in(path, name, packages) for name in named]
        with safe_globals(classes):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except ModelError:
        raise
    except Exception as error:
        # The loader has no error class of its own: whatever is wrong is wrong with the file.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: cannot be read as a checkpoint ({reason})") from error
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: holds no mapping but a {type(found).__name__}")
    inner = next(
        (found[k] for k in ("model", "module") if isinstance(found.get(k), Mapping)), found
    )
    tensors = {str(k): v for k, v in inner.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ModelError(f"{path}: holds no tensors")
    return Checkpoint(tensors, _fields(found.get("args")))


def _stand_in(path: Path, name: str, packages: Sequence[str]) -> type:
    """A class of this name that does nothing.

    Raises:
        ModelError: such a class is expected in no checkpoint.
    """
    module, _, short = name.rpartition(".")
    ours = any(module == p or module.startswith(f"{p}.") for p in packages)
    if name != NAMESPACE and not ours:
        raise ModelError(
            f"{path}: refused, because it holds an object of {name}; a checkpoint holds tensors "
            f"and settings ({NAMESPACE}, {', '.join(packages)}), and anything else could run code"
        )
    return type(short, (Plain,), {"__module__": module, "__qualname__": short})


def _fields(settings: Any) -> dict[str, Any]:
    """The plain ones among the fields of settings."""
    found = settings if isinstance(settings, Mapping) else getattr(settings, "__dict__", {})
    plain = {str(k): _plain(v) for k, v in found.items()}
    return {k: v for k, v in plain.items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Plain) and len(value.__dict__.get("arguments", ())) == 1:
        value = value.arguments[0]  # a member of an enumeration
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and all(_plain(x) is not None for x in value):
        return [_plain(x) for x in value]
    return None
