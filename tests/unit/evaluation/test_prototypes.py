"""Prototypes and strata, and matching on any known polymorph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sciar.errors import UsageError
from sciar.evaluation import evaluate_csp
from sciar.evaluation.prototypes import prototype, prototypes
from sciar.evaluation.strata import KNOWN, NEW, UNCLEAR, strata_of
from sciar.records import Crystal
from sciar.tokenization.alignment import unimodular

Builder = Callable[..., Crystal]


def turned(crystal: Crystal, seed: int) -> Crystal:
    """Another cell, origin and order."""
    rng = np.random.default_rng(seed)
    basis = unimodular()[0][rng.integers(3480)]
    order = rng.permutation(len(crystal))
    frac = (crystal.frac + rng.random(3)) @ np.linalg.inv(basis)
    species = tuple(crystal.species[i] for i in order)
    return Crystal(basis @ crystal.lattice, species, frac[order])


def test_a_prototype_forgets_elements_cells_and_origins(
    rocksalt: Builder, perovskite: Builder, diamond: Builder
) -> None:
    assert prototype(rocksalt()) == "AB 225 1xm-3m 1xm-3m"
    cubic = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    big = Crystal(5.64 * np.eye(3), ("Na",) * 4 + ("Cl",) * 4, [*cubic, *(np.array(cubic) + 0.5)])
    assert prototype(big) == prototype(rocksalt("Mg", "O", 4.2)) == prototype(rocksalt())
    for crystal in (perovskite("Sr", "Ti"), diamond()):
        labels = {prototype(turned(crystal, seed)) for seed in range(4)}
        assert labels == {prototype(crystal)}
    assert prototype(perovskite("Sr", "Ti")) == prototype(perovskite("Cs", "Pb", "Br", 5.9))
    shifted = perovskite("Sr", "Ti")
    frac = shifted.frac.copy()
    frac[1] += [0.06, 0, 0]
    assert prototype(Crystal(shifted.lattice, shifted.species, frac)) != prototype(shifted)
    caesium = Crystal(4 * np.eye(3), ("Cs", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert prototype(caesium) != prototype(rocksalt())


def test_references_are_divided_by_what_training_holds(
    rocksalt: Builder, perovskite: Builder, diamond: Builder
) -> None:
    train = [rocksalt("K", "F", 5.3), perovskite("Sr", "Ti")]
    truths = [rocksalt(), perovskite("Sr", "Ti", length=4.0), diamond()]
    found = strata_of(truths, train, progress=False)
    assert found == {"composition": [NEW, KNOWN, NEW], "prototype": [KNOWN, KNOWN, NEW]}
    overlapping = Crystal(4 * np.eye(3), ("Na", "Na"), np.zeros((2, 3)))
    assert prototypes([overlapping], progress=False) == [None]
    assert strata_of([overlapping], train, progress=False)["prototype"] == [UNCLEAR]


def test_any_polymorph_counts_and_strata_are_scored_apart(
    diamond: Builder, graphite: Builder, rocksalt: Builder
) -> None:
    truths = [diamond(), rocksalt()]
    groups = [[graphite()], [rocksalt()]]
    strata = {"prototype": [NEW, KNOWN]}
    work = {"progress": False, "bootstrap": 50}
    plain = evaluate_csp(groups, truths, known=[], strata=strata, **work).summary()
    assert plain["without_validity"]["match_rate"]["count"] == 1
    # Nobody knows graphite ...
    assert plain["any_known_polymorph"]["match_rate"]["count"] == 1
    found = evaluate_csp(groups, truths, known=[graphite()], strata=strata, **work)
    summary = found.summary()
    # ... but here it is a structure of carbon that is known.
    assert summary["any_known_polymorph"]["match_rate"]["count"] == 2
    assert summary["without_validity"] == plain["without_validity"]
    new, known = summary["prototype_absent_from_training"], summary["prototype_in_training"]
    assert (new["references"], known["references"]) == (1, 1)
    assert new["without_validity"]["match_rate"]["count"] == 0
    assert new["any_known_polymorph"]["match_rate"]["count"] == 1
    assert known["without_validity"]["match_rate"]["count"] == 1
    assert known["without_validity"]["crmse"]["mean"] == pytest.approx(0, abs=1e-6)
    assert [row["prototype"] for row in found.to_dicts()] == [NEW, KNOWN]
    with pytest.raises(UsageError, match="groups"):
        evaluate_csp(groups, truths, strata={"prototype": [NEW]}, **work)


def test_predictions_of_another_reference_are_no_polymorph_matches(
    diamond: Builder, graphite: Builder
) -> None:
    """Unlike in METRe, each reference answers with its own predictions."""
    found = evaluate_csp(
        [[graphite()], [None]], [graphite(), graphite()], known=[], progress=False, metre=True
    )
    assert found.polymorphs is not None and found.metre is not None
    assert [r is not None for r in found.polymorphs.rmse] == [True, False]
    assert [r is not None for r in found.metre.rmse] == [True, True]
