"""Rules that hold for every file: size, safety, nothing unfinished, docstrings of modules."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest
import yaml
from house_sources import PACKAGE, ROOT, imports_of, package_files, python_files

LIMIT = 40_000  # bytes
# Processes of our own that talk to each other through pipes; no file is ever unpickled.
MAY_PICKLE = {"sciar/evaluation/processes.py", "sciar/evaluation/worker.py"}
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_are_small() -> None:
    large = {relative(p): p.stat().st_size for p in python_files() if p.stat().st_size > LIMIT}
    assert not large
    sizes = [path.stat().st_size for path in package_files() if path.name != "__init__.py"]
    assert statistics.median(sizes) <= 6_000


def test_nothing_is_unfinished() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in python_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert not found


def test_nothing_untrusted_is_unpickled() -> None:
    wrong = [
        str(found)
        for path in package_files()
        for found in imports_of(path)
        if found.module.split(".")[0] in PICKLING and relative(path) not in MAY_PICKLE
    ]
    assert not wrong


def unsafe_calls(source: str) -> list[str]:
    """Loads that may run code: torch.load without weights_only=True, numpy with pickles, yaml."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if (
            (name == "torch.load" and options.get("weights_only") != "True")
            or options.get("weights_only") == "False"
            or options.get("allow_pickle") == "True"
            or name in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"}
            or options.get("shell") == "True"
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
    return found


def test_nothing_loads_code_from_data() -> None:
    found = {relative(p): unsafe_calls(p.read_text(encoding="utf-8")) for p in package_files()}
    assert not {path: calls for path, calls in found.items() if calls}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(f)",
        "eval(s)",
        "run(s, shell=True)",
    ],
)
def test_unsafe_loads_are_seen(source: str) -> None:
    assert unsafe_calls(source)
    assert not unsafe_calls("torch.load(p, weights_only=True); np.load(p); yaml.safe_load(f)")


def test_every_module_says_what_it_is() -> None:
    silent = [
        relative(path)
        for path in package_files()
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_no_blind_handler() -> None:
    """``except Exception`` must use the error: re-raise it, or put it into a result."""
    blind = []
    for path in package_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else ""
            broad = caught in {"", "Exception", "BaseException"}
            body = "\n".join(map(ast.unparse, node.body))
            used = "raise" in body or (node.name is not None and node.name in body)
            if broad and not used:
                blind.append(f"{relative(path)}:{node.lineno}")
    assert not blind


def test_yaml_files_parse() -> None:
    for path in PACKAGE.rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), relative(path)


def test_the_type_marker_ships() -> None:
    assert (PACKAGE / "py.typed").is_file()
