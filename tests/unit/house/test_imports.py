"""Imports run one way through the rooms (DESIGN section 2)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house_sources import PACKAGE, ROOT, Import, imports_of, package_files, room_of, room_of_file

LEAVES = {"errors", "records", "atomic", "merging"}
NETWORK = {"nn", "heads", "model", "objectives"}
CHEMISTRY = {"rdkit", "pymatgen", "ase", "Bio", "spglib", "posebusters", "smact"}

# Room -> the rooms it may import besides itself and the leaves. Rooms that do not exist are fine;
# a new room takes a line here, which is a decision about the house.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "atomic": set(),
    "merging": set(),
    "retrieval": set(),
    "tokenization": {"retrieval"},
    "evaluation": {"retrieval"},
    "segmentation": set(),
    "datasets": {"tokenization", "retrieval"},
    "nn": {"tokenization"},
    "heads": {"tokenization", "nn"},
    "model": {"tokenization", "nn", "heads"},
    "objectives": {"tokenization", "nn", "heads", "model"},
    "generation": NETWORK | {"tokenization"},
    "tasks": NETWORK
    | {"tokenization", "generation", "evaluation", "datasets", "folder", "inheritance"},
    "folder": NETWORK | {"tokenization"},
    "inheritance": NETWORK | {"folder", "tokenization"},
    "oracle": {"tokenization"},
    "importing": NETWORK | {"folder", "tokenization"},
    "zoo": {"folder"},
    "training": {"tasks", "datasets", "folder", "model", "nn", "objectives"},
    "testing": NETWORK | {"tokenization", "generation", "tasks"},
    "configs": set(),
    "data": set(),
}
# may import every room below them
TOP = {"api", "designing", "jobs", "commands", "cli", "__main__", ""}


def all_imports() -> list[Import]:
    return [found for path in package_files() for found in imports_of(path)]


def violations(imports: list[Import]) -> list[str]:
    """Imports that go against the direction; ``typing_only`` ones count too: types are design."""
    wrong = []
    for found in imports:
        room, target = room_of_file(found.file), room_of(found.module)
        if target is None or target in LEAVES | {room, "__version__"} or room in TOP:
            continue
        if target not in MAY_IMPORT.get(room, set()):
            wrong.append(str(found))
    return wrong


def test_every_room_has_its_place() -> None:
    rooms = {room_of_file(path) for path in package_files()}
    unknown = rooms - set(MAY_IMPORT) - TOP
    assert not unknown, f"give {unknown} a line in MAY_IMPORT and a layer in pyproject.toml"


def test_the_table_itself_has_no_cycle() -> None:
    placed: set[str] = set(LEAVES)
    waiting = {room: set(targets) for room, targets in MAY_IMPORT.items() if room not in LEAVES}
    while waiting:
        ready = {room for room, targets in waiting.items() if targets <= placed}
        assert ready, f"these rooms import each other: {sorted(waiting)}"
        placed |= ready
        waiting = {room: targets for room, targets in waiting.items() if room not in ready}


def test_imports_run_one_way() -> None:
    assert not violations(all_imports())


def test_a_wrong_import_is_found(tmp_path: Path) -> None:
    def at(room: str, module: str) -> Import:
        return Import(PACKAGE / room / "x.py", 1, module, typing_only=False)

    assert violations([at("nn", "sciar.tasks.base")])
    assert violations([at("evaluation", "sciar.tokenization")])
    assert violations([at("tokenization", "sciar")])
    assert not violations([at("tasks", "sciar.nn.decoder"), at("nn", "sciar.errors")])
    assert not violations([at("nn", "torch"), at("cli", "sciar.tasks")])


def test_the_network_names_no_chemistry_library() -> None:
    rooms = NETWORK | {"generation"}
    wrong = [
        str(found)
        for found in all_imports()
        if room_of_file(found.file) in rooms and found.module.split(".")[0] in CHEMISTRY
    ]
    assert not wrong


def test_evaluation_knows_no_tensors() -> None:
    """Metrics score structures, so that others' output is measured with the same code."""
    wrong = [
        str(found)
        for found in all_imports()
        if room_of_file(found.file) == "evaluation"
        and found.module.split(".")[0] in {"torch", "lightning", "torch_geometric"}
    ]
    assert not wrong


def loaded_after(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_the_package_is_light() -> None:
    heavy = loaded_after("import sciar") & (CHEMISTRY | {"torch", "lightning", "matplotlib"})
    assert not heavy


@pytest.mark.parametrize("room", sorted(NETWORK | {"generation"}))
def test_training_from_a_cache_needs_no_chemistry(room: str) -> None:
    """Importing every module of a room, with all it pulls in, loads no chemistry library."""
    files = sorted((PACKAGE / room).rglob("*.py")) or list(PACKAGE.glob(f"{room}.py"))
    if not files:
        pytest.skip(f"sciar/{room} holds no module yet")
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    statement = "import " + ", ".join(name.removesuffix(".__init__") for name in names)
    assert not loaded_after(statement) & CHEMISTRY
