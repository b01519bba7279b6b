"""METRe against the plain double loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sciar.evaluation.matching import rms_distance
from sciar.evaluation.metre import candidate_pairs, match_everyone
from sciar.records import Crystal

Builder = Callable[..., Crystal]


def _noisy(crystal: Crystal, size: float, seed: int) -> Crystal:
    noise = np.random.default_rng(seed).normal(0, size, (len(crystal), 3))
    return Crystal(crystal.lattice, crystal.species, crystal.frac + noise)


@pytest.fixture()
def carbon(diamond: Builder, graphite: Builder, rocksalt: Builder) -> tuple[list, list]:
    references = [diamond(), graphite(), diamond(3.4), rocksalt(), rocksalt("Li", "F", 4.0)]
    predictions = [_noisy(graphite(), 0.02, i) for i in range(3)]
    predictions += [_noisy(diamond(), 0.03, i) for i in range(3)]
    predictions += [_noisy(rocksalt(), 0.05, 9)]
    return predictions, references


def test_equals_the_double_loop(carbon: tuple[list, list]) -> None:
    predictions, references = carbon
    found = match_everyone(predictions, references, progress=False)
    for reference, best in zip(references, found.rmse, strict=True):
        distances = [rms_distance((p, reference)) for p in predictions]
        known = [d for d in distances if d is not None]
        assert best == (min(known) if known else None)
    assert found.rmse[4] is None and sum(b is not None for b in found.rmse) == 4
    assert found.timed_out == found.failed == 0


def test_skipped_pairs_could_not_match(carbon: tuple[list, list]) -> None:
    predictions, references = carbon
    pairs = set(candidate_pairs(predictions, references, progress=False))
    assert 0 < len(pairs) < len(predictions) * len(references)
    for i, p in enumerate(predictions):
        for r, reference in enumerate(references):
            if (i, r) not in pairs:
                assert rms_distance((p, reference)) is None


def test_order_of_predictions_does_not_matter(carbon: tuple[list, list]) -> None:
    predictions, references = carbon
    forward = match_everyone(predictions, references, progress=False)
    backward = match_everyone(predictions[::-1], references, progress=False)
    assert forward == backward


def test_supercells_and_formula_multiples_are_compared(rocksalt: Builder) -> None:
    double = Crystal.from_pymatgen(rocksalt().to_pymatgen() * (1, 2, 2))
    assert match_everyone([double], [rocksalt()], progress=False).rmse[0] == pytest.approx(
        0, abs=1e-6
    )
