"""Whether two structures are the same but for orientation, origin and the order of their atoms."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import assert_never

import numpy as np

from sciar.records import Crystal, Molecule, Protein, Structure, no_atoms, symbols_of


def assert_same_structure(actual: Structure, expected: Structure, tolerance: float) -> None:
    """Compare composition, size and all interatomic distances by pair of elements.

    Crystals are compared by distances to periodic images too, so that the choice of the cell and of
    its origin does not matter. A mirror image has the same distances and passes.

    Args:
        actual: what came back.
        expected: what it should be.
        tolerance: largest difference of corresponding distances, in angstrom.

    Raises:
        AssertionError: they differ; the message says in what.
    """
    assert type(actual) is type(expected), f"{type(actual).__name__} came back"
    assert _symbols(actual) == _symbols(expected), (
        f"composition {dict(_symbols(actual))} instead of {dict(_symbols(expected))}"
    )
    if isinstance(actual, Crystal) and isinstance(expected, Crystal):
        ratio = actual.volume / expected.volume
        assert abs(ratio - 1) < 10 * tolerance, f"the volume changed by a factor of {ratio:.4f}"
    # compare as many shortest distances of each pair as both have: a shell may be cut at its edge
    found, wanted = distances(actual), distances(expected)
    assert found.keys() == wanted.keys(), "other pairs of elements are neighbours"
    for pair, lengths in wanted.items():
        count = min(len(lengths), len(found[pair]))
        worst = float(np.abs(lengths[:count] - found[pair][:count]).max(initial=0.0))
        assert worst <= tolerance, (
            f"{'-'.join(pair)} distances differ by up to {worst:.4g} angstrom"
        )


def distances(structure: Structure, cutoff: float = 6.0) -> dict[tuple[str, str], np.ndarray]:
    """Sorted distances of each pair of elements; a crystal's are those up to ``cutoff``."""
    match structure:
        case Molecule():
            if structure.positions is None:
                return {}
            pairs = _molecule_pairs(structure.symbols, structure.positions)
        case Crystal():
            pairs = _crystal_pairs(structure, cutoff)
        case Protein():
            raise no_atoms()
        case _:
            assert_never(structure)
    return {pair: np.sort(np.array(lengths)) for pair, lengths in pairs.items()}


def _symbols(structure: Structure) -> Counter[str]:
    return Counter(symbols_of(structure))


def _molecule_pairs(
    symbols: Sequence[str], positions: np.ndarray
) -> dict[tuple[str, str], list[float]]:
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for i, j in itertools.combinations(range(len(symbols)), 2):
        first, second = sorted((symbols[i], symbols[j]))
        pairs[first, second].append(float(np.linalg.norm(positions[i] - positions[j])))
    return pairs


def _crystal_pairs(crystal: Crystal, cutoff: float) -> dict[tuple[str, str], list[float]]:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms("X" * len(crystal), scaled_positions=crystal.frac, cell=crystal.lattice, pbc=True)
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for i, j, length in zip(*neighbor_list("ijd", atoms, cutoff), strict=True):
        first, second = sorted((crystal.species[i], crystal.species[j]))
        pairs[first, second].append(float(length))
    return pairs
