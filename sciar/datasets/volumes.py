"""Volumes of microscopy, read block by block; axes are always in the order z, y, x.

NPZ needs nothing more. TIFF stacks, HDF5 and Zarr (also OME-Zarr) need ``pip install
"sciar[volumes]"``. Only an NPZ is read as a whole; a TIFF stack is read section by section.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sciar.errors import RecordError, UsageError

Voxel = tuple[float, float, float]


class Array(Protocol):
    """What a block can be cut from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of a voxel."""
        ...

    def __getitem__(self, block: Any, /) -> Any:
        """A block, given as slices."""
        ...


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume that is read when it is asked.

    Attributes:
        data: (Z, Y, X) voxels.
        voxel: size of a voxel along z, y, x, nm.
        source: file, and data set in it.
        path: that file, ``None`` for what is in no file.
        dataset: that data set, empty if the file is one array.
    """

    data: Array
    voxel: Voxel
    source: str
    path: Path | None = None
    dataset: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along z, y, x."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel."""
        return np.dtype(self.data.dtype)

    def __getitem__(self, block: tuple[slice, ...]) -> np.ndarray:
        """A block in memory.

        Raises:
            RecordError: the file is damaged there.
        """
        try:
            return np.asarray(self.data[block])
        except Exception as error:  # every library and codec has errors of its own
            where = ", ".join(f"{s.start or 0}:{'' if s.stop is None else s.stop}" for s in block)
            raise RecordError(
                f"block [{where}] cannot be read ({type(error).__name__}: {error})",
                source=self.source,
            ) from error


def open_volume(path: Path, dataset: str | None = None, voxel: Voxel | None = None) -> Volume:
    """Open a volume; voxels are read later.

    Args:
        path: ``.npz``, ``.tif``, ``.tiff``, ``.h5``, ``.hdf5``, ``.hdf`` or ``.zarr``.
        dataset: array in the file; not needed if there is only one with three axes.
        voxel: size of a voxel along z, y, x in nm, in place of what the file says.

    Raises:
        UsageError: no such file or array, a missing library, a file without a voxel size or with
            voxels of an unsupported type.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: volumes are read from {', '.join(sorted(_READERS))}")
    arrays, sizes = reader(path)
    name = _choose(path, arrays, dataset)
    array, source = arrays[name], f"{path}:{name}" if name else str(path)
    if len(array.shape) != 3 or 0 in array.shape:
        raise UsageError(f"{source}: shape {tuple(array.shape)} is no volume (z, y, x)")
    kind = np.dtype(array.dtype)
    if kind.kind not in "iuf":
        raise UsageError(f"{source}: voxels of type {kind}; integers or floats are due")
    size = voxel or sizes(name)
    if size is None:
        raise UsageError(
            f"{source}: no voxel size in the file; give it as voxel=(z, y, x) in nm, on the "
            'command line as --voxel "[50, 4, 4]" (sciar fit: --data.voxel)'
        )
    if len(size) != 3 or not all(isfinite(s) and s > 0 for s in size):
        raise UsageError(f"{source}: voxel size {tuple(size)}; three positive sizes in nm are due")
    return Volume(array, (float(size[0]), float(size[1]), float(size[2])), source, path, name)


Opened = tuple[Mapping[str, Array], Callable[[str], Any]]
"""Arrays by name, and the voxel size of each in nm, ``None`` if the file does not say."""


def _choose(path: Path, arrays: Mapping[str, Array], dataset: str | None) -> str:
    if dataset is not None:
        name = dataset.strip("/")
        if name not in arrays:
            raise UsageError(f"{path}: no array {dataset!r}; found {sorted(arrays)}")
        return name
    names = [name for name, array in arrays.items() if len(array.shape) == 3]
    if len(names) != 1:
        raise UsageError(f"{path}: name one of the arrays {sorted(arrays)} as data set")
    return names[0]


def _library(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f'{path}: needs {name}: pip install "sciar[volumes]"') from error


def _npz(path: Path) -> Opened:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise UsageError(f"{path}: not an npz of plain arrays ({error})") from error
    size = arrays.pop("voxel_nm", None)
    return arrays, lambda name: None if size is None else tuple(np.ravel(size).tolist())


def _hdf5(path: Path) -> Opened:
    h5py = _library("h5py", path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UsageError(f"{path}: not an HDF5 file ({error})") from error
    arrays: dict[str, Array] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item

    file.visititems(visit)

    def size(name: str) -> Any:
        found = file[name].attrs.get("resolution")  # CREMI: nm, z y x
        return None if found is None else tuple(np.ravel(found).tolist())

    return arrays, size


@dataclass(frozen=True, eq=False)
class _Sections:
    """Pages of a TIFF as one array; only the pages of a block are read."""

    pages: Any
    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, block: tuple[slice, ...]) -> np.ndarray:
        wanted = range(*block[0].indices(self.shape[0]))
        sections = [self.pages[i].asarray()[tuple(block[1:])] for i in wanted]
        return np.stack(sections) if sections else np.zeros((0, 0, 0), self.dtype)


def _tiff(path: Path) -> Opened:
    tifffile = _library("tifffile", path)
    try:
        file = tifffile.TiffFile(path)
    except (OSError, tifffile.TiffFileError) as error:
        raise UsageError(f"{path}: not a TIFF ({error})") from error
    shapes = {(page.shape, page.dtype) for page in file.pages}
    if len(shapes) != 1:
        raise UsageError(f"{path}: sections differ in shape or type: {sorted(map(str, shapes))}")
    ((shape, dtype),) = shapes
    stack = _Sections(file.pages, (len(file.pages), *shape), dtype)
    return {"": stack}, lambda name: None


def _zarr(path: Path) -> Opened:
    zarr = _library("zarr", path)
    try:
        root = zarr.open(str(path), mode="r")
    except Exception as error:  # the library raises errors of many kinds
        raise UsageError(f"{path}: not a Zarr store ({error})") from error
    if isinstance(root, zarr.Array):
        return {"": root}, lambda name: _attribute(root.attrs)
    arrays = {n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}
    levels = _ome_levels(dict(root.attrs))
    return arrays, lambda name: _attribute(arrays[name].attrs) or levels.get(name)


def _attribute(attributes: Mapping[str, Any]) -> Any:
    found = attributes.get("resolution")
    return None if found is None else tuple(found)


_NANOMETRES = {"angstrom": 0.1, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6}


def _ome_levels(attributes: dict[str, Any]) -> dict[str, Voxel]:
    """Voxel sizes of the levels of an OME-Zarr, versions 0.4 and 0.5; of its last three axes."""
    levels: dict[str, Voxel] = {}
    for pyramid in attributes.get("ome", attributes).get("multiscales", []):
        axes = pyramid.get("axes", [])[-3:]
        units = [str(a.get("unit")) for a in axes if isinstance(a, dict)]
        if len(units) < 3 or any(u not in _NANOMETRES for u in units):
            continue
        for level in pyramid.get("datasets", []):
            for change in level.get("coordinateTransformations", []):
                if change.get("type") == "scale" and len(change["scale"]) >= 3:
                    z, y, x = (
                        float(s) * _NANOMETRES[u]
                        for s, u in zip(change["scale"][-3:], units, strict=True)
                    )
                    levels[str(level["path"])] = (z, y, x)
    return levels


_READERS: dict[str, Callable[[Path], Opened]] = {
    ".npz": _npz,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".hdf": _hdf5,
    ".zarr": _zarr,
}
