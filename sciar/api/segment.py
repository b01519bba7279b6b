"""Segmentation of volumes: a model's affinities, and the whole way to segments in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciar import zoo
from sciar.datasets.volume_data import LabelledPack
from sciar.errors import UsageError
from sciar.evaluation.contingency import Contingency
from sciar.evaluation.segmentation import segmentation_scores
from sciar.folder import load_folder
from sciar.objectives.affinities import affinity_logits
from sciar.records import Crop
from sciar.segmentation.agglomerate import agglomerate, sweep
from sciar.segmentation.blocks import (
    Blocks,
    edges_of,
    fragments_of,
    numbered,
    predicted,
    relabelled,
)
from sciar.segmentation.fragments import Watershed
from sciar.segmentation.graph import Edges
from sciar.segmentation.windows import Triple, Windows
from sciar.tokenization.packing import pack
from sciar.tokenization.volume import VolumeTokenizer

THRESHOLD = 0.5
"""Of models that do not say their own."""
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Of a sweep."""


class Segmenter:
    """A trained model that gives affinities of windows.

    Args:
        model: name or folder.
        device: where it runs; ``auto`` takes a GPU if there is one.

    Raises:
        UsageError: no such model, or one that does not segment volumes.
        ModelError: the folder is damaged.
    """

    def __init__(self, model: str | Path, device: str = "auto") -> None:
        folder = zoo.find(model)
        content = load_folder(folder)
        tokenizer = content.tokenizer
        if not isinstance(tokenizer, VolumeTokenizer) or "affinities" not in content.model.extras:
            raise UsageError(
                f"{content.name} does not segment volumes; train one that does by "
                "sciar fit --config em-segment"
            )
        self.name, self.tokenizer = content.name, tokenizer
        self.threshold = float(content.sampling.get("threshold", THRESHOLD))
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = content.model.to(self.device).eval()
        # The configuration holds the checksum of the weights, which loading has verified.
        self.sha256 = hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()

    @property
    def window(self) -> Triple:
        """Voxels of a window."""
        return self.tokenizer.grid.crop

    @torch.no_grad()
    def __call__(self, voxels: np.ndarray, voxel: tuple[float, float, float]) -> np.ndarray:
        """(window) intensities from 0 to 1 -> (3, window) float32 affinities.

        One window at a time: sums of a batch could differ in their last bits with its size, and
        what is predicted of a block must not hang on the blocks beside it.
        """
        packed = pack([self.tokenizer.encode(Crop(voxels, voxel))])
        nothing = torch.zeros(1, *voxels.shape, dtype=torch.long)
        image = torch.from_numpy(np.ascontiguousarray(voxels, dtype=np.float32))[None]
        labelled = LabelledPack(**vars(packed), voxels=image, objects=nothing).to(self.device)
        logits = affinity_logits(self.model, labelled)[0, :3]
        return logits.float().sigmoid().cpu().numpy()


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What :func:`segment` makes of a volume.

    Attributes:
        affinities: (3, Z, Y, X) uint8.
        fragments: (Z, Y, X) uint64.
        segments: (Z, Y, X) uint64, counted from 1.
        edges: graph of the fragments.
        ids: fragments, rising.
    """

    affinities: np.ndarray
    fragments: np.ndarray
    segments: np.ndarray
    edges: Edges
    ids: np.ndarray


def segment(
    voxels: np.ndarray,
    voxel: tuple[float, float, float],
    model: Segmenter,
    blocks: Blocks,
    windows: Windows,
    watershed: Watershed,
    threshold: float,
) -> Segmentation:
    """Segment a volume in memory: the same numbers as ``sciar segment`` gives.

    Args:
        voxels: (Z, Y, X) intensities from 0 to 1.
        voxel: size of a voxel, nm.
        model: gives affinities.
        blocks: fragments hang on how the volume is cut; a single block is allowed.
        windows: where the model looks.
        watershed: how fragments are cut.
        threshold: of agglomeration.
    """
    affinities = np.zeros((3, *voxels.shape), np.uint8)
    fragments = np.zeros(voxels.shape, np.uint64)
    for index in range(len(blocks)):
        core = blocks.core(index)
        affinities[:, *core] = predicted(
            core, windows, lambda b: voxels[b], lambda w: model(w, voxel)
        )
    for index in range(len(blocks)):
        fragments[blocks.core(index)], _ = fragments_of(blocks, index, affinities, watershed)
    tables = [edges_of(blocks, i, affinities, fragments) for i in range(len(blocks))]
    edges = Edges.merged(table for table, _ in tables)
    ids = np.concatenate([own for _, own in tables])
    segments = numbered(agglomerate(edges, ids, threshold))
    return Segmentation(affinities, fragments, relabelled(fragments, ids, segments), edges, ids)


def scores_by_threshold(
    table: Contingency, edges: Edges, ids: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> list[dict[str, Any]]:
    """Scores of agglomeration at several thresholds, from one table of the fragments.

    Args:
        table: of reference labels and fragments.
        edges: graph of the fragments.
        ids: all fragments, rising.
        thresholds: rising.
    """
    found, empty = [], np.zeros(0, np.int64)
    none = Contingency(table.truth[:0], table.found[:0], empty)
    for threshold, regions in zip(thresholds, sweep(edges, ids, thresholds), strict=True):
        merged = relabelled(table.found.astype(np.uint64), ids, regions)
        # Adding nothing adds up the pairs that have become equal.
        joined = Contingency(table.truth, merged.astype(table.found.dtype), table.count) + none
        scores = segmentation_scores(
            Contingency(joined.truth, joined.found, joined.count, table.ignored)
        )
        found.append({"threshold": threshold, **scores})
    return found


def best(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The lowest variation of information; of equals, the lowest threshold."""
    usable = [s for s in scores if s["voi"] is not None]
    if not usable:
        raise UsageError("no voxel of the labels counts: nothing to choose a threshold by")
    return min(usable, key=lambda s: s["voi"])
