"""De novo crystals: features, coverage, duplicates and novelty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from sciar.errors import UsageError
from sciar.evaluation import evaluate_denovo_crystals
from sciar.evaluation.composition_features import composition_features, property_table
from sciar.evaluation.coverage import Features, coverage
from sciar.evaluation.denovo_crystals import density
from sciar.evaluation.duplicates import group_duplicates
from sciar.evaluation.fingerprints import fingerprint_length, structure_fingerprint
from sciar.records import Crystal

Builder = Callable[..., Crystal]


def test_density_is_pymatgens(rocksalt: Builder) -> None:
    assert density(rocksalt()) == pytest.approx(float(rocksalt().to_pymatgen().density), rel=1e-6)


def test_fingerprint_knows_the_coordination(rocksalt: Builder, diamond: Builder) -> None:
    assert fingerprint_length() == 61
    octahedral, tetrahedral = structure_fingerprint(rocksalt()), structure_fingerprint(diamond())
    assert octahedral.shape == (61,) and np.isfinite(octahedral).all()
    # "wt CN_4" is preceded by CN 1 (2), 2 (6) and 3 (4); "wt CN_6" by CN 4 (6) and 5 (4) more
    assert tetrahedral[12] > 0.9 and octahedral[22] > 0.9
    assert tetrahedral[22] < 0.1 and octahedral[12] < 0.1
    assert np.linalg.norm(octahedral - tetrahedral) > 0.4


def test_fingerprint_ignores_origin_and_supercell(perovskite: Builder) -> None:
    crystal = perovskite("Sr", "Ti")
    expected = structure_fingerprint(crystal)
    moved = Crystal(crystal.lattice, crystal.species, crystal.frac + [0.1, 0.2, 0.3])
    double = Crystal.from_pymatgen(crystal.to_pymatgen() * (2, 1, 1))
    assert structure_fingerprint(moved) == pytest.approx(expected, abs=1e-6)
    assert structure_fingerprint(double) == pytest.approx(expected, abs=1e-6)


def test_composition_features_by_hand() -> None:
    table = property_table()
    assert table.shape == (118, 19) and np.isfinite(table).all()
    features = composition_features({"Na": 1, "Cl": 3}).reshape(19, 6)
    low, high, spread, average, deviation, mode = features[0]  # atomic number
    assert (low, high, spread, mode) == (11, 17, 6, 17)
    assert average == pytest.approx(0.25 * 11 + 0.75 * 17)
    assert deviation == pytest.approx(0.25 * abs(11 - average) + 0.75 * abs(17 - average))
    # iron is [Ar] 3d6 4s2: 2 s, 0 p, 6 d, 0 f, 8 in all; 4 d places empty
    assert list(table[25, 9:]) == [2, 0, 6, 0, 8, 0, 0, 4, 0, 4]


def test_coverage_against_a_loop() -> None:
    rng = np.random.default_rng(0)

    def some(n: int, extra: int) -> Features:
        return Features(rng.normal(size=(n, 3)), rng.normal(size=(n, 114)), n + extra, 0, extra)

    ours, theirs = some(7, 2), some(5, 0)
    centre, spread = theirs.composition.mean(0), theirs.composition.std(0)
    scale = np.sqrt(132 / 114)

    def near(i: int, j: int) -> tuple[float, float]:
        s = np.linalg.norm(ours.structure[i] - theirs.structure[j])
        c = np.linalg.norm((ours.composition[i] - theirs.composition[j]) / spread) * scale
        return float(s), float(c)

    assert centre.shape == (114,)
    limits = (
        float(np.median([min(near(i, j)[0] for i in range(7)) for j in range(5)])),
        float(np.median([min(near(i, j)[1] for i in range(7)) for j in range(5)])) * 1.01,
    )
    recall = [
        min(near(i, j)[0] for i in range(7)) <= limits[0]
        and min(near(i, j)[1] for i in range(7)) <= limits[1]
        for j in range(5)
    ]
    precision = [
        min(near(i, j)[0] for j in range(5)) <= limits[0]
        and min(near(i, j)[1] for j in range(5)) <= limits[1]
        for i in range(7)
    ]
    found = coverage(ours, theirs, limits)
    assert (found["coverage_recall"]["count"], found["coverage_recall"]["of"]) == (sum(recall), 5)
    assert found["coverage_precision"]["count"] == sum(precision)
    assert found["coverage_precision"]["of"] == 9  # crystals without a fingerprint count
    assert 0 < sum(recall) + sum(precision) < 12


def test_duplicates_are_pymatgens_groups(
    rocksalt: Builder, diamond: Builder, graphite: Builder
) -> None:
    crystals = [
        rocksalt(),
        diamond(),
        rocksalt(a=5.7),
        graphite(),
        diamond(3.5),
        rocksalt("Li", "Cl"),
        Crystal.from_pymatgen(rocksalt().to_pymatgen() * (1, 1, 2)),
    ]
    found = group_duplicates(crystals, progress=False, timeout=None)
    assert found.group == [0, 1, 0, 3, 1, 5, 0]
    groups = StructureMatcher().group_structures([c.to_pymatgen() for c in crystals])
    assert len(groups) == len(set(found.group))


def test_whole_evaluation(rocksalt: Builder, perovskite: Builder) -> None:
    generated = [
        rocksalt(),
        rocksalt(a=5.6),  # a duplicate
        None,
        perovskite("Sr", "Ti"),
        rocksalt("Na", "Cl", 0.6),  # atoms too close
        rocksalt("Sb", "O", 4.8),  # not neutral
    ]
    references = [rocksalt(), rocksalt("K", "Cl", 6.3), perovskite("Ba", "Ti", length=4.0)]
    options: dict = {"train": [rocksalt(a=5.65)], "bootstrap": 0, "progress": False}
    result = evaluate_denovo_crystals(generated, references, timeout=None, **options)
    summary = result.summary()
    counts = {k: v["count"] for k, v in summary.items() if isinstance(v, dict) and "count" in v}
    assert counts["parsed"] == 5 and counts["structure_valid"] == 4
    assert counts["composition_valid"] == 4 and counts["valid"] == 3
    assert counts["unique"] == 3  # NaCl, SrTiO3, SbO
    assert counts["novel"] == 2 and counts["valid_unique_and_novel"] == 1
    assert [r.first_of for r in result.rows] == ["0", "0", None, "3", "0", "5"]
    assert summary["sampled_valid"] == 3
    assert counts["coverage_recall"] == 3 and summary["coverage_recall"]["of"] == 3
    spread = evaluate_denovo_crystals(generated, references, jobs=2, **options)
    assert spread.summary() == summary and spread.rows == result.rows


def test_a_set_compared_with_itself_is_covered(rocksalt: Builder, perovskite: Builder) -> None:
    crystals = [rocksalt(), perovskite("Sr", "Ti"), rocksalt("Mg", "O", 4.2)]
    summary = evaluate_denovo_crystals(
        crystals, crystals, cutoffs=(1e-9, 1e-9), timeout=None, progress=False
    ).summary()
    assert summary["coverage_recall"]["rate"] == summary["coverage_precision"]["rate"] == 1
    assert summary["wasserstein_density"] == summary["wasserstein_elements"] == 0


def test_nothing_valid_is_no_crash(rocksalt: Builder) -> None:
    summary = evaluate_denovo_crystals(
        [None, None], [rocksalt()], timeout=None, progress=False
    ).summary()
    assert summary["valid"]["count"] == 0 and summary["coverage_recall"]["count"] == 0
    assert summary["wasserstein_density"] is None


def test_bad_settings(rocksalt: Builder) -> None:
    with pytest.raises(UsageError, match="cut-offs"):
        evaluate_denovo_crystals([rocksalt()], [rocksalt()], cutoffs="qm9")
    with pytest.raises(UsageError, match="repeat"):
        evaluate_denovo_crystals([None, None], [rocksalt()], ids=["a", "a"])
