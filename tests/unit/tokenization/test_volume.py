"""Crops of volumes as sequences: the contract of tokenizers, and places in nanometres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import Crop
from sciar.testing import TokenizerTests
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.volume import PATCH, VolumeTokenizer

VOXEL = (35.0, 8.0, 8.0)


def crop(shape: tuple[int, int, int] = (4, 8, 12), seed: int = 0, voxel: Any = VOXEL) -> Crop:
    return Crop(np.random.default_rng(seed).random(shape, dtype=np.float32), voxel)


class TestContract(TokenizerTests):
    def make_tokenizer(self) -> LayoutTokenizer:
        return VolumeTokenizer((4, 8, 12), (2, 4, 4), VOXEL)

    def make_structures(self) -> Sequence[Any]:
        return [crop(seed=0), crop(seed=1), crop(seed=2, voxel=(50.0, 4.0, 4.0))]

    def make_inexpressible(self) -> Any:
        return crop((4, 8, 8))

    def assert_same(self, actual: Any, expected: Any) -> None:
        np.testing.assert_array_equal(actual.voxels, expected.voxels)
        assert actual.voxel == pytest.approx(expected.voxel, rel=1e-4)

    def test_too_many_atoms_raise(self) -> None:
        tokenizer = self.make_tokenizer()
        tokenizer.max_atoms = 11
        with pytest.raises(RecordError, match="12 patches"):
            tokenizer.encode(crop())


SIZES = st.tuples(*[st.integers(1, 3)] * 3)


@given(counts=SIZES, patch=SIZES, voxel=st.tuples(*[st.floats(1, 100)] * 3))
def test_crops_of_any_shape_come_back(counts: Any, patch: Any, voxel: Any) -> None:
    shape = tuple(c * p for c, p in zip(counts, patch, strict=True))
    tokenizer = VolumeTokenizer(shape, patch, voxel)
    sequence = tokenizer.encode(crop(shape, voxel=voxel))
    assert len(sequence) == 1 + np.prod(counts) and sequence.context == 1
    found: Any = tokenizer.decode(sequence)
    np.testing.assert_array_equal(found.voxels, crop(shape).voxels)
    assert found.voxel == pytest.approx(voxel, rel=1e-3, abs=1e-3)


def test_patches_know_their_places_before_their_content() -> None:
    sequence = VolumeTokenizer((4, 8, 12), (2, 4, 4), VOXEL).encode(crop())
    # the fifth patch: z 0, y 1, x 1 of 2 x 2 x 3
    np.testing.assert_allclose(sequence.places[5], [35.0, 48.0, 48.0])
    np.testing.assert_array_equal(sequence.places, sequence.positions)
    np.testing.assert_array_equal(sequence.values[5].reshape(2, 4, 4), crop().voxels[:2, 4:8, 4:8])
    other = VolumeTokenizer((4, 8, 12), (2, 4, 4), VOXEL).encode(crop(voxel=(50.0, 4.0, 4.0)))
    np.testing.assert_allclose(other.places[5], [50.0, 24.0, 24.0])


def test_statistics_are_the_same_for_all_voxels_of_a_patch() -> None:
    tokenizer = VolumeTokenizer((4, 8, 12), (2, 4, 4))
    crops = [crop(seed=i) for i in range(5)]
    tokenizer.fit_statistics(crops)
    all_voxels = np.stack([c.voxels for c in crops]).astype(np.float64)
    slot = tokenizer.vocabulary.slots[0]
    assert slot.name == PATCH and slot.width == 32
    np.testing.assert_allclose(slot.mean, all_voxels.mean())
    np.testing.assert_allclose(slot.std, all_voxels.std(), rtol=1e-6)
    again = build_tokenizer(entry_of(tokenizer), vocabulary=tokenizer.vocabulary)
    assert again.fingerprint == tokenizer.fingerprint


def test_bad_crops_are_refused() -> None:
    with pytest.raises(UsageError, match=r"nearest that fits is \(4, 8, 8\)"):
        VolumeTokenizer((4, 8, 10), (2, 4, 4))
    for voxels, field in (
        (np.zeros((2, 2)), "voxels"),
        (np.full((2, 2, 2), np.nan), "voxels"),
        (np.zeros((0, 2, 2)), "voxels"),
    ):
        with pytest.raises(RecordError) as error:
            Crop(voxels, VOXEL)
        assert error.value.field == field
    with pytest.raises(RecordError, match="nm above zero"):
        Crop(np.zeros((2, 2, 2)), (1.0, 0.0, 1.0))
