"""The mixins pass for our own tokenizers and heads, and fail for wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from sciar.heads.base import Head, SamplerSettings
from sciar.heads.diffusion import DiffusionHead
from sciar.heads.flow import FlowHead
from sciar.heads.numeric import NumericHead
from sciar.records import Crystal, Molecule, Structure
from sciar.testing import HeadTests, TokenizerTests
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind


def crystals() -> list[Crystal]:
    perovskite = np.array(
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]], dtype=float
    )
    rutile = np.array(
        [[0, 0, 0], [0.5, 0.5, 0.5]]
        + [[0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]]
    )
    skewed = np.array([[4.1, 0.3, -0.2], [0.5, 5.2, 0.4], [-0.3, 0.6, 6.1]])
    random = np.random.default_rng(3).random((4, 3))
    return [
        Crystal(3.9 * np.eye(3), ("Sr", "Ti", "O", "O", "O"), perovskite),
        Crystal(np.diag([4.594, 4.594, 2.959]), ("Ti",) * 2 + ("O",) * 4, rutile),
        Crystal(skewed, ("Na", "Cl", "O", "H"), random),
    ]


class CrystalTests(TokenizerTests):
    options: ClassVar[dict[str, Any]] = {}

    def make_tokenizer(self) -> CrystalTokenizer:
        known = crystal_vocabulary(["H", "O", "Na", "Cl", "Ti", "Sr"])
        return CrystalTokenizer(vocabulary=known, **self.options)

    def make_structures(self) -> Sequence[Structure]:
        return crystals()

    def make_inexpressible(self) -> Structure:
        return Crystal(3 * np.eye(3), ("Po",), np.zeros((1, 3)))


class TestCrystalsOfGivenComposition(CrystalTests):
    options: ClassVar = {"task": "csp"}


class TestCrystalsFromNothing(CrystalTests):
    options: ClassVar = {"task": "denovo"}


class TestCrystalsAsTheyAre(CrystalTests):
    options: ClassVar = {"cell": "as-given", "order": "file"}


class TestFlowHead(HeadTests):
    def make_head(self) -> Head:
        return FlowHead(SlotKind("<x>", 3), 16, hidden=32, depth=2)


class TestTorusFlowHead(HeadTests):
    def make_head(self) -> Head:
        return FlowHead(SlotKind("<x>", 3, "torus"), 16, hidden=32, depth=2)


class TestDiffusionHead(HeadTests):
    def make_head(self) -> Head:
        return DiffusionHead(SlotKind("<x>", 3), 16, hidden=32, depth=2, steps=20)


class TestNumericHead(HeadTests):
    def make_head(self) -> Head:
        return NumericHead(SlotKind("<x>", 1), 16, hidden=32)


class _ForgetsTheCell(CrystalTokenizer):
    def decode(self, sequence: TokenSequence) -> Crystal:
        crystal = super().decode(sequence)
        assert isinstance(crystal, Crystal)
        return Crystal(1.02 * crystal.lattice, crystal.species, crystal.frac)


class _LooksAtItsNeighbours(NumericHead):
    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        shared = condition_NC + condition_NC.mean(0, keepdim=True)
        return super().loss(shared, target_NW, keys_N)


class _IgnoresItsKeys(NumericHead):
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        return super().sample(condition_NC, torch.zeros_like(keys_N), settings)


def test_a_tokenizer_that_loses_something_fails() -> None:
    tests = TestCrystalsOfGivenComposition()
    tests.make_tokenizer = lambda: _ForgetsTheCell()  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="volume"):
        tests.test_decode_inverts_encode()


@pytest.mark.parametrize(
    ("head", "test"),
    [
        (_LooksAtItsNeighbours, "test_rows_do_not_see_each_other"),
        (_IgnoresItsKeys, "test_keys_fix_the_samples"),
    ],
)
def test_a_wrong_head_fails(head: type[NumericHead], test: str) -> None:
    tests = TestNumericHead()
    tests.make_head = lambda: head(SlotKind("<x>", 1), 16, hidden=32)  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        getattr(tests, test)()


def test_comparison_ignores_frame_origin_and_order() -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for crystal in crystals():
        order = rng.permutation(len(crystal))
        moved = Crystal(
            crystal.lattice @ rotation,
            tuple(crystal.species[i] for i in order),
            crystal.frac[order] + rng.random(3),
        )
        assert_same_structure(moved, crystal, 1e-8)


def test_comparison_sees_what_matters() -> None:
    crystal = crystals()[2]
    shifted = crystal.frac.copy()
    shifted[1] += 0.01
    swapped = (crystal.species[1], crystal.species[0], *crystal.species[2:])
    for other, reason in (
        (Crystal(crystal.lattice, crystal.species, shifted), "distances"),
        (Crystal(crystal.lattice, swapped, crystal.frac), "pairs|distances"),
        (Crystal(1.1 * crystal.lattice, crystal.species, crystal.frac), "volume"),
        (Crystal(crystal.lattice, ("K", *crystal.species[1:]), crystal.frac), "composition"),
        (Molecule(crystal.species, crystal.frac), "Molecule"),
    ):
        with pytest.raises(AssertionError, match=reason):
            assert_same_structure(other, crystal, 1e-3)
    water = Molecule(("O", "H", "H"), np.eye(3))
    assert_same_structure(Molecule(("H", "O", "H"), np.eye(3)[[1, 0, 2]] + 5), water, 1e-8)
    with pytest.raises(AssertionError, match="distances"):
        assert_same_structure(Molecule(("O", "H", "H"), 1.1 * np.eye(3)), water, 1e-3)
