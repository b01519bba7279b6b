"""Questions about proteins from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from answer_models import TASKS, model_of, network, protein

import sciar
from sciar.api.annotate import Annotator
from sciar.api.answers import Answer
from sciar.api.model import Model
from sciar.api.windows import windows
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.records import Protein, ProteinRecord
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.protein import ProteinTokenizer

NAMES = ("place", "places", "states", "sites", "heat", "amount", "cut", "enzyme", "touching")
MODEL = model_of(*NAMES)


def plain(p: Answer) -> tuple[object, ...]:
    return p.id, p.task, p.status, p.value, p.message


def test_one_row_for_each_record_and_task_in_order() -> None:
    failure = RecordFailure("bad", "f", 1, RecordError("no residue", record="bad"))
    records = [ProteinRecord("a", protein(9)), failure, "MKV*", "MK1", protein(4, pair=True)]
    found = MODEL.annotate(records, NAMES)
    assert [p.task for p in found] == list(NAMES) * 5
    assert [p.id for p in found[:: len(NAMES)]] == [
        "a",
        "bad",
        "protein_2",
        "protein_3",
        "protein_4",
    ]
    status = {p.id + p.task: p for p in found}
    assert status["aplace"].ok and not status["atouching"].ok
    assert "2 sequence(s) are needed and 1 given" in status["atouching"].message
    assert "no residue" in status["badplace"].message
    assert status["protein_2states"].ok and len(status["protein_2states"].value) == 3
    assert "'1' at position 3" in status["protein_3heat"].message
    assert status["protein_4touching"].ok and not status["protein_4place"].ok


def test_rows_do_not_depend_on_the_batch() -> None:
    records = [protein(n, n) for n in (3, 30, 8)]
    annotator = Annotator(MODEL, NAMES[:-1], rows=5)
    together = [plain(p) for p in annotator.stream(records)]
    alone = [plain(p) for p in annotator.stream(records, batch_residues=1)]
    assert [row[1:] for row in together] == [row[1:] for row in alone]


def test_confidence_is_the_probability_of_the_answer() -> None:
    for p in MODEL.annotate([protein(12)], NAMES[:-1], scores=True):
        if p.task == "amount":
            assert p.confidence is None
            continue
        assert p.confidence is not None and 0 < p.confidence <= 1
        if p.task == "place":
            assert sum(p.scores.values()) == pytest.approx(1)
            assert p.scores[p.value] == pytest.approx(p.confidence) == max(p.scores.values())
        if p.task == "states":
            assert p.confidence == pytest.approx(float(np.exp(np.mean(np.log(p.scores)))))
        if p.task in ("sites", "places"):
            members = {m for m, chance in p.scores.items() if chance >= 0.5}
            assert members - {"<none>"} == set(p.value)
            product = np.prod([c if m in p.value else 1 - c for m, c in p.scores.items()])
            assert p.confidence == pytest.approx(float(product), rel=1e-3)
        if p.task == "heat":
            assert 20 <= p.scores["mean"] <= 90 and p.scores["std"] >= 0


def test_the_mean_of_digits_is_that_of_their_distribution() -> None:
    """Against all numbers of one decimal, whose probabilities the decisions give."""
    tasks = {"heat": {"type": "digits", "low": 0, "high": 1, "decimals": 1, "scaled": False}}
    tokens = ProteinTokenizer(tasks, max_length=64)
    model = Model(ModelFolder("d", network(tokens), tokens, {}, {}, ""))
    (p,) = model.annotate([protein(5)], scores=True)
    assert 0 <= p.scores["mean"] <= 1
    assert abs(p.scores["mean"] - p.value) <= 4 * p.scores["std"] + 0.5


def test_answers_are_read_at_once_where_the_model_was_trained_for_it() -> None:
    trained = model_of("states", info={"objective": {"readout": 0.5}})
    assert Annotator(trained).at_once and not Annotator(MODEL).at_once
    assert not Annotator(trained, at_once=False).at_once
    (at_once,), (one_by_one,) = (trained.annotate(["MSTAYK"], at_once=way) for way in (True, False))
    assert len(at_once.value) == len(one_by_one.value) == at_once.steps == 6


def test_a_lower_threshold_takes_more() -> None:
    few, many = (
        MODEL.annotate([protein(40)], ["sites"], threshold=t)[0].value for t in (0.9, 0.02)
    )
    assert len(many) > len(few)


def test_calibration_of_a_model_is_used() -> None:
    warm = model_of(*NAMES, info={"calibration": {"place": {"temperature": 3.0},
                                                  "sites": {"threshold": 0.02}}})  # fmt: skip
    first, second = (m.annotate([protein(40)], ["place", "sites"]) for m in (MODEL, warm))
    assert first[0].value == second[0].value
    assert second[0].confidence < first[0].confidence  # type: ignore[operator]
    assert len(second[1].value) > len(first[1].value)


def test_long_proteins_are_read_in_windows() -> None:
    tasks = {name: {**TASKS[name]} for name in ("states", "place", "sites", "heat", "cut")}
    for name in ("states", "sites", "cut"):
        tasks[name]["max_length"] = 20
    tokens = ProteinTokenizer(tasks, max_length=20)
    model = Model(ModelFolder("w", network(tokens), tokens, {}, {}, ""))
    long = protein(50)
    found = {p.task: p for p in model.annotate([long], scores=True)}
    assert all(p.ok and "windows" in p.message for p in found.values())
    assert len(found["states"].value) == 50
    assert set(found["sites"].value) <= set(range(50))
    pieces = windows(tokens.tasks["sites"], long, 20)
    union = set()
    for start, piece in pieces:
        (p,) = model.annotate([piece], ["sites"])
        union |= {start + m for m in p.value}
    assert set(found["sites"].value) == union
    numbers = [model.annotate([piece], ["heat"])[0].value for _, piece in pieces]
    assert found["heat"].value == pytest.approx(np.mean(numbers))
    means = [model.annotate([q], ["heat"], scores=True)[0].scores["mean"] for _, q in pieces]
    assert found["heat"].scores["mean"] == pytest.approx(np.mean(means))
    assert found["heat"].scores["std"] >= np.std(means) - 1e-9
    again = {p.task: p.value for p in model.annotate([long], at_once=False)}
    assert len(again["states"]) == 50


def test_windows_know_temperature_and_offsets() -> None:
    tasks = {"states": {**TASKS["states"], "max_length": 20}}
    tokens = ProteinTokenizer(tasks, max_length=20)

    def model(**calibration: object) -> Model:
        info = {"calibration": {"states": calibration}} if calibration else {}
        return Model(ModelFolder("w", network(tokens), tokens, {}, info, ""))

    long = protein(50)
    (cold,), (hot,) = (m.annotate([long], scores=True) for m in (model(), model(temperature=50.0)))
    assert cold.value == hot.value
    assert hot.confidence < cold.confidence  # type: ignore[operator]
    assert np.allclose(hot.scores, 1 / 3, atol=0.05) and not np.allclose(
        cold.scores, 1 / 3, atol=0.05
    )
    far = model(offsets={"cls:states:E": 50.0}, temperature=50.0)
    (moved,) = far.annotate([long], scores=True)
    assert moved.value == "E" * 50
    assert np.allclose(moved.scores, 1 / 3, atol=0.05), "chances are told without offsets"


@pytest.mark.parametrize("at_once", [True, False])
def test_offsets_let_a_class_be_taken(at_once: bool) -> None:
    names = ("states", "place")
    offsets = {"states": {"offsets": {"cls:states:E": 50.0}},
               "place": {"offsets": {"cls:place:between": 50.0}}}  # fmt: skip
    plain, moved = (
        model_of(*names, info=info).annotate([protein(12)], names, at_once=at_once, scores=True)
        for info in ({}, {"calibration": offsets})
    )
    assert moved[0].value == "E" * 12 and plain[0].value != moved[0].value
    assert moved[1].value == "between"
    assert moved[1].scores == plain[1].scores, "the chances stay"
    assert moved[1].confidence == pytest.approx(plain[1].scores["between"])
    assert moved[0].confidence < 1


def test_windows_are_refused_where_they_make_no_sense() -> None:
    tokens = ProteinTokenizer({"touching": TASKS["touching"]}, max_length=20)
    with pytest.raises(RecordError, match="cannot be asked in windows"):
        windows(tokens.tasks["touching"], protein(30, pair=True), 20)


def test_unknown_tasks_and_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task 'nothing'; it knows: place, places"):
        MODEL.annotate(["MKV"], ["nothing"])
    with pytest.raises(UsageError, match="asked nothing"):
        MODEL.annotate(["MKV"], [])
    with pytest.raises(UsageError, match="answers no questions"):
        crystals = CrystalTokenizer("csp", 6)
        config = ModelConfig(decoder=DecoderConfig(layers=1, hidden=16, heads=2))
        made = AutoregressiveModel(crystals.vocabulary, 0, config)
        Model(ModelFolder("c", made, crystals, {}, {}, "")).annotate(["MKV"])


def test_a_stored_model_answers_alike(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "m")
    again = sciar.load(tmp_path / "m")
    records = [Protein("MSTAYK"), protein(30)]
    for first, second in zip(
        MODEL.annotate(records, NAMES[:-1]), again.annotate(records, NAMES[:-1]), strict=True
    ):
        assert plain(first) == plain(second)
        assert first.confidence == second.confidence


@pytest.mark.parametrize("at_once", [True, False])
def test_labels_of_sites_are_put_together_from_windows(at_once: bool) -> None:
    """Decisions are those of candidates alone; residues in one window are as that window says."""
    tasks = {"marks": {**TASKS["marks"], "max_length": 20}}
    tokens = ProteinTokenizer(tasks, max_length=20)
    model = Model(ModelFolder("w", network(tokens), tokens, {}, {}, ""))
    long = Protein("GASTG" * 10)
    (found,) = model.annotate([long], at_once=at_once, scores=True)
    assert found.ok and len(found.value) == len(found.scores) == 50
    free = [i for i, letter in enumerate(long.sequence) if letter in "ST"]
    assert all(found.value[i] == "0" and found.scores[i] == 1 for i in range(50) if i not in free)
    chances = [found.scores[i] for i in free]
    assert found.confidence == pytest.approx(float(np.exp(np.mean(np.log(chances)))))
    (first,) = model.annotate([Protein(long.sequence[:20])], at_once=at_once, scores=True)
    assert found.value[:10] == first.value[:10]
    assert found.scores[:10] == pytest.approx(first.scores[:10])
    assert first.confidence == pytest.approx(
        float(np.exp(np.mean(np.log([first.scores[i] for i in free if i < 20]))))
    )
    (none,) = model.annotate([Protein("GAG" * 20)], at_once=at_once)
    assert (none.value, none.confidence) == ("0" * 60, 1.0)


def test_the_interval_of_windows_holds_those_of_all() -> None:
    tokens = ProteinTokenizer({"amount": TASKS["amount"]}, max_length=20)
    model = Model(ModelFolder("w", network(tokens), tokens, {}, {}, ""))
    for parameter in model.network.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    long = protein(50)
    (found,) = model.annotate([long], scores=True)
    pieces = windows(tokens.tasks["amount"], long, 20)
    parts = [model.annotate([piece], scores=True)[0] for _, piece in pieces]
    assert len(parts) > 2 and found.value == pytest.approx(np.mean([p.value for p in parts]))
    assert found.scores["low"] == pytest.approx(min(p.scores["low"] for p in parts))
    assert found.scores["high"] == pytest.approx(max(p.scores["high"] for p in parts))
