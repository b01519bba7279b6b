"""Encoders on disk: the same vectors after reading, and damage that is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from sciar import zoo
from sciar.errors import ModelError, UsageError
from sciar.folder import load_folder
from sciar.nn.encoders.esm2 import Esm2Config
from sciar.nn.encoders.esm2_weights import load_esm2
from sciar.nn.encoders.folder import (
    EncoderFolder,
    is_encoder_folder,
    load_encoder_folder,
    save_encoder,
)
from sciar.nn.encoders.masked_lm import MaskedLM

IDS, LENGTHS = torch.tensor([0, 5, 6, 32, 2]), torch.tensor([5])


@pytest.fixture
def saved(tmp_path: Path) -> tuple[MaskedLM, Path]:
    torch.manual_seed(0)
    model = MaskedLM(Esm2Config(2, 16, 2, 32), [float(i) for i in range(33)]).eval()
    save_encoder(tmp_path / "small", EncoderFolder("small", model, {"steps": 3}, "# small\n"))
    return model, tmp_path / "small"


def test_what_is_read_is_what_was_written(saved: tuple[MaskedLM, Path]) -> None:
    model, folder = saved
    found = load_encoder_folder(folder)
    assert (found.name, found.info, found.card) == ("small", {"steps": 3}, "# small\n")
    chosen = torch.tensor([3])
    assert torch.equal(found.model(IDS, LENGTHS, chosen), model(IDS, LENGTHS, chosen))
    assert torch.equal(found.model.background, model.background)
    encoder = load_esm2(folder)
    assert torch.equal(encoder.packed(IDS, LENGTHS), model.encoder.packed(IDS, LENGTHS))
    assert is_encoder_folder(folder) and not is_encoder_folder(folder.parent)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["small"]


def test_damage_is_named(saved: tuple[MaskedLM, Path], tmp_path: Path) -> None:
    _, good = saved

    def changed(name: str, **changes: object) -> Path:
        folder = Path(shutil.copytree(good, tmp_path / name))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
        return folder

    cases = {
        "newer": (changed("newer", format=99), "newer SciAR"),
        "alphabet": (changed("alphabet", alphabet=["A"]), "another alphabet"),
        "sizes": (changed("sizes", encoder={"layers": 1, "width": 16, "heads": 2,
                                            "feed_forward": 32}), "do not fit"),
    }  # fmt: skip
    cut = changed("cut")
    (cut / "model.safetensors").write_bytes((good / "model.safetensors").read_bytes()[:-1])
    cases["cut"] = (cut, "checksum")
    for folder, message in cases.values():
        with pytest.raises(ModelError, match=message):
            load_encoder_folder(folder)
    (cut / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="missing"):
        load_encoder_folder(cut)
    with pytest.raises(ModelError, match="missing or damaged"):
        load_encoder_folder(tmp_path / "nowhere")


def test_other_folders_are_not_overwritten(saved: tuple[MaskedLM, Path], tmp_path: Path) -> None:
    model, folder = saved
    content = EncoderFolder("again", model, {}, "")
    save_encoder(folder, content)
    assert load_encoder_folder(folder).name == "again"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="no encoder"):
        save_encoder(tmp_path / "mine", content)
    with pytest.raises(UsageError, match="background"):
        MaskedLM(Esm2Config(1, 16, 2, 32), [1.0])


def test_the_zoo_lists_encoders_and_models_refuse_them(
    saved: tuple[MaskedLM, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = saved
    monkeypatch.setenv("SCIAR_ZOO", str(folder.parent))
    row = zoo.describe(zoo.find("small")).row()
    assert (row["tokenizer"], row["task"], row["max_atoms"]) == ("encoder of proteins", "", None)
    with pytest.raises(ModelError, match="answers nothing by itself"):
        load_folder(folder)
