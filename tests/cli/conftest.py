"""A small zoo for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_zoo import make_zoo


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(autouse=True)
def installed(zoo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIAR_ZOO", str(zoo_folder))
