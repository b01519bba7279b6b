"""Crops of volumes of microscopy <-> ``<bos> <patch>*K``, with places in nanometres.

The patches follow each other in raster order, z slowest. Each knows where its centre is, measured
from the corner of the crop, before its content is known; so one model serves volumes of several
voxel sizes (TokenUnify, arXiv:2405.16847).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from sciar.errors import RecordError
from sciar.records import Crop, Record
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.patches import PatchGrid, Triple
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

BOS, MASK, PATCH = "<bos>", "<mask>", "<patch>"
SEGMENT = "patches"
_LAYOUT = Layout(
    "volume",
    (
        Segment("begin", role="forced", tokens=(BOS,)),
        Segment(SEGMENT, kind="slot", slot=PATCH, unit="intensity, 0 black and 1 white"),
    ),
    axes=3,
)
_ORDINARY = (0.5, 0.2)
"""Mean and deviation of intensities before any were measured."""


class VolumeTokenizer(LayoutTokenizer):
    """Crops of one shape, in patches that may be flat.

    The word ``<mask>`` stands for a patch that is hidden from the network; no sequence of the
    tokenizer holds it.

    Args:
        crop: voxels of a crop along z, y, x; multiples of the patch.
        patch: voxels of a patch.
        voxel: size of a voxel in nm of a crop that is made from nothing; crops that are read have
            their own.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: the crop is no multiple of the patch.
    """

    makes = ("volumes",)
    conditions = ("voxel",)

    def __init__(
        self,
        crop: tuple[int, int, int] = (16, 160, 160),
        patch: tuple[int, int, int] = (4, 16, 16),
        voxel: tuple[float, float, float] = (35.0, 8.0, 8.0),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        z, y, x = map(float, voxel)
        self.grid = PatchGrid(_triple(crop), _triple(patch), (z, y, x))
        self.layout, self.max_atoms = _LAYOUT, len(self.grid)
        mean, std = ((number,) * self.grid.width for number in _ORDINARY)
        slot = SlotKind(PATCH, self.grid.width, mean=mean, std=std)
        self.vocabulary = vocabulary or Vocabulary((BOS, MASK, PATCH), (slot,))

    def config(self) -> dict[str, Any]:
        grid = self.grid
        return {"crop": list(grid.crop), "patch": list(grid.patch), "voxel": list(grid.voxel)}

    def size(self, structure: Any) -> int:
        """Patches."""
        return len(self.grid)

    def grid_of(self, crop: Crop) -> PatchGrid:
        """How a crop is cut; with its own voxel size.

        Raises:
            RecordError: it has another shape than those of the tokenizer, or is no crop.
        """
        self.check_kind(crop)
        if crop.voxels.shape != self.grid.crop:
            raise RecordError(
                f"a crop of {crop.voxels.shape} voxels, where the model takes {self.grid.crop}",
                field="voxels",
            )
        return replace(self.grid, voxel=crop.voxel)

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        grid = self.grid_of(structure)
        return {SEGMENT: Slots(_specs(grid), grid.cut(structure.voxels))}

    def structure(self, fields: Mapping[str, Words | Slots]) -> Any:
        found = fields[SEGMENT]
        assert isinstance(found, Slots)
        if len(found.specs) != len(self.grid):
            raise RecordError(f"{len(found.specs)} patches, where {len(self.grid)} make a crop")
        return Crop(self.grid.join(found.values.astype(np.float32)), self._voxel(found.specs))

    def _voxel(self, specs: tuple[SlotSpec, ...]) -> tuple[float, float, float]:
        """The size of a voxel from the centre of the last patch."""
        extent = np.subtract(self.grid.crop, np.multiply(self.grid.patch, 0.5))
        z, y, x = np.divide(specs[-1].position, extent).round(4).tolist()
        return z, y, x

    def encode(
        self, structure: Any, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        """Crop -> sequence; nothing but the intensities differs between crops of a voxel size.

        Raises:
            RecordError: another shape, or no crop.
        """
        grid = self.grid_of(structure)
        if len(grid) > self.max_atoms:
            raise RecordError(f"{len(grid)} patches; this tokenizer takes {self.max_atoms}")
        empty = _empty(self.vocabulary, grid)
        values = np.zeros_like(empty.values)
        values[1:] = grid.cut(structure.voxels)
        return replace(empty, values=values)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        return _specs(self.grid)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        wanted = self.known(constraints)
        voxel = tuple(map(float, wanted.get("voxel", self.grid.voxel)))
        if voxel != self.grid.voxel:
            raise RecordError(
                f"this model makes crops of voxels of {self.grid.voxel} nm, not {voxel}",
                field="voxel",
            )
        return Request({}, {}, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        crop: Any = record.structure
        self.grid_of(crop)
        return {"voxel": self.grid.voxel}

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """One mean and deviation for all voxels: where in a patch a voxel is means nothing."""
        count, total, square = 0, 0.0, 0.0
        for crop in structures:
            wide = self.grid.cut(crop.voxels).astype(np.float64)
            count, total = count + wide.size, total + float(wide.sum())
            square += float((wide * wide).sum())
        mean = total / max(1, count)
        deviation = max(1e-3, (square / max(1, count) - mean * mean) ** 0.5)
        width = self.grid.width
        self.vocabulary = self.vocabulary.with_statistics(
            {PATCH: (np.full(width, mean), np.full(width, deviation))}
        )


def _triple(sizes: Iterable[int]) -> Triple:
    z, y, x = map(int, sizes)
    return z, y, x


@lru_cache(maxsize=32)
def _specs(grid: PatchGrid) -> tuple[SlotSpec, ...]:
    centres = [tuple(row) for row in grid.centres().tolist()]
    return tuple(SlotSpec(place=c, position=c) for c in centres)


@lru_cache(maxsize=32)
def _empty(vocabulary: Vocabulary, grid: PatchGrid) -> TokenSequence:
    """The sequence of a black crop."""
    black = Slots(_specs(grid), np.zeros((len(grid), grid.width)))
    return _LAYOUT.assemble(vocabulary, {SEGMENT: black})
