"""Tokenizers from class paths and plain arguments, as model folders and recipes store them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from sciar.errors import UsageError
from sciar.tokenization.base import LayoutTokenizer


def build_tokenizer(entry: Mapping[str, Any], **more: Any) -> LayoutTokenizer:
    """``{class_path, init_args}`` -> tokenizer; nothing but a ``LayoutTokenizer`` is ever made.

    Args:
        entry: importable path and arguments.
        more: further arguments, such as the ``vocabulary`` of a trained model.

    Raises:
        UsageError: no such class, another kind of class, or arguments that it does not take.
    """
    if not isinstance(entry, Mapping) or "class_path" not in entry:
        raise UsageError(f"a tokenizer is given as class_path and init_args, not as {entry!r}")
    path = str(entry["class_path"])
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"unknown tokenizer {path} ({error})") from error
    if not (isinstance(cls, type) and issubclass(cls, LayoutTokenizer)):
        raise UsageError(f"{path} is no tokenizer")
    try:
        return cls(**dict(entry.get("init_args") or {}), **more)
    except TypeError as error:
        raise UsageError(f"{path} takes other arguments ({error})") from error


def entry_of(tokenizer: LayoutTokenizer) -> dict[str, Any]:
    """The inverse of :func:`build_tokenizer`, without the vocabulary."""
    cls = type(tokenizer)
    return {"class_path": f"{cls.__module__}.{cls.__name__}", "init_args": tokenizer.config()}
