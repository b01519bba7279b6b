"""The source files of the package and what they import, read without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sciar"


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands, and whether it only serves the type checker."""

    file: Path
    line: int
    module: str
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def package_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def python_files() -> list[Path]:
    """Every Python file of the repository."""
    rooms = ("sciar", "tests", "benchmarks", "examples", "docs")
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def room_of(module: str) -> str | None:
    """``sciar.nn.decoder`` -> ``nn``; ``None`` for what is not ours, "" for ``sciar`` itself."""
    parts = module.split(".")
    if parts[0] != "sciar":
        return None
    return parts[1] if len(parts) > 1 else ""


def room_of_file(path: Path) -> str:
    """The room a file of the package belongs to; "" for ``sciar/__init__.py``."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    """Imports anywhere in a file, inside functions too; relative ones are resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = _typing_only_lines(tree)
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _from_import(node, package)
        else:
            continue
        for name in names:
            yield Import(path, node.lineno, name, node.lineno in typing_only)


def _from_import(node: ast.ImportFrom, package: str) -> list[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
    if base == "sciar":  # `from sciar import nn` imports the room nn
        return [f"sciar.{alias.name}" for alias in node.names]
    return [base]


def _typing_only_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                lines.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return lines
