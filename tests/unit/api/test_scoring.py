"""Scores of predictions against labels, and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from answer_models import TASKS, model_of, network, protein

from sciar.api.model import Model
from sciar.api.scoring import calibrate, score, with_calibration
from sciar.folder import ModelFolder
from sciar.records import Protein, ProteinRecord
from sciar.tokenization.protein import ProteinTokenizer

NAMES = ("place", "places", "states", "sites", "heat", "enzyme")
MODEL = model_of(*NAMES)
PROTEINS = [protein(n, n) for n in (5, 9, 14, 3)]


def labelled(task: str, values: list[Any], **more: Any) -> list[ProteinRecord]:
    return [
        ProteinRecord(str(i), p, {task: v} | {k: x[i] for k, x in more.items()})
        for i, (p, v) in enumerate(zip(PROTEINS, values, strict=True))
    ]


def own(task: str) -> list[Any]:
    return [p.value for p in MODEL.annotate(PROTEINS, [task])]


def test_its_own_answers_are_right() -> None:
    assert score(MODEL, "place", labelled("place", own("place")))["accuracy"]["rate"] == 1
    assert score(MODEL, "states", labelled("states", own("states")))["residues"]["rate"] == 1
    assert score(MODEL, "sites", labelled("sites", own("sites")))["f1"] in (1, None)
    assert score(MODEL, "enzyme", labelled("enzyme", own("enzyme")))["exact"] == 4
    heat = score(MODEL, "heat", labelled("heat", own("heat")))
    assert heat["mae"] == pytest.approx(0) and "spearman of means" in heat
    assert heat["coverage"] == 1 and heat["records"] == heat["answered"] == 4


def test_wrong_answers_are_counted() -> None:
    flip = {"in": "out", "out": "in", "between": "in"}
    values = [flip[v] for v in own("place")]
    values[0] = own("place")[0]
    found = score(MODEL, "place", labelled("place", values))["accuracy"]
    assert (found["count"], found["of"]) == (1, 4)


def test_unresolved_residues_do_not_count() -> None:
    tasks = {"states": {**TASKS["states"], "mask": "seen"}}
    tokens = ProteinTokenizer(tasks, max_length=64)
    model = Model(ModelFolder("m", network(tokens), tokens, {}, {}, ""))
    values = [p.value for p in model.annotate(PROTEINS)]
    wrong = ["HEC"["HEC".index(v[0]) - 1] + v[1:] for v in values]
    masks = ["0" + "1" * (len(v) - 1) for v in values]
    found = score(model, "states", labelled("states", wrong, seen=masks))
    assert found["residues"]["rate"] == 1 and found["residues"]["of"] == sum(map(len, values)) - 4


def test_sites_are_also_read_out_of_classes() -> None:
    tasks = {"states": {**TASKS["states"], "field": "s"},
             "states_helix": {"type": "sites", "positive": "H", "field": "s"},
             "helix": {"type": "sites", "positive": "E", "field": "s"}}  # fmt: skip
    tokens = ProteinTokenizer(tasks, max_length=64)
    model = Model(ModelFolder("m", network(tokens), tokens, {}, {}, ""))
    truth = ["H" * len(p) for p in PROTEINS]
    scored = score(model, "states", labelled("s", truth))
    found = scored["as states_helix"]
    # Another set may call its labels the same; names say what belongs together.
    assert "as helix" not in scored
    said = sum(p.value.count("H") for p in model.annotate(PROTEINS, ["states"]))
    assert found["counts"]["tp"] == said and found["counts"]["fn"] == 31 - said


def test_records_that_fail_count_as_wrong() -> None:
    pair = ProteinRecord("pair", Protein("MKV", "MK"), {"place": "in"})
    found = score(MODEL, "place", [*labelled("place", own("place")), pair])
    assert found["answered"] == 4 and found["coverage"] == pytest.approx(0.8)
    assert (found["accuracy"]["count"], found["accuracy"]["of"]) == (4, 5)


def test_fmax_comes_from_sampled_answers() -> None:
    found = score(MODEL, "enzyme", labelled("enzyme", own("enzyme")), samples=16)["fmax"]
    assert 0 < found["fmax"] <= 1 and found["proteins"] == 4


LONG = protein(90, 7)


def short_model(**tasks: dict[str, Any]) -> Model:
    tokens = ProteinTokenizer(tasks, max_length=40)
    return Model(ModelFolder("short", network(tokens), tokens, {}, {}, ""))


@pytest.mark.parametrize("name", ["phospho", "sites", "states", "string", "cut"])
def test_proteins_beyond_the_tokens_are_scored_in_windows(name: str) -> None:
    model = short_model(**{name: {**TASKS[name], "max_length": 40}})
    (answer,) = model.annotate([LONG], [name])
    assert answer.ok and "windows" in answer.message
    records = [ProteinRecord("long", LONG, {name: answer.value})]
    found = score(model, name, records)
    assert found["records"] == found["answered"] == 1 and "refused" not in found
    if name in ("phospho", "sites"):
        counts = found["counts"]
        candidates = [i for i, x in enumerate(LONG.sequence) if name == "sites" or x in "STY"]
        assert sum(counts.values()) == len(candidates)
        assert counts["fp"] == counts["fn"] == 0 and counts["tp"] == len(answer.value)
        assert max(candidates) > 40
    elif name == "cut":
        assert found["accuracy"]["count"] == 1
    else:
        assert found["residues"]["rate"] == 1 and found["residues"]["of"] == 90
    assert calibrate(model, name, records) == {}, "one question does not hold the protein"


def test_what_cannot_be_asked_counts_as_wrong() -> None:
    model = short_model(within={**TASKS["within"], "max_length": 40})
    records = [
        ProteinRecord("long", LONG, {"within": ((0, 60),)}),
        ProteinRecord("short", protein(6), {"within": ()}),
    ]
    found = score(model, "within", records)
    assert found["records"] == 2 and found["answered"] == 1
    assert found["accuracy"]["of"] == 2 and found["accuracy"]["count"] <= 1


def test_labels_that_are_none_are_counted() -> None:
    bad = [
        ProteinRecord("beyond", protein(5), {"sites": (7,)}),
        ProteinRecord("twice", protein(5), {"sites": (1, 1)}),
    ]
    found = score(MODEL, "sites", [*labelled("sites", own("sites")), *bad])
    assert found["refused"]["count"] == 2 and "position 7" in found["refused"]["first"]
    assert (found["records"], found["answered"]) == (6, 4)
    assert found["coverage"] == pytest.approx(4 / 6) and found["proteins"] == 4
    assert "threshold" in calibrate(MODEL, "sites", [*labelled("sites", own("sites")), *bad])


def test_rare_classes_get_offsets_where_f1_is_what_counts() -> None:
    tasks = {"rare": {"type": "per_residue", "labels": "HEC", "metric": "f1"},
             "plain": {"type": "per_residue", "labels": "HEC", "field": "rare"}}  # fmt: skip
    tokens = ProteinTokenizer(tasks, max_length=40)
    model = Model(ModelFolder("m", network(tokens, 3), tokens, {}, {}, ""))
    proteins = [protein(30, seed) for seed in range(6)]
    # Labels as this model has them, but shifted: H only where it is unusually likely.
    shift = {"cls:rare:H": -3.0, "cls:rare:E": 1.0}
    teacher = with_calibration(model, {"rare": {"offsets": shift}})
    made = teacher.annotate(proteins, ["rare"], at_once=True)
    records = [ProteinRecord(str(i), p, {"rare": a.value})
               for i, (p, a) in enumerate(zip(proteins, made, strict=True))]  # fmt: skip
    assert len({x for a in made for x in a.value}) == 3
    plain = calibrate(model, "plain", records, at_once=True)
    assert "offsets" not in plain
    found = calibrate(model, "rare", records, at_once=True)
    fit = found["offsets_fit"]
    assert fit["macro_f1"] > 0.95 > fit["macro_f1_before"] and fit["count"] == 180
    fitted = with_calibration(model, {"rare": {"offsets": found["offsets"]}})
    rates = [score(m, "rare", records, at_once=True)["residues"]["rate"] for m in (model, fitted)]
    assert rates[1] > 0.95 > rates[0]


def test_residues_that_do_not_count_do_not_calibrate() -> None:
    tasks = {"states": {"type": "per_residue", "labels": "HEC", "mask": "resolved"}}
    tokens = ProteinTokenizer(tasks, max_length=40)
    model = Model(ModelFolder("m", network(tokens, 3), tokens, {}, {}, ""))
    rng = np.random.default_rng(0)
    whole, half, other = [], [], []
    for i in range(6):
        labels = "".join(rng.choice(list("HEC"), 20))
        given = protein(20, i)
        whole.append(ProteinRecord(str(i), given, {"states": labels}))
        for part, hidden in ((half, "H" * 10), (other, "C" * 10)):
            seen = {"states": hidden + labels[10:], "resolved": "0" * 10 + "1" * 10}
            part.append(ProteinRecord(str(i), given, seen))
    for at_once in (True, False):
        found = calibrate(model, "states", half, at_once=at_once)
        assert found["count"] == 60
        assert calibrate(model, "states", whole, at_once=at_once)["count"] == 120
    # At once, what residues that do not count are called changes nothing at all.
    assert calibrate(model, "states", half, at_once=True) == calibrate(
        model, "states", other, at_once=True
    )


def test_temperature_is_fitted_to_the_right_answers() -> None:
    """Answers drawn from the model's own distribution need no other temperature."""
    rng = np.random.default_rng(0)
    proteins = [protein(6, seed) for seed in range(300)]
    records = []
    for i, p in enumerate(MODEL.annotate(proteins, ["place"], scores=True)):
        names = list(p.scores)
        drawn = rng.choice(len(names), p=np.array(list(p.scores.values())))
        records.append(ProteinRecord(str(i), proteins[i], {"place": names[drawn]}))
    found = calibrate(MODEL, "place", records)
    assert found["temperature"] == pytest.approx(1, abs=0.25)
    own = MODEL.annotate(proteins, ["place"])
    certain = [
        ProteinRecord(r.id, r.protein, {"place": p.value})
        for r, p in zip(records, own, strict=True)
    ]
    assert calibrate(MODEL, "place", certain)["temperature"] < 0.2


def test_thresholds_and_temperatures_are_stored(tmp_path: Any) -> None:
    records = labelled("sites", [(0, 1), (2,), (3, 5, 9), ()])
    found = calibrate(MODEL, "sites", records)
    assert 0 < found["threshold"] < 1
    made = with_calibration(MODEL, {"sites": found})
    made.save(tmp_path / "m")
    import sciar

    again = sciar.load(tmp_path / "m")
    assert again.info["calibration"]["sites"]["threshold"] == found["threshold"]


def test_confidences_are_set_against_what_came_true() -> None:
    place = score(MODEL, "place", labelled("place", own("place")))["calibration"]
    assert place["accuracy"] == 1 and place["count"] == len(PROTEINS)
    assert place["ece"] == pytest.approx(1 - place["confidence"])
    answers = MODEL.annotate(PROTEINS, ["states"], scores=True)
    wrong = ["HEC"["HEC".index(p.value[0]) - 1] + p.value[1:] for p in answers]
    states = score(MODEL, "states", labelled("states", wrong))["calibration"]
    total = sum(map(len, PROTEINS))
    assert states["count"] == total and states["accuracy"] == pytest.approx(1 - 4 / total)
    assert states["confidence"] == pytest.approx(np.mean([s for p in answers for s in p.scores]))


def test_a_temperature_draws_chances_of_sites_to_one_half() -> None:
    hot = with_calibration(MODEL, {"sites": {"temperature": 4.0}})
    before, after = (m.annotate(PROTEINS, ["sites"], scores=True) for m in (MODEL, hot))
    for cold, warm in zip(before, after, strict=True):
        assert cold.value == warm.value and cold.scores.keys() == warm.scores.keys()
        for member, chance in cold.scores.items():
            assert abs(warm.scores[member] - 0.5) <= abs(chance - 0.5)
    found = score(hot, "sites", labelled("sites", own("sites")))
    assert found["calibration"]["count"] == sum(len(p.scores) for p in after)


def numeric(info: dict[str, Any] | None = None) -> Model:
    model = model_of("amount", info=info)
    for parameter in model.network.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    return model


def test_intervals_of_numbers_come_true_once_calibrated() -> None:
    """Labels far from what the model expects; then they lie inside as often as is said."""
    model, rng = numeric(), np.random.default_rng(0)
    several = [protein(n, n) for n in rng.integers(3, 30, 120).tolist()]
    values = [p.value + rng.normal(0, 30) for p in model.annotate(several, ["amount"])]
    records = [ProteinRecord(str(i), p, {"amount": v})
               for i, (p, v) in enumerate(zip(several, values, strict=True))]  # fmt: skip
    before = score(model, "amount", records)["interval"]
    assert before["of"] == 120 and before["count"] == round(120 * before["rate"]) < 60
    found = calibrate(model, "amount", records[:60])
    assert found["decisions"] == 60 and found["spread"] > 1
    warm = with_calibration(model, {"amount": found})
    after = score(warm, "amount", records[60:])["interval"]
    # By hand: the same middles, ends farther away by the factor.
    assert after["mean_width"] == pytest.approx(
        score(model, "amount", records[60:])["interval"]["mean_width"] * found["spread"], rel=1e-4
    )
    assert 0.75 <= after["rate"] <= 1
    own = score(warm, "amount", records[:60])["interval"]
    assert own["count"] in (54, 55)  # ceil(0.9 * 61), of which one lies on the very end
    assert "confidence" not in after and calibrate(model, "amount", records[:5]) == {}


def test_an_interval_is_of_the_numbers_own_unit() -> None:
    model = numeric()
    (p,) = model.annotate([protein(9)], ["amount"], scores=True)
    assert p.scores["low"] < p.value < p.scores["high"]
    assert p.message == f"90% within {p.scores['low']:.4g} to {p.scores['high']:.4g}"
    (q,) = numeric({"calibration": {"amount": {"spread": 2.0}}}).annotate([protein(9)], scores=True)
    assert q.value == p.value
    assert q.scores["high"] - q.value == pytest.approx(2 * (p.scores["high"] - p.value))
    assert q.value - q.scores["low"] == pytest.approx(2 * (p.value - p.scores["low"]))


def test_labels_of_sites_are_scored_over_candidates() -> None:
    """By hand: the other letters are no chance to be right, whichever way the truth is written."""
    model = model_of("marks")
    several = [Protein("MSGTAYS"), Protein("GGSTT"), Protein("MGA")]
    made = model.annotate(several, ["marks"], at_once=True)
    assert made[2].value == "000" and made[0].value[0] == made[0].value[2] == "0"
    truth = ["0100010", "00110", "000"]
    records = [ProteinRecord(str(i), p, {"marks": [j for j, x in enumerate(t) if x == "1"]})
               for i, (p, t) in enumerate(zip(several, truth, strict=True))]  # fmt: skip
    found = score(model, "marks", records, at_once=True)
    pairs = [(t[j], p.value[j]) for t, p, s in zip(truth, made, several, strict=True)
             for j in range(len(t)) if s.sequence[j] in "STY"]  # fmt: skip
    assert len(pairs) == 7
    kinds = {"tp": ("1", "1"), "fp": ("0", "1"), "fn": ("1", "0"), "tn": ("0", "0")}
    counts = {name: pairs.count(kind) for name, kind in kinds.items()}
    assert found["counts"] == counts
    assert found["calibration"]["count"] == 7
    same = [
        ProteinRecord(r.id, r.protein, {"marks": t}) for r, t in zip(records, truth, strict=True)
    ]
    assert score(model, "marks", same, at_once=True)["counts"] == counts
    assert calibrate(model, "marks", records, at_once=True)["count"] == 7
