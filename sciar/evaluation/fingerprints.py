"""Structure fingerprints: how the sites of a crystal are coordinated.

For every site, CrystalNN (Pan et al., Inorg. Chem. 60, 1590, 2021) gives a weight to each
coordination number from 1 to 24; for the numbers with known motifs the weight is also multiplied
with order parameters of those motifs (Zimmermann and Jain, RSC Adv. 10, 6063, 2020). This is the
set of features called "ops" in matminer, computed with pymatgen: 61 numbers a site, averaged
over the sites.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
from pymatgen.analysis.local_env import CN_OPT_PARAMS, CrystalNN, LocalStructOrderParams

from sciar.records import Crystal

_LARGEST = 24
_STEINHARDT = ("q2", "q4", "q6")


@cache
def _order_parameters() -> dict[int, list[LocalStructOrderParams]]:
    """Coordination number -> its order parameters: pymatgen's motifs, and Steinhardt's q2, q4, q6
    for 9 to 12 neighbours; a single bond for one neighbour."""
    table = {1: [LocalStructOrderParams(["sgl_bd"])]}
    motifs: dict[int, dict[str, list[Any]]] = CN_OPT_PARAMS
    for number, specs in motifs.items():
        table[number] = [
            LocalStructOrderParams([kind], parameters=[settings[0] if settings else None])
            for kind, *settings in specs.values()
        ]
    for number in range(9, 13):
        table.setdefault(number, []).extend(LocalStructOrderParams([q]) for q in _STEINHARDT)
    return table


@cache
def _neighbours() -> CrystalNN:
    return CrystalNN()


def fingerprint_length() -> int:
    """Number of features."""
    return _LARGEST + sum(len(v) for v in _order_parameters().values())


def structure_fingerprint(crystal: Crystal) -> np.ndarray:
    """(61,) site-averaged fingerprint.

    Raises:
        ValueError, RuntimeError: from pymatgen, when no neighbours can be found.
    """
    structure = crystal.to_pymatgen()
    with warnings.catch_warnings():
        # CrystalNN asks for oxidation states, which generated crystals do not have
        warnings.simplefilter("ignore")
        sites = [_site_features(structure, index) for index in range(len(structure))]
    return np.mean(sites, axis=0)


def _site_features(structure: Any, index: int) -> np.ndarray:
    """(61,) features of one site."""
    data = _neighbours().get_nn_data(structure, index)
    features: list[float] = []
    for number in range(1, _LARGEST + 1):
        weight = data.cn_weights.get(number, 0.0)
        features.append(weight)
        for parameter in _order_parameters().get(number, ()):
            features.append(weight * _value(parameter, structure[index], data, number))
    return np.array(features)


def _value(parameter: LocalStructOrderParams, site: Any, data: Any, number: int) -> float:
    neighbours = [n["site"] for n in data.cn_nninfo.get(number, [])]
    if not neighbours:
        return 0.0
    around = list(range(1, len(neighbours) + 1))
    sites: Any = [site, *neighbours]  # any indexable sequence of sites will do
    value = parameter.get_order_parameters(sites, 0, indices_neighs=around)[0]
    return 0.0 if value is None or np.isnan(value) else float(value)
