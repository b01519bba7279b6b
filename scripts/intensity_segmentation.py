"""Segmentation without any learning: smoothed intensity as affinity, on volumes with labels.

The honest floor under every trained model. The same fragments, graph and agglomeration as
``sciar segment``; the threshold is chosen on the validation volume.

    python scripts/intensity_segmentation.py fib25 --json baseline.json
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from scipy import ndimage

from sciar.api.segment import best, scores_by_threshold
from sciar.datasets.files import write_json
from sciar.datasets.volume_sources import open_source
from sciar.evaluation.contingency import Contingency
from sciar.segmentation.fragments import Watershed, to_bytes
from sciar.segmentation.graph import Edges


def swept(name: str, split: str, sigma: float, watershed: Watershed) -> list[dict[str, Any]]:
    """Scores of one split at all thresholds."""
    source = open_source(name, split, labelled=True)
    assert source.labels is not None
    bright = ndimage.gaussian_filter(source.span(source.raw[:, :, :]), sigma)
    affinities = np.repeat(to_bytes(bright)[None], 3, axis=0)
    fragments = watershed(affinities).astype(np.uint64)
    edges, ids = Edges.of(affinities, fragments), np.unique(fragments)
    labels = source.labels[:, :, :].astype(np.int64)
    return scores_by_threshold(Contingency.of(labels, fragments), edges, ids[ids > 0])


def main(arguments: list[str]) -> int:
    """Print the scores on the test split at the threshold that is best on validation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="data set with the splits val and test")
    parser.add_argument("--sigma", type=float, default=1.0, help="smoothing, voxels")
    parser.add_argument("--flat", action="store_true", help="fragments section by section")
    parser.add_argument("--json", default="", help="file for all scores")
    options = parser.parse_args(arguments)
    watershed = Watershed(flat=options.flat)
    val = swept(options.name, "val", options.sigma, watershed)
    chosen = best(val)
    test = swept(options.name, "test", options.sigma, watershed)
    scores = next(s for s in test if s["threshold"] == chosen["threshold"])
    for split, found in (("val", chosen), ("test", scores)):
        print(
            f"{options.name} {split}: threshold {found['threshold']}, VOI {found['voi']:.3f} "
            f"(split {found['voi_split']:.3f}, merge {found['voi_merge']:.3f}), adapted Rand "
            f"{found['adapted_rand']:.3f}, {found['voxels']:,} voxels, {found['objects']} objects"
        )
    if options.json:
        write_json(options.json, {"val": val, "test": test, "chosen": chosen["threshold"]})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
