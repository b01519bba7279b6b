"""Volumes: the same voxels from every format, sizes kept or asked for, damage named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sciar.datasets import volumes
from sciar.datasets.volumes import open_volume
from sciar.errors import RecordError, UsageError

VOXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7)).astype(np.uint8)
SIZE = (40.0, 4.0, 4.0)


def npz(folder: Path) -> Path:
    np.savez(folder / "v.npz", raw=VOXELS, voxel_nm=np.array(SIZE))
    return folder / "v.npz"


def hdf5(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "v.h5", "w") as file:
        file["volumes/raw"] = VOXELS
        file["volumes/raw"].attrs["resolution"] = SIZE
    return folder / "v.h5"


def zarr2(folder: Path) -> Path:
    return _zarr(folder, 2)


def zarr3(folder: Path) -> Path:
    return _zarr(folder, 3)


def _zarr(folder: Path, version: int) -> Path:
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(folder / "v.zarr"), mode="w", zarr_format=version)
    array = root.create_array("0", shape=VOXELS.shape, chunks=(2, 3, 4), dtype="uint8")
    array[:] = VOXELS
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scale = {"type": "scale", "scale": [s / 1e3 for s in SIZE]}
    levels = [{"path": "0", "coordinateTransformations": [scale]}]
    about = {"multiscales": [{"axes": axes, "datasets": levels}]}
    root.attrs.update(about if version == 2 else {"ome": about})
    return folder / "v.zarr"


def tiff(folder: Path) -> Path:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(folder / "v.tif", VOXELS, photometric="minisblack")
    return folder / "v.tif"


FORMATS: list[Callable[[Path], Path]] = [npz, hdf5, zarr2, zarr3]


@pytest.mark.parametrize("write", [*FORMATS, tiff])
def test_every_format_gives_the_same_voxels(write: Callable[[Path], Path], tmp_path: Path) -> None:
    volume = open_volume(write(tmp_path), voxel=SIZE)
    assert (volume.shape, volume.dtype) == (VOXELS.shape, VOXELS.dtype)
    for block in (
        (slice(0, 5), slice(0, 6), slice(0, 7)),
        (slice(1, 3), slice(2, 6), slice(0, 1)),
        (slice(4, 5), slice(None), slice(5, 7)),
    ):
        np.testing.assert_array_equal(volume[block], VOXELS[block])


@pytest.mark.parametrize("write", FORMATS)
def test_the_size_of_voxels_is_kept_unless_another_is_given(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    assert open_volume(path).voxel == pytest.approx(SIZE)
    assert open_volume(path, voxel=(8.0, 8.0, 8.0)).voxel == (8.0, 8.0, 8.0)


def test_a_volume_without_a_size_asks_for_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", raw=VOXELS)
    with pytest.raises(UsageError, match=r"v\.npz:raw: no voxel size .* voxel=\(z, y, x\) in nm"):
        open_volume(tmp_path / "v.npz")
    with pytest.raises(UsageError, match="three positive sizes"):
        open_volume(tmp_path / "v.npz", voxel=(1.0, 0.0, 1.0))
    with pytest.raises(UsageError, match="no voxel size"):
        open_volume(tiff(tmp_path))


def test_only_the_sections_of_a_block_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tiff(tmp_path), voxel=SIZE)
    tifffile = pytest.importorskip("tifffile")
    read: list[int] = []
    whole = tifffile.TiffPage.asarray
    for kind in (tifffile.TiffPage, tifffile.TiffFrame):
        monkeypatch.setattr(kind, "asarray", lambda page: (read.append(1), whole(page))[1])
    volume[(slice(3, 5), slice(0, 2), slice(0, 2))]
    assert len(read) == 2


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(volumes, "import_module", absent)
    for name in ("v.h5", "v.tif", "v.zarr"):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=r'pip install "sciar\[volumes\]"'):
            open_volume(tmp_path / name)


def test_a_broken_chunk_is_named(tmp_path: Path) -> None:
    path = zarr3(tmp_path)
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(b"damaged")
    volume = open_volume(path)
    good = (slice(2, 4), slice(0, 3), slice(0, 4))
    np.testing.assert_array_equal(volume[good], VOXELS[good])
    with pytest.raises(RecordError, match=r"v\.zarr:0: block \[0:2, 0:3, 0:4\] cannot be read"):
        volume[(slice(0, 2), slice(0, 3), slice(0, 4))]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"raw": VOXELS, "labels": VOXELS}, "name one of the arrays"),
        ({"raw": VOXELS[0]}, "name one of the arrays"),
        ({"raw": VOXELS > 3}, "voxels of type bool"),
        ({"raw": VOXELS[:0]}, "is no volume"),
        ({"raw": np.array([None, 1], dtype=object)}, "not an npz of plain arrays"),
    ],
)
def test_what_is_no_volume_is_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        open_volume(tmp_path / "v.npz", voxel=SIZE)


def test_wrong_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_volume(tmp_path / "v.npz")
    with pytest.raises(UsageError, match=r"read from \.h5"):
        open_volume(tmp_path)
    with pytest.raises(UsageError, match=r"no array 'labels'; found \['raw'\]"):
        open_volume(npz(tmp_path), "labels")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="not an npz"):
        open_volume(tmp_path / "bad.npz")
