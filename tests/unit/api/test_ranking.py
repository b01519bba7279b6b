"""Ranking by likelihood: what is chosen, what is refused, and that nothing is thrown away."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import crystal_tokenizer, tiny_config, tiny_model

from sciar.api.ranking import basis_of, ranked
from sciar.api.samples import FAILED, OK, Sample
from sciar.errors import UsageError
from sciar.heads.base import Head
from sciar.heads.diffusion import DiffusionHead
from sciar.records import Molecule

LIKELIHOODS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.one_of(st.none(), st.floats(-50, 0), st.just(math.nan)),
        st.sampled_from(["ok", "rejected", "failed"]),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=30,
)


def samples(rows: list[tuple[str, float | None, str, int]]) -> list[Sample]:
    made = []
    for i, (name, logp, state, size) in enumerate(rows):
        structure = Molecule(("C",) * size, np.zeros((size, 3)))
        ok, refused = (structure if state == s else None for s in ("ok", "rejected"))
        made.append(
            Sample(f"{name}_{i}", name, i, 0, OK if ok else FAILED, "", logp, 1, ok, refused)
        )
    return made


@given(LIKELIHOODS, st.floats(0.01, 1.0), st.sampled_from(["atom", "total"]))
def test_the_best_of_each_input_are_chosen(
    rows: list[tuple[str, float | None, str, int]], keep: float, by: str
) -> None:
    made = samples(rows)
    found = ranked(made, keep, by)  # type: ignore[arg-type]
    assert [s.id for s in found] == [s.id for s in made]  # nothing is thrown away or moved
    for name in {s.input for s in found}:
        group = [s for s in found if s.input == name]
        able = [s for s in group if s.parsed and s.logp is not None]
        assert sorted(s.rank for s in able if s.rank) == list(range(1, len(able) + 1))
        count = max(1, math.floor(keep * len(group) + 1e-9))
        assert sum(bool(s.chosen) for s in group) == min(count, len(able))
        assert all(s.rank is None and s.chosen is False for s in group if s not in able)

        def value(sample: Sample) -> float:
            size = len(sample.record or sample.rejected or ())
            assert sample.logp is not None
            least = -math.inf if math.isnan(sample.logp) else sample.logp
            return least / size if by == "atom" else least

        chosen = [value(s) for s in able if s.chosen]
        assert all(value(s) <= min(chosen) for s in able if not s.chosen)


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, math.nan])
def test_a_share_outside_its_range_is_refused(keep: float) -> None:
    with pytest.raises(UsageError, match="keep"):
        ranked([], keep)


def test_what_has_no_density_is_said_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiffusionHead, "log_prob", Head.log_prob)
    flow = basis_of(tiny_model(crystal_tokenizer()), crystal_tokenizer())
    assert flow.scored == ("<lattice>", "<site>") and not flow.unscored and not flow.words
    diffusion = tiny_config("diffusion")
    denovo = crystal_tokenizer("denovo")
    basis = basis_of(tiny_model(denovo, diffusion), denovo)
    assert basis.words and basis.unscored == ("<lattice>", "<site>")
    assert "<site> left out: the head has no log-density" in basis.line()
    with pytest.raises(UsageError, match="cannot be ranked"):
        basis_of(tiny_model(crystal_tokenizer(), diffusion), crystal_tokenizer())
