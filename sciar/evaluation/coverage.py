"""Coverage of a reference set by generated crystals (CDVAE, Xie et al., arXiv:2110.06197).

A reference is covered if some generated crystal lies within the cut-off of the structure
fingerprint, and some within that of the composition features; the two nearest neighbours need not
be the same crystal (so in CDVAE). COV-R is the share of covered references, COV-P the share of
generated crystals covered by references. AMSD and AMCD are the mean nearest distances of
structure and composition.

Composition features are standardised with the mean and spread of the reference set (CDVAE stores
constants of its own training sets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from sciar.evaluation.composition_features import composition_features, distance_scale
from sciar.evaluation.fingerprints import structure_fingerprint
from sciar.evaluation.processes import ProcessMap
from sciar.evaluation.statistics import mean, rate
from sciar.records import Crystal

CUTOFFS: dict[str, tuple[float, float]] = {
    "mp_20": (0.4, 10.0),
    "carbon_24": (0.2, 4.0),
    "perov_5": (0.2, 4.0),
}
"""Data set -> cut-offs of the structure and composition distances, as in CDVAE."""


@dataclass(frozen=True)
class Features:
    """Fingerprints of the crystals for which they could be computed.

    Attributes:
        structure: (m, 61) site-averaged fingerprints.
        composition: (m, 114) composition features.
        requested: number of crystals asked for, m or more.
        timed_out, failed: crystals without a fingerprint, and why.
    """

    structure: np.ndarray
    composition: np.ndarray
    requested: int
    timed_out: int
    failed: int


def features(
    crystals: Sequence[Crystal],
    *,
    jobs: int = 1,
    timeout: float | None = 60.0,
    progress: bool = True,
) -> Features:
    """Structure and composition features of a set."""
    with ProcessMap(structure_fingerprint, jobs=jobs, timeout=timeout) as pool:
        outcomes = pool.map(crystals, description="fingerprints", progress=progress)
    good = [i for i, o in enumerate(outcomes) if o.value is not None]
    return Features(
        np.array([outcomes[i].value for i in good]),
        np.array([composition_features(crystals[i].composition) for i in good]),
        len(crystals),
        sum(o.timed_out for o in outcomes),
        sum(o.error is not None for o in outcomes),
    )


def coverage(
    generated: Features, reference: Features, cutoffs: tuple[float, float]
) -> dict[str, Any]:
    """COV-R, COV-P, AMSD-R/P and AMCD-R/P. Crystals without a fingerprint are not covered and
    cover nothing."""
    if not len(generated.structure) or not len(reference.structure):
        structure = composition = np.full(
            (len(generated.structure), len(reference.structure)), np.inf
        )
    else:
        structure = cdist(generated.structure, reference.structure)
        composition = _composition_distances(generated.composition, reference.composition)
    result: dict[str, Any] = {}
    for name, axis, side in (("recall", 0, reference), ("precision", 1, generated)):
        near_s = structure.min(axis=axis, initial=np.inf)
        near_c = composition.min(axis=axis, initial=np.inf)
        covered = np.zeros(side.requested, dtype=bool)
        covered[: len(near_s)] = (near_s <= cutoffs[0]) & (near_c <= cutoffs[1])
        result[f"coverage_{name}"] = rate(covered)
        result[f"structure_distance_{name}"] = _mean_distance(near_s, side.requested)
        result[f"composition_distance_{name}"] = _mean_distance(near_c, side.requested)
    return result


def _composition_distances(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    centre, spread = reference.mean(0), reference.std(0)
    # a property that never varies in the reference set (carbon_24) still tells others apart
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = [(x - centre) / spread for x in (generated, reference)]
    return cdist(*scaled) * distance_scale()


def _mean_distance(nearest: np.ndarray, requested: int) -> dict[str, Any]:
    known: list[float | None] = [float(d) if np.isfinite(d) else None for d in nearest]
    return mean(known + [None] * (requested - len(known)))
