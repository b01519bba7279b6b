"""What a known structure becomes for another composition: elements exchanged, cell scaled."""

from __future__ import annotations

import numpy as np

from sciar.records import Crystal
from sciar.retrieval.elements import index_of, property_columns


def substituted(
    crystal: Crystal, exchange: dict[str, str], *, repeat: int = 1, rescale: bool = True
) -> Crystal:
    """The crystal with other elements, its cell scaled by the ratio of summed molar volumes.

    Args:
        crystal: known structure.
        exchange: element -> element that takes its places.
        repeat: cells in the result, along the shortest vector so that it stays compact.
        rescale: whether to scale the cell. On 400 validation crystals of mp_20 this lowers the
            median error of the volume from 7.0 to 4.5 %.
    """
    species = tuple(exchange[s] for s in crystal.species)
    lattice = crystal.lattice
    if rescale:
        lattice = lattice * (volume_of(species) / volume_of(crystal.species)) ** (1 / 3)
    made = Crystal(lattice, species, crystal.frac)
    return made if repeat == 1 else repeated(made, repeat)


def volume_of(species: tuple[str, ...]) -> float:
    """Sum of the molar volumes of the elements, one for each site."""
    volumes = property_columns()["molar_volume"]
    return float(volumes[[index_of()[s] for s in species]].sum())


def repeated(crystal: Crystal, times: int) -> Crystal:
    """A supercell, repeated along the shortest vector; the sites of each cell follow in order."""
    axis = int(np.linalg.norm(crystal.lattice, axis=1).argmin())
    scale = np.ones(3)
    scale[axis] = times
    shifts = np.zeros((times, 1, 3))
    shifts[:, 0, axis] = np.arange(times)
    frac = ((crystal.frac[None] + shifts) / scale).reshape(-1, 3)
    return Crystal(crystal.lattice * scale[:, None], crystal.species * times, frac)
