"""README's commands are commands that exist, and its Python is Python that parses."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from house_sources import PACKAGE, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TRAINING = {"fit", "validate", "test", "predict"}
RECIPES = {
    "perov5-csp",
    "carbon24-csp",
    "mp20-csp",
    "mp20-denovo",
    "qm9-conformer",
    "qm9-denovo",
    "crystal-molecule-unified",
}


def fences(page: Path, language: str) -> list[str]:
    """The code blocks of a language in a Markdown page."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of each shell command, comments removed and continued lines joined."""
    lines = [
        line
        for block in fences(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


SCIAR = [words[1:] for page in PAGES for words in commands(page) if words[0] == "sciar"]


def test_readme_begins_with_the_two_commands() -> None:
    assert commands(ROOT / "README.md")[:2] == [
        ["make", "demo"],
        ["make", "test"],
    ]


def test_readme_shows_every_command() -> None:
    shown = {words[1] for words in commands(ROOT / "README.md") if words[0] == "sciar"}
    wanted = "fit generate predict annotate invert evaluate models data tokenize demo"
    assert set(wanted.split()) <= shown


@pytest.mark.parametrize("words", SCIAR, ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    if words[0] in TRAINING and "--config" in words:
        config = words[words.index("--config") + 1]
        names = {path.stem for path in (PACKAGE / "configs").glob("*.yaml")} | RECIPES
        assert config in names
        return
    if importlib.util.find_spec("sciar.cli") is None:
        pytest.skip("the command line does not exist yet")
    from sciar.cli import build_parser

    build_parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse(page: Path) -> None:
    for block in fences(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
