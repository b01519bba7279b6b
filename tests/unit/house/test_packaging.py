"""The set-up files agree with each other and with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from house_sources import ROOT, imports_of, package_files
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# import name -> distribution name, where they differ
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "Bio": "biopython",
    "PIL": "pillow",
    "torch_geometric": "torch-geometric",
    "markupsafe": "jinja2",  # jinja2's own string type
    "spglib": "pymatgen",  # pymatgen's symmetry finder
    "docstring_parser": "jsonargparse",  # its extra `signatures`
    "lightning_fabric": "lightning",
    "torchmetrics": "lightning",
}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(line) for line in (*PROJECT["dependencies"], *extras["dev"])]


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in parsed}


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    pinned = pins()
    for requirement in requirements():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_pins_are_exact_and_portable() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line
    assert "sciar" not in pins()
    assert pins()["torch"].count("+") == 0  # no local version: every build fits


def test_what_is_imported_is_required() -> None:
    declared = {canonicalize_name(Requirement(d).name) for d in PROJECT["dependencies"]}
    optional = {"wandb", "ray", "transformers"}
    missing = set()
    for path in package_files():
        for found in imports_of(path):
            top = found.module.split(".")[0]
            name = canonicalize_name(DISTRIBUTIONS.get(top, top))
            known = top in sys.stdlib_module_names or top in {"sciar", "__future__"} | optional
            if not known and name not in declared and not found.typing_only:
                missing.add(str(found))
    assert not missing


def test_versions_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in changelog
    init = (ROOT / "sciar" / "__init__.py").read_text(encoding="utf-8")
    written = re.search(r'__version__(?:: \w+)? = "([^"]+)"', init)
    assert written is None or written[1] == PROJECT["version"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "clean", "help"])
def test_make_targets_exist(target: str) -> None:
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_without_python_make_says_what_to_install(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make"):
        (tools / name).symlink_to(str(shutil.which(name)))
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # a Python that is too old or has no venv module
    old.chmod(0o755)
    result = subprocess.run(
        [str(tools / "make"), "demo"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "Python 3.11 or newer" in result.stderr
    assert "python3-venv" in result.stderr
