"""The zoo: small trained models that ship with the package, found by name without loading them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sciar.errors import ModelError, UsageError


@dataclass(frozen=True)
class ZooModel:
    """What is known of a model without loading its weights.

    Attributes:
        name: what the user types.
        folder: where it lies.
        config: content of its ``config.yaml``.
    """

    name: str
    folder: Path
    config: dict[str, Any]

    @property
    def is_encoder(self) -> bool:
        """Whether it is an encoder, which other models start from, and answers nothing itself."""
        return "encoder" in self.config and "tokenizer" not in self.config

    @property
    def tokenizer(self) -> str:
        """Class name of its tokenizer; of an encoder of proteins, that it is one."""
        if self.is_encoder:
            return "encoder of proteins"
        return str(self.config["tokenizer"]["class_path"]).rpartition(".")[2]

    @property
    def task(self) -> str:
        """Task of its tokenizer, e.g. ``csp``; empty if it has only one."""
        return str(self._arguments.get("task") or "")

    @property
    def max_atoms(self) -> int | None:
        """Largest structure that it takes or makes."""
        return self._arguments.get("max_atoms")

    @property
    def _arguments(self) -> dict[str, Any]:
        """Of the tokenizer of its structures, around which others may stand."""
        if self.is_encoder:
            return {}
        found = self.config["tokenizer"]["init_args"]
        while "base" in found:
            found = found["base"].get("init_args") or {}
        return found

    @property
    def properties(self) -> list[str]:
        """A line for each property that its structures may be asked for."""
        if self.is_encoder:
            return []
        lines = []
        for p in self.config["tokenizer"]["init_args"].get("properties") or []:
            unit = f" {p['unit']}" if p.get("unit") else ""
            seen = f"{p['low']:g} to {p['high']:g}{unit} in {p['count']:,} training records"
            lines.append(f"--condition {p['name']}=VALUE   {seen}")
        return lines

    @property
    def info(self) -> dict[str, Any]:
        """Facts stored with the model: data, recipe, hardware, steps, parameters."""
        return self.config.get("info") or {}

    @property
    def megabytes(self) -> float:
        """Size of the folder in MB (10^6 bytes)."""
        return sum(p.stat().st_size for p in self.folder.iterdir() if p.is_file()) / 1e6

    def row(self) -> dict[str, Any]:
        """One row of ``sciar models``, in plain types."""
        return {
            "name": self.name,
            "tokenizer": self.tokenizer,
            "task": self.task,
            "max_atoms": self.max_atoms,
            "parameters": self.info.get("parameters"),
            "megabytes": round(self.megabytes, 2),
            "data": self.info.get("data", ""),
            "folder": str(self.folder),
        }


def folders() -> Iterator[Path]:
    """Where models are looked for: ``$SCIAR_ZOO`` if set, then the package's own zoo."""
    if os.environ.get("SCIAR_ZOO"):
        yield Path(os.environ["SCIAR_ZOO"]).expanduser()
    yield Path(__file__).resolve().parent


def paths() -> dict[str, Path]:
    """Name -> folder of every model, in alphabetical order."""
    found: dict[str, Path] = {}
    for root in folders():
        for config in sorted(root.glob("*/config.yaml")):
            found.setdefault(config.parent.name, config.parent)
    return dict(sorted(found.items()))


def find(name_or_path: str | Path) -> Path:
    """The folder of a model: a name from the zoo, else a path.

    Raises:
        UsageError: neither a known name nor a folder; the message lists the known names.
    """
    known = paths()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    listed = ", ".join(known) or "none is installed"
    raise UsageError(
        f"no model and no folder {str(name_or_path)!r}; known models: {listed}. A folder made by "
        "'sciar fit' or Model.save works too"
    )


def describe(folder: Path) -> ZooModel:
    """What a model's ``config.yaml`` says.

    Raises:
        ModelError: if it cannot be read.
    """
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        model = ZooModel(folder.name, folder, config)
        model.row()
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as e:
        raise ModelError(f"{path}: damaged or no model configuration ({e})") from e
    return model
