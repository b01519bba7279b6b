"""The Zarr store of a segmentation: an OME-Zarr that Neuroglancer and napari open.

Version 2 of the format with the metadata of OME-Zarr 0.4, which the most programs read. The root
names the array ``segmentation`` as its image; ``affinities`` and ``fragments`` lie beside it.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.jobs.volume_plan import VolumePlan

SEGMENTATION, FRAGMENTS, AFFINITIES = "segmentation", "fragments", "affinities"
_CHUNK = 64


def library() -> Any:
    """The zarr package.

    Raises:
        UsageError: not installed.
    """
    try:
        return import_module("zarr")
    except ImportError as error:
        raise UsageError(
            'segmentations are stored by zarr: pip install "sciar[volumes]"'
        ) from error


def create(out: Path, plan: VolumePlan) -> None:
    """The group and its empty arrays; those that exist stay."""
    zarr = library()
    root = zarr.open_group(str(out), mode="a", zarr_format=2)
    # A chunk is written by one block only.
    chunks = tuple(_divisor(n) for n in plan.block)
    for name, shape, kind, front in (
        (SEGMENTATION, plan.shape, "uint64", ()),
        (FRAGMENTS, plan.shape, "uint64", ()),
        (AFFINITIES, (3, *plan.shape), "uint8", (3,)),
    ):
        if name not in root:
            root.create_array(
                name, shape=shape, chunks=(*front, *chunks), dtype=kind, fill_value=0,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )  # fmt: skip
        root[name].attrs["resolution"] = list(plan.voxel)
    axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
    scale = {"type": "scale", "scale": list(plan.voxel)}
    root.attrs["multiscales"] = [
        {
            "version": "0.4", "name": Path(plan.path).stem, "axes": axes,
            "datasets": [{"path": SEGMENTATION, "coordinateTransformations": [scale]}],
        }
    ]  # fmt: skip
    root.attrs["image-label"] = {"version": "0.4"}


def array(out: Path, name: str, mode: str = "r+") -> Any:
    """One array of the store."""
    return library().open_array(str(out / name), mode=mode)


def _divisor(n: int) -> int:
    """The largest divisor up to the usual chunk; a prime block is a chunk."""
    found = max(d for d in range(1, min(n, _CHUNK) + 1) if n % d == 0)
    return found if found >= min(n, _CHUNK // 4) else n


def checksum(block: np.ndarray) -> str:
    """Sixteen hex digits of the voxels of a block."""
    return hashlib.sha256(np.ascontiguousarray(block).tobytes()).hexdigest()[:16]
