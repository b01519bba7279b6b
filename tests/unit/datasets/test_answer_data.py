"""Examples of tasks from labelled proteins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answer_models import TASKS

from sciar.datasets.answer_data import AnswerData, Source
from sciar.errors import UsageError
from sciar.records import Annotation
from sciar.tokenization.protein import ProteinTokenizer

ROWS = [
    {"id": "a", "sequence": "MSTAYK", "states": "HHECCC", "place": "in", "split": "train"},
    {"id": "b", "sequence": "MKV", "states": "HEC", "split": "train"},
    {"id": "c", "sequence": "MKVL", "place": "out", "split": "val"},
    {"id": "d", "sequence": "MSSK", "place": "out"},
]


def data(tmp_path: Path, rows: list[dict[str, Any]] = ROWS, **options: Any) -> AnswerData:
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    names = ("states", "place", "point")
    tokens = ProteinTokenizer({name: TASKS[name] for name in names}, max_length=64)
    return AnswerData([Source(str(path), ["states", "place"])], tokens, **options)


def asked(made: AnswerData, split: str) -> list[tuple[str, str, Any]]:
    found = []
    for record in made.records(split):
        note: Any = record.structure
        assert isinstance(note, Annotation)
        found.append((record.id.split("/")[1], note.task, note.value))
    return found


def test_every_label_is_an_example(tmp_path: Path) -> None:
    made = data(tmp_path)
    assert asked(made, "train") == [
        ("a:states", "states", "HHECCC"), ("a:place", "place", "in"),
        ("b:states", "states", "HEC"), ("d:place", "place", "out"),
    ]  # fmt: skip
    assert asked(made, "val") == [("c:place", "place", "out")]
    with pytest.raises(UsageError, match="no example"):
        made.records("test")


def test_auxiliary_questions_follow_from_the_sequence(tmp_path: Path) -> None:
    first, second = (asked(data(tmp_path, auxiliary=1), "train") for _ in range(2))
    assert first == second
    assert ("a:point", "point", (1,)) in first and ("d:point", "point", (1, 2)) in first
    assert not [name for name, *_ in first if name == "b:point"]  # nothing to point at


def test_limits_hold_for_each_task(tmp_path: Path) -> None:
    assert len(asked(data(tmp_path, limit=1), "train")) == 2


def test_long_proteins_teach_what_names_no_residue(tmp_path: Path) -> None:
    rows = [{"id": "l", "sequence": "M" * 100, "states": "H" * 100, "place": "in"}]
    made = data(tmp_path, rows)
    with pytest.warns(UserWarning, match="100 residues"):
        cache = made.encoded("train", made.records("train"))
    assert [name.partition("/")[2] for name in cache.ids] == ["l:place"]
    assert cache.lengths().tolist() == [1 + 64 + 1 + 2]


def test_batches_mix_tasks_and_resume(tmp_path: Path) -> None:
    rows = [{"id": str(i), "sequence": "MSTAYK", "states": "HHECCC"} for i in range(30)]
    rows += [{"id": f"x{i}", "sequence": "MKVL", "place": "in"} for i in range(10)]
    made = data(tmp_path, rows, batch_tokens=64, mixing=0.0)
    loader = made.train_dataloader()
    ids = loader.cache.ids
    packs = list(loader)
    counts = {"states": 0, "place": 0}
    for batch in packs:
        for key in batch.keys.tolist():
            counts[ids[key].rpartition(":")[2]] += 1
    assert counts == {"states": 20, "place": 20}
    again = data(tmp_path, rows, batch_tokens=64, mixing=0.0).train_dataloader()
    iterator = iter(again)
    for _ in range(3):
        next(iterator)
    third = data(tmp_path, rows, batch_tokens=64, mixing=0.0).train_dataloader()
    third.load_state_dict(again.state_dict())
    np.testing.assert_array_equal(next(iter(third)).keys, packs[3].keys)


def test_unreadable_records_are_counted(tmp_path: Path) -> None:
    made = data(tmp_path, [{"id": "x", "sequence": "M1"}, *ROWS])
    with pytest.warns(UserWarning, match="1 records skipped; first: .*record x"):
        assert len(made.records("train")) == 4


def test_wrong_sources_are_refused(tmp_path: Path) -> None:
    tokens = ProteinTokenizer({"place": TASKS["place"]})
    with pytest.raises(UsageError, match="unknown task 'states'; known: place"):
        AnswerData([Source("x", ["states"])], tokens)
    with pytest.raises(UsageError, match="follow from the sequence"):
        AnswerData([Source("x", ["place"])], tokens, auxiliary=1)
