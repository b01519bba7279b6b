"""Match rate and RMSE: the rules, and invariances of the verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from sciar.errors import RecordError, UsageError
from sciar.evaluation import evaluate_csp
from sciar.evaluation.csp import CSPResult
from sciar.evaluation.matching import rms_distance
from sciar.evaluation.processes import Outcome, ProcessMap
from sciar.records import Crystal

Builder = Callable[..., Crystal]


def _jittered(crystal: Crystal, size: float, seed: int) -> Crystal:
    noise = np.random.default_rng(seed).normal(0, size, (len(crystal), 3))
    return Crystal(crystal.lattice, crystal.species, crystal.frac + noise)


def _score(predictions: list, references: list, **settings: object) -> CSPResult:
    defaults: dict = {"timeout": None, "bootstrap": 0, "progress": False}
    return evaluate_csp(predictions, references, **{**defaults, **settings})


def test_counts_and_verdicts(rocksalt: Builder, perovskite: Builder) -> None:
    references = [rocksalt(), perovskite("Sr", "Ti"), rocksalt("Mg", "O", 4.2), rocksalt()]
    predictions = [
        [_jittered(references[0], 0.01, 0)],
        [None],
        [rocksalt("Mg", "O", 0.5)],  # right up to its scale, but atoms on top of each other
        [perovskite("Sr", "Ti")],
    ]
    result = _score(predictions, references, ids=list("abcd"))
    assert [r.id for r in result.rows] == list("abcd")
    assert [r.matched for r in result.rows] == [True, False, True, False]
    assert [r.matched_valid for r in result.rows] == [True, False, False, False]
    assert [r.valid for r in result.rows] == [1, 0, 0, 1]
    summary = result.summary()
    assert summary["predictions_requested"] == 4
    assert summary["predictions_parsed"]["count"] == 3
    assert summary["without_validity"]["match_rate"]["count"] == 2
    assert summary["with_validity"]["match_rate"]["rate"] == 0.25
    expected = rms_distance((predictions[0][0], references[0]))
    assert summary["with_validity"]["rmse"]["mean"] == expected
    assert summary["with_validity"]["crmse"]["mean"] == pytest.approx((expected + 1.5) / 4)


def test_rmse_is_the_matchers_own(perovskite: Builder) -> None:
    reference = perovskite("Sr", "Ti")
    guess = _jittered(reference, 0.03, 1)
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    expected = matcher.get_rms_dist(guess.to_pymatgen(), reference.to_pymatgen())[0]
    row = _score([[guess.to_pymatgen()]], [reference.to_pymatgen()]).rows[0]
    assert row.rmse == pytest.approx(expected, abs=1e-9) and row.rmse > 0.01


def test_single_sample_demands_a_valid_reference_and_several_do_not(rocksalt: Builder) -> None:
    unbalanced = rocksalt("Sb", "O", 4.8)  # no oxidation states make SbO neutral
    one = _score([[unbalanced]], [unbalanced]).rows[0]
    assert one.matched and not one.matched_valid and not one.reference_valid
    # with several samples only the predictions are judged; here they are the same invalid crystal
    several = _score([[unbalanced, unbalanced]], [unbalanced]).rows[0]
    assert several.matched and not several.matched_valid and several.valid == 0


def test_an_invalid_reference_may_be_matched_by_one_of_several(graphite: Builder) -> None:
    # a reference that is too dense to be valid; the matcher scales volumes, so it still matches
    crystal = graphite()
    dense = Crystal(0.3 * crystal.lattice, crystal.species, crystal.frac)
    one = _score([[crystal]], [dense]).rows[0]
    assert one.matched and one.valid == 1 and not one.reference_valid and not one.matched_valid
    assert _score([[crystal, None]], [dense]).rows[0].matched_valid


def test_best_of_k_and_short_lists(perovskite: Builder) -> None:
    reference = perovskite("Ba", "Ti", length=4.0)
    near, far = _jittered(reference, 0.01, 2), _jittered(reference, 0.05, 3)
    both = _score([[far, near], [far]], [reference, reference])
    assert both.k == 2
    assert both.rows[0].rmse == rms_distance((near, reference))
    assert both.rows[1].rmse == rms_distance((far, reference))
    assert both.rows[1].requested == 2 and both.rows[1].parsed == 1
    first_only = _score([[far, near]], [reference], k=1)
    assert first_only.rows[0].rmse == both.rows[1].rmse


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_verdict_ignores_rotation_origin_order_and_scale(seed: int, perovskite: Builder) -> None:
    rng = np.random.default_rng(seed)
    reference = perovskite("Sr", "Ti")
    guess = _jittered(reference, 0.02, seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(5)
    moved = Crystal(
        1.1 * guess.lattice @ rotation,
        tuple(guess.species[i] for i in order),
        (guess.frac + rng.random(3))[order],
    )
    assert rms_distance((moved, reference)) == pytest.approx(
        rms_distance((guess, reference)), abs=1e-6
    )


def test_verdict_ignores_a_supercell(rocksalt: Builder) -> None:
    double = rocksalt().to_pymatgen() * (2, 1, 1)
    assert _score([[double]], [rocksalt()]).rows[0].rmse == pytest.approx(0, abs=1e-6)


def test_numbers_do_not_depend_on_the_processes(rocksalt: Builder, perovskite: Builder) -> None:
    references = [perovskite("Sr", "Ti"), rocksalt(), perovskite("Ba", "Zr"), rocksalt("K", "F")]
    predictions = [[_jittered(r, 0.04, 2 * i), None] for i, r in enumerate(references)]
    settings = {"metre": True, "bootstrap": 100}
    here = _score(predictions, references, **settings)
    spread = _score(predictions, references, jobs=2, timeout=120.0, **settings)
    assert here.rows == spread.rows and here.summary() == spread.summary()


def test_time_outs_are_counted_apart(rocksalt: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ProcessMap.map

    def second_is_late(self: ProcessMap, items: list, **options: object) -> list[Outcome]:
        found = original(self, items, **options)  # type: ignore[arg-type]
        return [Outcome(timed_out=True) if i == 1 else o for i, o in enumerate(found)]

    monkeypatch.setattr(ProcessMap, "map", second_is_late)
    result = _score([[rocksalt()], [rocksalt()]], [rocksalt(), rocksalt()])
    assert [r.matched for r in result.rows] == [True, False]
    assert [r.timed_out for r in result.rows] == [0, 1]
    assert result.summary()["comparisons_timed_out"]["count"] == 1


def test_nothing_matched_gives_none_and_the_full_crmse(rocksalt: Builder) -> None:
    scores = _score([[None]], [rocksalt()]).summary()["without_validity"]
    assert scores["rmse"]["mean"] is None and scores["crmse"]["mean"] == 0.5


def test_bad_calls_say_what_to_do(rocksalt: Builder) -> None:
    with pytest.raises(UsageError, match="one list per reference"):
        _score([[None]], [])
    with pytest.raises(UsageError, match="k must be at least 1"):
        _score([[None]], [rocksalt()], k=0)
    with pytest.raises(UsageError, match="one id per record"):
        _score([[None]], [rocksalt()], ids=["a", "b"])
    with pytest.raises(RecordError, match="record x: the reference structure is missing"):
        _score([[None]], [None], ids=["x"])
