"""Prototypes: what is left of a crystal when elements, distances and the cell are forgotten.

The label joins the anonymous formula, the space group, and for each element the orbits of its sites
(how many in a primitive cell, and their site symmetry). Unlike Wyckoff letters, these hang on no
choice of origin or setting. Crystals of one prototype share a label; the reverse does not hold
where coordinates are free, so "absent from training" is the safe reading of the two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sciar.evaluation.processes import ProcessMap
from sciar.records import Crystal
from sciar.retrieval.patterns import anonymous

PRECISION = 0.1
"""Tolerance of the symmetry, in angstrom."""


def prototype(crystal: Crystal) -> str | None:
    """The label of a crystal's prototype; ``None`` where no symmetry is found.

    Two crystals of one structure type have equal labels: rock salt is ``AB 225 1xm-3m 1xm-3m``.
    """
    import spglib

    numbers = {symbol: i for i, symbol in enumerate(sorted(set(crystal.species)), start=1)}
    types = [numbers[symbol] for symbol in crystal.species]
    cell = (crystal.lattice.tolist(), crystal.frac.tolist(), types)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=PRECISION)
    except spglib.SpglibError:
        return None
    if found is None:
        return None
    cells = len(crystal) // (int(max(found.mapping_to_primitive)) + 1)
    sizes = Counter(int(orbit) for orbit in found.crystallographic_orbits)
    orbits: dict[str, list[str]] = defaultdict(list)
    for orbit, size in sorted(sizes.items()):
        symmetry = found.site_symmetry_symbols[orbit]
        orbits[crystal.species[orbit]].append(f"{size // max(cells, 1)}x{symmetry}")
    counts = crystal.composition
    # Elements by count, then by their orbits, so that the label hangs on no element.
    described = sorted((-counts[s], "+".join(sorted(parts))) for s, parts in orbits.items())
    divisor = _divisor([count for count, _ in described])
    formula = anonymous(-count // divisor for count, _ in described)
    return " ".join([formula, str(found.number), *(text for _, text in described)])


def _divisor(counts: Sequence[int]) -> int:
    from functools import reduce
    from math import gcd

    return reduce(gcd, (abs(count) for count in counts))


def prototypes(
    crystals: Sequence[Crystal],
    *,
    jobs: int = 1,
    timeout: float | None = 60.0,
    progress: bool = True,
) -> list[str | None]:
    """Labels of many crystals; ``None`` where there is none, or it took too long."""
    with ProcessMap(prototype, jobs=jobs, timeout=timeout) as pool:
        return [x.value for x in pool.map(crystals, description="prototypes", progress=progress)]
