"""Tasks from YAML, and a vocabulary that only grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.testing.answers import random_answer
from sciar.tokenization.answers.base import SPECIALS
from sciar.tokenization.answers.registry import Tasks

P = Protein("MSTAYKRSTY")
STANDARD = Tasks.from_yaml()


@pytest.mark.parametrize("task", list(STANDARD), ids=lambda task: task.name)
def test_every_standard_task_answers_well_whatever_is_sampled(task) -> None:
    vocabulary = STANDARD.vocabulary()
    rng = np.random.default_rng(0)
    assert task.prompt(P)[0] == f"<task_{task.name}>"
    assert all(name in vocabulary for name in task.prompt(P))
    for _ in range(5):
        tokens = random_answer(task.codec, vocabulary, P, rng)
        task.decode(tokens, P, [0.5] * tokens.count("<number>"))


def test_adding_a_task_is_one_entry_and_keeps_all_ids() -> None:
    four = STANDARD.only(["secondary_structure", "gb1_sampled", "phospho_y", "deeploc"])
    old = four.vocabulary()
    assert old.names[: len(SPECIALS)] == SPECIALS
    more = Tasks({
        "solubility": {"type": "single", "labels": ["soluble", "insoluble"]},
        "affinity": {"type": "number", "std": 2.0},
    })  # fmt: skip
    grown = four.plus(more).vocabulary(old)
    assert grown.names[: len(old)] == old.names
    assert {"<task_solubility>", "cls:solubility:soluble", "<task_affinity>"} <= set(grown.names)
    assert [slot.name for slot in grown.slots] == ["<number>"] and not old.slots
    # Which tasks are named beside the old vocabulary, and in which order, does not matter.
    assert more.vocabulary(old).names[: len(old)] == old.names
    assert more.plus(four).vocabulary(old).names == grown.names
    assert four.vocabulary(grown).names == grown.names


def test_old_answers_are_masked_as_before() -> None:
    four = STANDARD.only(["secondary_structure", "gb1_sampled", "phospho_y", "ec"])
    old = four.vocabulary()
    new = STANDARD.vocabulary(old)
    assert len(new) > len(old)
    rng = np.random.default_rng(1)
    for task in four:
        before, after = task.grammar(old, P), task.grammar(new, P)
        while True:
            (mask, end), (wider, wider_end) = before.allowed(), after.allowed()
            np.testing.assert_array_equal(wider[: len(old)], mask)
            assert not wider[len(old) :].any() and end == wider_end
            if not mask.any():
                break
            token = int(rng.choice(np.flatnonzero(mask)))
            before.push(token)
            after.push(token)


def test_tasks_are_stored_with_a_model(tmp_path: Path) -> None:
    (tmp_path / "go.obo").write_text(
        "[Term]\nid: GO:1\nnamespace: m\n\n[Term]\nid: GO:2\nnamespace: m\nis_a: GO:1 ! one\n"
    )
    (tmp_path / "terms.txt").write_text("GO:1\nGO:2\n")
    (tmp_path / "tasks.yaml").write_text(
        "go_mf:\n  type: terms\n  labels_file: terms.txt\n  ontology: go.obo\n"
    )
    tasks = Tasks.from_yaml(tmp_path / "tasks.yaml")
    assert tasks["go_mf"].encode(["GO:2"], P) == ("go_mf:GO:1", "go_mf:GO:2")
    again = Tasks(yaml.safe_load(yaml.safe_dump(tasks.to_dict(), sort_keys=False)))
    assert again.fingerprint == tasks.fingerprint
    assert again.vocabulary().fingerprint == tasks.vocabulary().fingerprint
    assert again["go_mf"].encode(["GO:2"], P) == ("go_mf:GO:1", "go_mf:GO:2")


def test_a_name_space_may_be_shared() -> None:
    labels = {"type": "single", "labels": ["yes", "no"], "space": "answer"}
    vocabulary = Tasks({"a": labels, "b": labels}).vocabulary()
    assert [n for n in vocabulary.names if n.startswith("cls:")] == [
        "cls:answer:yes",
        "cls:answer:no",
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "classes"}, "type 'classes' is unknown; known: single"),
        ({"labels": "AB"}, "type None"),
        ({"type": "single"}, "'labels' is missing"),
        (
            {"type": "single", "labels": "AB", "colour": 1},
            "'colour' is unknown; known: crop, field",
        ),
        ({"type": "single", "labels": [True, False]}, "into quotes"),
        ({"type": "single", "labels": 12}, "into quotes"),
        ({"type": "single", "labels_file": "absent.txt"}, "absent.txt cannot be read"),
        ({"type": "digits", "low": 1, "high": 0}, "low must be below high"),
        ({"type": "single", "labels": "AB", "inputs": 3}, "inputs 3"),
        ({"type": "contacts", "inputs": 1}, "inputs 1"),
        ({"type": "sites", "chain": 1}, "inputs 1"),
        ({"type": "single", "labels": "AB", "weight": -1}, "negative"),
        ({"type": "number", "crop": 3, "skip": 3}, "leaves nothing"),
        ({"type": "number", "skip": -1}, "not negative"),
        ({"type": "sites", "skip": 2}, "name residues"),
        ("single", "expected options"),
    ],
)
def test_malformed_entries_name_task_and_option(entry, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Tasks({"mine": entry})
    assert str(caught.value).startswith("task mine: ") and message in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", ""])
def test_malformed_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"tasks\.yaml"):
        Tasks.from_yaml(path)
    with pytest.raises(UsageError, match="absent"):
        Tasks.from_yaml(tmp_path / "absent.yaml")


def test_names_are_plain_and_unique() -> None:
    with pytest.raises(UsageError, match="small letters"):
        Tasks({"My Task": {"type": "number"}})
    with pytest.raises(UsageError, match="already defined"):
        STANDARD.plus(Tasks({"gb1_sampled": {"type": "number"}}))


def test_a_task_may_be_about_the_middle_of_a_construct() -> None:
    task = Tasks({"mine": {"type": "number", "skip": 2, "crop": 5}})["mine"]
    assert task.view(Protein("MKVLAAG")).sequence == "VLA"
    assert task.view(Protein("MKV")).sequence == "V"
    with pytest.raises(RecordError, match="after number 2, but the sequence has 2"):
        task.view(Protein("MK"))
