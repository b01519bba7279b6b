"""``sciar generate --condition``: properties, ranges, files of wishes, guidance."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from tiny_models import random_crystals, tiny_config, tiny_model

import sciar
from sciar.cli import main
from sciar.datasets.readers import read_all
from sciar.errors import RecordError, UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.records import Record
from sciar.tokenization.conditional import ConditionalTokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = {
        "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
        "init_args": {"max_atoms": 8, "cell": "as-given", "task": "denovo"},
    }
    tokenizer = ConditionalTokenizer(base, ["density", {"name": "gap", "unit": "eV"}])
    records = [Record("a", c, {"gap": 0.1 * i}) for i, c in enumerate(random_crystals(20))]
    tokenizer.fit_statistics([tokenizer.subject(r) for r in records])
    network = tiny_model(tokenizer, tiny_config(), shake=0.05)
    folder = tmp_path_factory.mktemp("models") / "wanted"
    save_folder(folder, ModelFolder("wanted", network, tokenizer, {"steps": 4}, {}, "# wanted"))
    return str(folder)


def generated(model: str, out: Path, *words: str) -> list[Record]:
    command = ["generate", model, "-n", "3", "--seed", "5", "--raw", "--out", str(out), *words]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(command) in (0, 1, 3)
    return read_all(out)[0]


def test_samples_keep_what_they_were_asked_for(model: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    words = ("--condition", "gap=0.3,density=2.5", "--guidance", "2")
    for record in generated(model, out, *words):
        assert record.properties["asked_gap"] == 0.3
        assert record.properties["asked_density"] == 2.5
    again = generated(model, out, "--condition", "gap=0.3", "--condition", "density=2.5")
    assert all(r.properties["asked_gap"] == 0.3 for r in again)


def test_guidance_0_is_no_condition_and_1_is_the_default(model: str, tmp_path: Path) -> None:
    def volumes(*words: str) -> list[float]:
        found = generated(model, tmp_path / "o.jsonl", *words)
        return [r.structure.volume for r in found]  # type: ignore[union-attr]

    asked = ("--condition", "gap=1.5")
    assert volumes(*asked, "--guidance", "0") == volumes()
    assert volumes(*asked, "--guidance", "1") == volumes(*asked) != volumes()
    assert volumes(*asked, "--guidance", "4") != volumes(*asked)


def test_a_value_outside_the_range_is_told_or_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", model, "--condition", "gap=7", "--out", str(tmp_path / "o.jsonl")]
    with pytest.warns(UserWarning, match="gap = 7 eV lies outside .* 0 to 1.9 eV"):
        main(words)
    assert main([*words, "--strict-range"]) == 2
    assert "0 to 1.9 eV (20 records)" in capsys.readouterr().err


def test_a_file_of_wishes(model: str, tmp_path: Path) -> None:
    file, numbers = tmp_path / "wishes.csv", tmp_path / "n.json"
    file.write_text("id,gap,density\na,0.5,\nb,much,3\nc,,\nd,0.5\n")
    words = ["generate", model, "--conditions-file", str(file), "--raw", "-n", "2"]
    assert main([*words, "--json", str(numbers), "--out", str(tmp_path / "o.jsonl")]) == 3
    found = json.loads(numbers.read_text())["samples"]
    by_input: dict[str, list[dict[str, object]]] = {}
    for sample in found:
        by_input.setdefault(sample["input"], []).append(sample)
    assert {k: len(v) for k, v in by_input.items()} == {"a": 2, "b": 1, "c": 2, "row3": 1}
    assert by_input["a"][0]["asked_gap"] == 0.5 and "asked_density" not in by_input["a"][0]
    assert "gap" in str(by_input["b"][0]["message"])
    assert "3 columns" in str(by_input["row3"][0]["message"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--condition", "gap"], "NAME=VALUE"),
        (["--condition", "gap=1,gap=2"], "given twice"),
        (["--condition", "colour=1"], "leave out colour"),
        (["--conditions-file", "nowhere.csv"], "no such file"),
        (["--condition", "gap=big"], "no number"),
        (["--guidance", "nan"], "guidance"),
    ],
)
def test_wrong_wishes(
    model: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", model, *words]) == 2
    assert message in capsys.readouterr().err


def test_the_card_lists_the_properties(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", model]) == 0
    told = capsys.readouterr().out
    assert "--condition gap=VALUE   0 to 1.9 eV in 20 training records" in told


def test_the_interface(model: str) -> None:
    loaded = sciar.load(model)
    many = loaded.generate(conditions=[{"id": "x", "gap": 0.5}, {"gap": 99}], strict_range=True)
    assert [s.input for s in many] == ["x", "sample"]
    assert many[0].asked == {"gap": 0.5} and "outside" in many[1].message
    with pytest.raises(RecordError, match="outside"):
        loaded.generate(conditions={"gap": 99}, strict_range=True)
    with pytest.raises(UsageError, match="leave out gap"):
        sciar.load("denovo").generate(conditions={"gap": 1})
