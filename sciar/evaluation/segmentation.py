"""Scores of segmentations: variation of information and adapted Rand error."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.evaluation.contingency import Contingency


def segmentation_scores(table: Contingency) -> dict[str, Any]:
    """Every score of a segmentation against its reference, with what was counted.

    Args:
        table: of the whole volume; reference label 0 is usually ignored.

    Returns:
        ``voxels`` that count and ``ignored`` ones, ``objects`` of the reference and ``segments``
        that overlap them; ``voi_split``, ``voi_merge`` and their sum ``voi`` in bits;
        ``adapted_rand`` and ``cremi``. Scores are ``None`` where there is nothing to compare.
    """
    split, merge = variation_of_information(table) if table.voxels else (None, None)
    rand = adapted_rand_error(table)
    voi = None if split is None or merge is None else split + merge
    # The challenge takes pairs with replacement.
    paired = adapted_rand_error(table, replacement=True)
    return {
        "voxels": table.voxels,
        "ignored": table.ignored,
        "objects": len(table.truth_sizes()),
        "segments": len(table.found_sizes()),
        "voi_split": split,
        "voi_merge": merge,
        "voi": voi,
        "adapted_rand": rand,
        "cremi": None if voi is None or paired is None else float(np.sqrt(voi * paired)),
    }


def variation_of_information(table: Contingency) -> tuple[float, float]:
    """Split and merge part, in bits (Meila, COLT 2003); 0 and 0 for equal partitions.

    Split is the entropy of the segmentation given the reference, which grows when an object is cut;
    merge is the entropy of the reference given the segmentation. The same as
    ``skimage.metrics.variation_of_information(truth, found, ignore_labels=ignored)``.

    Raises:
        ValueError: no voxel counts.
    """
    if not table.voxels:
        raise ValueError("variation of information of no voxels")
    sizes = _sizes(table)
    share = table.count / table.voxels
    # A rounding error below zero is no information.
    split, merge = (max(0.0, float(share @ np.log2(size / table.count))) for size in sizes)
    return split, merge


def adapted_rand_error(table: Contingency, replacement: bool = False) -> float | None:
    """One minus the F-score of pairs of voxels that are joined (Arganda-Carreras et al., 2015).

    Args:
        table: of the whole volume.
        replacement: a voxel also makes a pair with itself, as in the CREMI challenge; without it
            the error is that of ``skimage.metrics.adapted_rand_error``.

    Returns:
        0 for equal partitions; ``None`` if neither partition joins any two voxels.
    """
    singles = 0.0 if replacement else float(table.voxels)

    def pairs(counts: np.ndarray) -> float:
        wide = counts.astype(np.float64)  # squares of large objects do not fit 64 bits
        return float(wide @ wide) - singles

    either = pairs(table.truth_sizes()) + pairs(table.found_sizes())
    return 1.0 - 2.0 * pairs(table.count) / either if either > 0 else None


def _sizes(table: Contingency) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of the reference label, and of the label of the segmentation, of each pair."""
    _, truth = np.unique(table.truth, return_inverse=True)
    _, found = np.unique(table.found, return_inverse=True)
    return table.truth_sizes()[truth], table.found_sizes()[found]
