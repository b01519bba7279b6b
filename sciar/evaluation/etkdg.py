"""RDKit's ETKDGv3 conformers, the classical baseline of every conformer table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from sciar.errors import UsageError
from sciar.evaluation.inputs import packed, unpacked
from sciar.evaluation.processes import ProcessMap


def _embed(task: tuple[bytes, int, int, bool]) -> list[bytes]:
    data, count, seed, mmff = task
    mol = Chem.AddHs(Chem.RemoveHs(unpacked(data)))
    mol.RemoveAllConformers()
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.numThreads = 1
    places = list(rdDistGeom.EmbedMultipleConfs(mol, count, parameters))
    if not places:
        parameters.useRandomCoords = True  # helps crowded and macrocyclic molecules
        places = list(rdDistGeom.EmbedMultipleConfs(mol, count, parameters))
    if mmff and places:
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, numThreads=1)
    return [packed(_single(mol, place)) for place in places]


def _single(mol: Chem.Mol, place: int) -> Chem.Mol:
    """A copy with one conformer, numbered 0 as other libraries expect."""
    copy = Chem.Mol(mol, confId=place)
    copy.GetConformer().SetId(0)
    return copy


def etkdg_baseline(
    mols: Sequence[Chem.Mol],
    n: int | Sequence[int],
    seed: int = 0,
    *,
    mmff: bool = False,
    jobs: int = 1,
    timeout: float | None = 300.0,
    progress: bool = True,
) -> list[list[Chem.Mol | None]]:
    """ETKDGv3 conformers (Wang et al., J. Chem. Inf. Model. 60, 2044, 2020).

    Args:
        mols: molecules whose graph and stereo marks are used; their coordinates are not.
        n: conformers per molecule, one number or one per molecule.
        seed: each molecule's own seed is derived from (seed, index).
        mmff: relax with MMFF94 afterwards.
        jobs, timeout: worker processes, and seconds per molecule.
        progress: show a progress bar.

    Returns:
        Per molecule n molecules with hydrogens and one conformer each; ``None`` for those that
        could not be embedded.

    Raises:
        UsageError: counts below 1, or not one count per molecule.
    """
    counts = [n] * len(mols) if isinstance(n, int) else list(n)
    if len(counts) != len(mols) or any(c < 1 for c in counts):
        raise UsageError("give one number of conformers, at least 1, for each molecule")
    seeds = [int(np.random.default_rng((seed, i)).integers(1, 2**31 - 1)) for i in range(len(mols))]
    tasks = [(packed(m), c, s, mmff) for m, c, s in zip(mols, counts, seeds, strict=True)]
    with ProcessMap(_embed, jobs=jobs, timeout=timeout) as pool:
        outcomes = pool.map(tasks, description="ETKDG", progress=progress)
    results: list[list[Any]] = []
    for count, outcome in zip(counts, outcomes, strict=True):
        found = [unpacked(data) for data in outcome.value or []]
        results.append(found + [None] * (count - len(found)))
    return results
