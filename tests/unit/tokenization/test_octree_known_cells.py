"""Known crystals through both layouts of octrees and back: lattice, and a match with themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.evaluation.matching import rms_distance
from sciar.records import Crystal
from sciar.tokenization.octree_compat import TwoTreeTokenizer
from sciar.tokenization.octree_crystal import OctreeCrystalTokenizer
from sciar.tokenization.octree_tokenizer import OctreeTokenizer

LAYOUTS: dict[str, Callable[[], OctreeTokenizer]] = {
    "cell": lambda: OctreeCrystalTokenizer("csp", 20, cell="as-given"),
    "two-trees": lambda: TwoTreeTokenizer("csp", 20),
}


def cells() -> list[Crystal]:
    """One of each prototype of the sample, hexagonal and rhombohedral ones among them."""
    found: dict[str, Crystal] = {}
    for record in read_all(resolve("sample-crystals"))[0]:
        assert isinstance(record.structure, Crystal)
        found.setdefault(str(record.properties["prototype"]), record.structure)
    return list(found.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_known_cell_comes_back(layout: str) -> None:
    known = cells()
    assert len(known) >= 8
    tokenizer = LAYOUTS[layout]()
    tokenizer.fit_statistics(known)
    for augment in (None, np.random.default_rng(1)):
        for given in known:
            found = tokenizer.decode(tokenizer.encode(given, augment=augment))
            assert isinstance(found, Crystal)
            lengths = [np.sort(np.linalg.norm(c.lattice, axis=1)) for c in (found, given)]
            np.testing.assert_allclose(*lengths, atol=0.02)
            distance = rms_distance((found, given))
            assert distance is not None and distance < 0.01
