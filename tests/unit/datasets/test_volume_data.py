"""Volumes to learn from: ranges, crops, augmentations, and what they must not depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.readers import RecordFailure
from sciar.datasets.tubes import tubes
from sciar.datasets.volume_augment import NOTHING, VolumeAugmentation
from sciar.datasets.volume_data import CropLoader, LabelledPack, RandomCrops, VolumeData
from sciar.datasets.volume_sources import Source, Span, open_source, read_crops
from sciar.datasets.volumes import Volume
from sciar.errors import RecordError, UsageError
from sciar.tokenization.volume import VolumeTokenizer

SHAPE = (8, 16, 16)
LOTS = VolumeAugmentation(missing=1, misaligned=1, elastic=1, blurred=1, noise=0.1)


def volume(raw: np.ndarray, name: str = "made") -> Volume:
    return Volume(raw, (10.0, 10.0, 10.0), name)


def source(labelled: bool = True, seed: int = 0) -> Source:
    raw, labels = tubes((12, 40, 44), seed, spacing=12)
    return Source(volume(raw), Span.of(volume(raw)), volume(labels) if labelled else None)


def data(**options: Any) -> VolumeData:
    tokenizer = VolumeTokenizer(SHAPE, (4, 4, 4))
    return VolumeData(["tubes:1"], tokenizer, val=["tubes:2"], batch=4, steps=3, **options)


def test_tubes_do_not_depend_on_how_they_are_cut() -> None:
    raw, labels = tubes((6, 20, 20), seed=3)
    later = tubes((2, 20, 20), seed=3, first=4)
    np.testing.assert_array_equal(raw[4:], later[0])
    np.testing.assert_array_equal(labels[4:], later[1])
    assert len(np.unique(labels)) > 2
    edge = labels[:, :, 1:] != labels[:, :, :-1]
    dark, light = raw[:, :, 1:][edge].mean(), raw[:, :, 1:][~edge].mean()
    assert dark < 0.7 * light


def test_the_range_leaves_outliers_out() -> None:
    raw = np.random.default_rng(0).integers(50, 151, (9, 30, 31)).astype(np.uint8)
    raw[0, 0, :2] = 255, 0
    span = Span.of(volume(raw))
    assert (span.low, span.high) == pytest.approx((50, 150), abs=1)
    assert span(raw).min() == 0 and span(raw).max() == 1 and span(raw).dtype == np.float32
    with pytest.raises(UsageError, match="black or constant"):
        Span.of(volume(np.full((4, 4, 4), 7)))


@given(seed=st.integers(0, 10_000))
def test_labels_go_with_their_voxels(seed: int) -> None:
    """Of an image that shows its labels, only where they lie moves."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 5, (6, 5, 5)).repeat(8, 1).repeat(8, 2)
    moving = VolumeAugmentation(missing=0, misaligned=0.8, elastic=0.8, warp=0.5, shift=3)
    inner = tuple(n - 2 * moving.margin for n in labels.shape[1:])
    raw, found = moving.geometry(
        labels.astype(np.float32), labels, True, np.random.default_rng(seed)
    )
    assert found is not None and raw.shape == found.shape == (6, *inner)
    assert (np.rint(raw) == found).mean() > 0.85  # interpolation differs at borders only
    assert set(np.unique(found)) <= set(np.unique(labels))


def test_a_crop_hangs_on_its_number_alone() -> None:
    made, again = (RandomCrops([source(), source(seed=1)], SHAPE, LOTS, seed=5) for _ in range(2))
    first = [made[i] for i in range(4)]
    for i in (3, 0, 2):
        np.testing.assert_array_equal(again[i].crop.voxels, first[i].crop.voxels)
        np.testing.assert_array_equal(again[i].labels, first[i].labels)
    assert not np.array_equal(first[0].crop.voxels, first[1].crop.voxels)
    voxels = np.stack([s.crop.voxels for s in first])
    assert voxels.min() >= 0 and voxels.max() <= 1 and voxels.shape == (4, *SHAPE)


def test_without_augmentation_crops_are_blocks() -> None:
    whole = source()
    sample = RandomCrops([whole], SHAPE, NOTHING, seed=1)[0]
    blocks = np.lib.stride_tricks.sliding_window_view(whole.span(whole.raw.data), SHAPE)
    where = np.argwhere((blocks == sample.crop.voxels).all((3, 4, 5)))
    assert len(where) == 1
    z, y, x = where[0]
    assert whole.labels is not None
    np.testing.assert_array_equal(sample.labels, whole.labels[z : z + 8, y : y + 16, x : x + 16])


def test_missing_sections_are_black_and_keep_their_labels() -> None:
    dark = VolumeAugmentation(missing=1, misaligned=0, elastic=0, blurred=0, noise=0, section=0)
    sample = RandomCrops([source()], SHAPE, dark, seed=0)[0]
    black = (sample.crop.voxels == 0).all((1, 2))
    assert 1 <= black.sum() <= 3
    assert sample.labels is not None and (sample.labels > 0).all()


def test_constant_crops_are_drawn_anew_and_then_refused() -> None:
    raw = np.zeros((8, 16, 64), np.uint8)
    raw[:, :, :16] = np.random.default_rng(0).integers(0, 255, (8, 16, 16))
    half = Source(volume(raw), Span(0, 255))
    crops = RandomCrops([half], SHAPE)
    assert all(crops[i].crop.voxels.max() > 0 for i in range(10))
    black = Source(volume(np.zeros((8, 16, 16), np.uint8), "dark.npz"), Span(0, 255))
    with pytest.raises(RecordError, match=r"dark\.npz.*black or constant"):
        RandomCrops([black], SHAPE)[0]
    items = list(read_crops(half, SHAPE))
    bad = [i for i in items if isinstance(i, RecordFailure)]
    assert [i.id for i in bad] == ["0:8,0:16,16:32", "0:8,0:16,32:48", "0:8,0:16,48:64"]
    assert "equal" in str(bad[0].error) and len(items) == 4


def test_packs_and_resuming() -> None:
    module = data(labelled=True)
    loader = module.train_dataloader()
    first, second, third = list(loader)
    assert isinstance(first, LabelledPack) and first.objects.shape == (4, *SHAPE)
    assert len(first) == 4 * (1 + len(module.tokenizer.grid))
    joined = module.tokenizer.grid.join(first.values[1:33].numpy())
    np.testing.assert_array_equal(joined, first.voxels[0].numpy())
    assert len(second.to("cpu").voxels) == 4
    resumed = module.train_dataloader()
    resumed.load_state_dict({"done": 2, "batch": 4})
    torch.testing.assert_close(next(iter(resumed)).values, third.values)
    with pytest.raises(UsageError, match="batches of 3"):
        resumed.load_state_dict({"done": 2, "batch": 3})


def test_processes_share_a_batch() -> None:
    def make(indices: Any) -> Any:
        return list(indices)

    parts = [list(CropLoader(make, None, 4, 2, rank, 2)) for rank in (0, 1)]
    assert parts == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]
    assert list(CropLoader(make, 5, 4)) == [[0, 1, 2, 3], [4]]
    with pytest.raises(UsageError, match="2 processes"):
        CropLoader(make, None, 1, 2, 0, 2)


def test_validation_crops_are_fixed_and_spread() -> None:
    module = data(val_crops=5)
    loader = module.val_dataloader()
    packs = list(loader)
    assert [len(p.lengths) for p in packs] == [4, 1] and len(loader) == 2
    torch.testing.assert_close(packs[0].values, next(iter(module.val_dataloader())).values)
    assert module.counts["voxels val"] == 32 * 96 * 96


def test_files_are_checked(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (8, 16, 16)).astype(np.uint8)
    path = tmp_path / "v.npz"
    np.savez(path, raw=raw, labels=raw[1:])
    with pytest.raises(UsageError, match="no voxel size"):
        open_source(str(path))
    voxel = (1.0, 1.0, 1.0)
    assert open_source(str(path), voxel=voxel).raw.voxel == voxel
    with pytest.raises(UsageError, match=r"labels of shape \(7, 16, 16\)"):
        open_source(str(path), labelled=True, voxel=voxel)
    np.savez(path, raw=raw)
    with pytest.raises(UsageError, match="no array 'labels'"):
        open_source(str(path), labelled=True, voxel=voxel)
    small = Source(volume(raw), Span.of(volume(raw)))
    with pytest.raises(UsageError, match="less than one crop"):
        RandomCrops([small], (8, 16, 32))


@pytest.mark.shared
def test_shared_sets_know_their_voxels(shared_data: Path) -> None:
    found = open_source("fib25_mini", "val", labelled=True)
    assert found.raw.voxel == (10, 10, 10) and found.raw.shape == (50, 200, 100)
    assert open_source("isbi2012:unlabelled").raw.voxel == (50, 4, 4)
    by_path = open_source(str(shared_data / "em" / "fib25_mini" / "val.npz"))
    assert by_path.raw.voxel == (10, 10, 10)
