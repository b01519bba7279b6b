"""Candidates: duplicates, ranks, the nearest known structure, and rows of evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recalling import KNOWN, cubic, make_model

import sciar
from sciar.api.candidates import RankOptions, ranked_candidates
from sciar.api.model import Model
from sciar.api.samples import Sample
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record

EMT = RankOptions("ase.calculators.emt.EMT", steps=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return sciar.load(make_model(tmp_path_factory.mktemp("recalling") / "model"))


def sample(index: int, crystal: Crystal | None, logp: float = 0.0) -> Sample:
    status = "ok" if crystal is not None else "failed"
    return Sample(f"Cu3Au_{index}", "Cu3Au", index, 0, status, logp=logp, record=crystal)


def alloy(edge: float, squeeze: float = 1.0) -> Crystal:
    made = cubic(edge, "Au", "Cu", "Cu", "Cu")
    return Crystal(np.diag([1.0, 1.0, squeeze]) @ made.lattice, made.species, made.frac)


def test_ranks_duplicates_and_failures(model: Model) -> None:
    far, near, same = alloy(3.8, 1.6), alloy(3.8), alloy(3.82)
    samples = [sample(0, far, 5.0), sample(1, near, 1.0), sample(2, None), sample(3, same, 3.0)]
    found = ranked_candidates(model, samples, "energy", EMT)
    assert [c.sample.index for c in found] == [3, 0, 1, 2]
    best, strained, duplicate, failed = found
    assert best.ranks == {"likelihood": 2, "energy": 1, "both": 1}
    assert strained.ranks == {"likelihood": 1, "energy": 2, "both": 2}
    assert duplicate.duplicate_of == "Cu3Au_3" and not duplicate.ranks
    assert not failed.ranks and failed.crystal is None
    assert best.nearest is not None and best.nearest.id == "cu3au"
    assert best.nearest.distance == pytest.approx(0, abs=1e-6)
    assert strained.nearest is not None and "no match" in strained.nearest.line()
    facts = best.sample.facts()
    assert facts["rank_energy"] == 1 and facts["nearest_known_id"] == "cu3au"
    assert facts["relaxation"] == "single point" and facts["energy_per_atom"] < 1
    order = [c.sample.index for c in ranked_candidates(model, samples, "likelihood", EMT)]
    assert order == [0, 3, 1, 2]


def test_what_becomes_equal_in_relaxation_is_one_candidate(model: Model) -> None:
    samples = [sample(0, alloy(3.8, 1.5), 2.0), sample(1, alloy(3.8), 1.0)]
    still = ranked_candidates(model, samples, "energy", EMT)
    assert [c.duplicate_of for c in still] == ["", ""]
    found = ranked_candidates(model, samples, "energy", replace(EMT, steps=200))
    assert sum(bool(c.duplicate_of) for c in found) == 1 and len(found[0].ranks) == 3


def test_relaxations_stop_when_asked_and_inputs_are_apart(model: Model) -> None:
    other = replace(sample(1, alloy(3.8), 1.0), input="twin", id="twin_0")
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 1

    found = ranked_candidates(model, [sample(0, alloy(3.8), 2.0), other], "energy", EMT, stop)
    # Equal crystals of two inputs are no duplicates; the second one was not relaxed any more.
    assert [c.duplicate_of for c in found] == ["", ""]
    assert found[0].relaxation is not None and found[1].relaxation is None
    assert found[0].ranks["energy"] == 1 and found[1].ranks == {"likelihood": 1}


def test_known_structures_can_be_changed_and_asked(model: Model, tmp_path: Path) -> None:
    assert [h.id for h in model.recall("Cu3 Au", 1)] == ["cu3au"]
    assert [h.id for h in model.recall("Cu3 Au", 1, exclude=True)] == ["al3ni"]
    assert model.know([Record("own", cubic(3.9, "Pt", "Ni", "Ni", "Ni"))]) == []
    assert [h.id for h in model.recall("Cu3 Au", 3)] == ["own"]
    (made,) = model.generate(composition="Cu3 Au")
    assert made.notes["templates"].startswith("own (Ni3Pt")
    # What goes with the model is its own set, whatever it was told since.
    model.save(tmp_path / "saved")
    assert [h.id for h in sciar.load(tmp_path / "saved").recall("Cu3 Au", 1)] == ["cu3au"]
    model.know(None)
    assert len(model.recall("Cu4", 4)) == 1
    with pytest.raises(UsageError, match="no known structure"):
        model.know([])
    with pytest.raises(RecordError):
        model.recall("Cu3 Xx")


def test_candidates_of_a_model(model: Model) -> None:
    found = model.candidates(composition="Cu3 Au", n=3, rank="both", options=EMT, seed=1)
    assert len(found) == 3 and all(c.sample.logp is not None for c in found)
    places = [c.ranks["both"] for c in found if "both" in c.ranks]
    assert places == list(range(1, len(places) + 1)) and places
    again = model.candidates(composition="Cu3 Au", n=3, rank="both", options=EMT, seed=1)
    assert [c.facts() | {"relaxation_seconds": 0} for c in found] == [
        c.facts() | {"relaxation_seconds": 0} for c in again
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": "beauty"},
        {"rank": "energy", "options": RankOptions("no.Such")},
        {"rank": "energy", "options": replace(EMT, steps=-1)},
    ],
)
def test_wrong_rankings_are_refused_before_the_work(model: Model, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        model.candidates(composition="Cu3 Au", **wrong)


def test_each_ranking_has_its_row_of_evaluation(model: Model) -> None:
    reference = [Record("Cu3Au", KNOWN["cu3au"])]
    samples = [sample(0, alloy(3.8, 1.6), 5.0), sample(1, alloy(3.8), 1.0)]
    found = [c.sample for c in ranked_candidates(model, samples, "energy", EMT)]
    scores = sciar.evaluate(
        "crystals", found, reference, task="csp", train=[Record("x", KNOWN["al3ni"])],
        bootstrap=0, polymorphs=True, strata=True,
    )  # fmt: skip
    rates = {
        label: row["without_validity"]["match_rate"]["count"]
        for label, row in scores.beside.items()
    }
    assert rates["first by energy (of 2 drawn)"] == 1
    assert rates["first by likelihood (of 2 drawn)"] == 0
    assert rates["template substitution (learning-free, 1 guess each)"] == 1
    assert rates["template substitution (learning-free, 2 guesses each)"] == 1
    summary = scores.summary
    assert summary["prototype_in_training"]["references"] == 1
    assert summary["composition_absent_from_training"]["references"] == 1
    assert summary["any_known_polymorph"]["match_rate"]["count"] == 1
