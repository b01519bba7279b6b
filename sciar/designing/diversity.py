"""A memory of what was rewarded, so that a design run does not find one thing again and again.

As the memory of REINVENT (Blaschke et al., J. Cheminf. 12, 68, 2020): structures like each other
share a bucket, and a bucket that is full is worth nothing more. For molecules likeness is that of
Morgan fingerprints (Tanimoto), for crystals the same formula and space group.
"""

from __future__ import annotations

from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule, Structure


class DiversityFilter:
    """Counts structures by likeness.

    Args:
        size: structures of one bucket that keep their score; 0: the filter is off.
        similarity: Tanimoto similarity from which on molecules share a bucket.

    Raises:
        UsageError: a negative size, or a similarity outside (0, 1].
    """

    def __init__(self, size: int = 10, similarity: float = 0.7) -> None:
        if size < 0 or not 0 < similarity <= 1:
            raise UsageError(f"size {size} is not below zero, similarity {similarity} in (0, 1]")
        self.size, self.similarity = size, similarity
        self._centres: list[tuple[Any, int]] = []
        self._formulas: dict[str, int] = {}

    def admit(self, structure: Structure) -> bool:
        """Whether the bucket of a structure still has room; it is counted either way."""
        if not self.size:
            return True
        if isinstance(structure, Molecule):
            return self._molecule(structure)
        key = _formula(structure)
        self._formulas[key] = self._formulas.get(key, 0) + 1
        return self._formulas[key] <= self.size

    def _molecule(self, molecule: Molecule) -> bool:
        from rdkit import DataStructs

        mark = fingerprint(molecule)
        if self._centres:
            alike = DataStructs.BulkTanimotoSimilarity(mark, [c for c, _ in self._centres])
            best = max(range(len(alike)), key=alike.__getitem__)
            if alike[best] >= self.similarity:
                centre, count = self._centres[best]
                self._centres[best] = centre, count + 1
                return count < self.size
        self._centres.append((mark, 1))
        return True


def fingerprint(molecule: Molecule) -> Any:
    """Morgan fingerprint of radius 2 and 2048 bits.

    Raises:
        RecordError: the molecule has no bonds.
    """
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    if molecule.mol is None:
        raise RecordError("a molecule without bonds has no fingerprint")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    try:
        return generator.GetFingerprint(Chem.RemoveHs(Chem.Mol(molecule.mol)))
    except ValueError as error:
        raise RecordError(f"the molecule cannot be sanitised: {error}") from error


def _formula(structure: Structure) -> str:
    """Reduced formula and space group of a crystal; the class of anything else."""
    if not isinstance(structure, Crystal):
        return type(structure).__name__
    made = structure.to_pymatgen()
    try:
        return f"{made.composition.reduced_formula} {made.get_space_group_info(0.1)[1]}"
    except (TypeError, ValueError):
        return str(made.composition.reduced_formula)
