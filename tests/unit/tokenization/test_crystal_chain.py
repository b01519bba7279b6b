"""Crystals as chains of nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from cursor_walks import assert_replayed
from pymatgen.analysis.structure_matcher import StructureMatcher

from sciar.errors import RecordError
from sciar.records import Crystal, Molecule
from sciar.tokenization.crystal_chain import ChainedCrystalTokenizer, chain

MATCHER = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, primitive_cell=False, scale=False)


def diamond() -> Crystal:
    """Eight-atom cell of diamond."""
    base = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    return Crystal(3.567 * np.eye(3), ("C",) * 8, np.concatenate([base, base + 0.25]))


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_round_trip(crystals: list[Crystal], seed: int | None, task: str) -> None:
    tokenizer = ChainedCrystalTokenizer(task)
    for crystal in crystals:
        augment = None if seed is None else np.random.default_rng(seed)
        decoded = tokenizer.decode(tokenizer.encode(crystal, augment=augment))
        assert isinstance(decoded, Crystal)
        assert decoded.composition == crystal.composition
        assert MATCHER.fit(crystal.to_pymatgen(), decoded.to_pymatgen())


def test_links_of_diamond_are_bonds() -> None:
    tokenizer = ChainedCrystalTokenizer()
    sequence = tokenizer.encode(diamond())
    positions = sequence.payload(2, 3)
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    bond = 3.567 * np.sqrt(3) / 4
    assert (np.abs(steps - bond) < 0.02).sum() >= 5  # a chain may have to jump at its end
    assert steps.min() > bond - 0.02


def test_every_link_is_the_nearest_site_left(crystals: list[Crystal]) -> None:
    """Against a search over many images."""
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3)
    for crystal in [c for c in crystals if 2 <= len(c) <= 8][:10]:
        lattice = crystal.to_pymatgen().lattice.get_niggli_reduced_lattice()
        frac = lattice.get_fractional_coords(crystal.frac @ crystal.lattice)
        links, positions = chain(("C",) * len(frac), frac, lattice.matrix)
        for i in range(1, len(links)):
            left = [j for j in range(len(frac)) if j not in links[:i]]
            images = (frac[left][:, None] - frac[links[i - 1]] + shifts) @ lattice.matrix
            nearest = np.linalg.norm(images, axis=-1).min()
            assert np.linalg.norm(positions[i] - positions[i - 1]) < nearest + 0.06


def test_cursor_rebuilds_the_sequence(crystals: list[Crystal]) -> None:
    tokenizer = ChainedCrystalTokenizer()
    for crystal in crystals[:12]:
        request = tokenizer.request({"composition": dict(crystal.composition)})
        assert_replayed(tokenizer, request, tokenizer.encode(crystal))


def test_local_targets_do_not_depend_on_the_orientation_of_later_sites() -> None:
    """The third and later sites are seen from the sites before them: bond length and angles."""
    tokenizer = ChainedCrystalTokenizer()
    fields = tokenizer.fields(diamond())
    segment = next(s for s in tokenizer.layout.segments if s.name == "sites")
    slots = fields["sites"]
    targets = tokenizer.targets(segment, slots)
    steps = np.linalg.norm(np.diff(slots.values, axis=0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), steps, atol=1e-6)


def test_single_atoms_and_wrong_input() -> None:
    tokenizer = ChainedCrystalTokenizer()
    lone = Crystal(3.0 * np.eye(3), ("Fe",), np.zeros((1, 3)))
    tokenizer.fit_statistics([lone, diamond()])
    decoded = tokenizer.decode(tokenizer.encode(lone))
    assert isinstance(decoded, Crystal) and decoded.species == ("Fe",)
    with pytest.raises(RecordError, match="not molecules"):
        tokenizer.fields(Molecule(("C",), np.zeros((1, 3))))
    with pytest.raises(RecordError, match="at most 24"):
        tokenizer.encode(
            Crystal(9 * np.eye(3), ("C",) * 25, np.random.default_rng(0).random((25, 3)))
        )
