"""Conformer ensembles: coverage and matching (Ganea et al., GeoMol, arXiv:2106.07802).

With the RMSD of RDKit's ``GetBestRMS`` (optimal rotation, graph symmetry, no reflection) between
hydrogen-free molecules::

    COV-R = share of references r with min_g RMSD(g, r) <= delta
    MAT-R = mean over r of min_g RMSD(g, r)

and COV-P, MAT-P with the roles of generated g and reference r swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolAlign

from sciar.errors import RecordError, UsageError
from sciar.evaluation.inputs import MoleculeLike, checked_ids, packed, unpacked
from sciar.evaluation.processes import Outcome, ProcessMap
from sciar.evaluation.statistics import mean, ratio
from sciar.records import Molecule

THRESHOLDS = {"qm9": 0.5, "drugs": 1.25}
"""delta in angstrom of GEOM-QM9 and GEOM-Drugs."""


@dataclass(frozen=True)
class ConformerRow:
    """The verdict on one molecule.

    Attributes:
        id: identifier.
        references, requested, parsed: numbers of conformers.
        cov_r, cov_p: coverage as fractions; 0 without usable conformers.
        mat_r, mat_p: matching in angstrom; ``None`` without usable conformers.
        timed_out: the comparison took too long.
        message: why the comparison failed, or ``None``.
    """

    id: str
    references: int
    requested: int
    parsed: int
    cov_r: float
    mat_r: float | None
    cov_p: float
    mat_p: float | None
    timed_out: bool
    message: str | None


@dataclass(frozen=True)
class ConformerResult:
    """Rows in the order of the molecules."""

    rows: list[ConformerRow]
    threshold: float
    bootstrap: int
    seed: int

    def summary(self) -> dict[str, Any]:
        """Means (with intervals) and medians over molecules, beside the counts."""
        rows = self.rows
        requested = sum(r.requested for r in rows)
        summary: dict[str, Any] = {
            "molecules": len(rows),
            "threshold_angstrom": self.threshold,
            "reference_conformers": sum(r.references for r in rows),
            "conformers_parsed": ratio(sum(r.parsed for r in rows), requested),
            "molecules_timed_out": ratio(sum(r.timed_out for r in rows), len(rows)),
            "molecules_failed": ratio(sum(r.message is not None for r in rows), len(rows)),
        }
        columns: dict[str, Callable[[ConformerRow], float | None]] = {
            "cov_r": lambda r: r.cov_r,
            "mat_r": lambda r: r.mat_r,
            "cov_p": lambda r: r.cov_p,
            "mat_p": lambda r: r.mat_p,
        }
        for name, column in columns.items():
            values = [column(r) for r in rows]
            known = [v for v in values if v is not None]
            summary[f"{name}_mean"] = mean(values, resamples=self.bootstrap, seed=self.seed)
            summary[f"{name}_median"] = float(np.median(known)) if known else None
        return summary

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries."""
        return [asdict(row) for row in self.rows]


def _as_mol(molecule: MoleculeLike) -> Chem.Mol | None:
    """The molecule without hydrogens, ``None`` if it has no graph or no coordinates."""
    if molecule is None:
        return None
    if isinstance(molecule, Molecule):
        if molecule.positions is None or molecule.mol is None:
            return None
        molecule = molecule.to_rdkit()
    return Chem.RemoveHs(molecule) if molecule.GetNumConformers() else None


def rmsd_matrix(pair: tuple[Sequence[bytes], Sequence[bytes]]) -> np.ndarray:
    """(generated, references) RMSD in angstrom between hydrogen-free molecules of one graph.

    Args:
        pair: two lists of molecules as :func:`sciar.evaluation.inputs.packed` gives them.
    """
    references = [unpacked(data) for data in pair[1]]
    rows = []
    for data in pair[0]:
        # GetBestRMS moves its first argument, so each comparison starts from the original
        rows.append([rdMolAlign.GetBestRMS(unpacked(data), r) for r in references])
    return np.array(rows)


def evaluate_conformers(
    generated: Sequence[Sequence[MoleculeLike]],
    references: Sequence[Sequence[MoleculeLike]],
    *,
    ids: Sequence[str] | None = None,
    threshold: float = THRESHOLDS["qm9"],
    jobs: int = 1,
    timeout: float | None = 300.0,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> ConformerResult:
    """Coverage and matching of generated conformers.

    Args:
        generated: per molecule, its conformers (RDKit molecules, or records with a graph);
            ``None`` is a failed one. The usual number is twice that of the references.
        references: per molecule, its reference conformers, all with the same graph.
        ids: identifiers; indices by default.
        threshold: delta in angstrom, see :data:`THRESHOLDS`.
        jobs, timeout: worker processes, and seconds per molecule.
        bootstrap, seed: resamples of the 95 % intervals, and their seed.
        progress: show a progress bar.

    Raises:
        UsageError: lists of different lengths, or a threshold that is not positive.
        RecordError: a molecule without a usable reference conformer.
    """
    if len(generated) != len(references):
        raise UsageError(
            f"{len(generated)} lists of conformers for {len(references)} lists of references; "
            "give one list per molecule"
        )
    if not threshold > 0:
        raise UsageError(f"the RMSD threshold must be positive, got {threshold}")
    names = checked_ids(ids, len(references))
    truths = [_references(group, name) for group, name in zip(references, names, strict=True)]
    parsed = [[m for m in map(_as_mol, group) if m is not None] for group in generated]
    places = [i for i, group in enumerate(parsed) if group]
    with ProcessMap(rmsd_matrix, jobs=jobs, timeout=timeout) as pool:
        items = [([*map(packed, parsed[i])], [*map(packed, truths[i])]) for i in places]
        found = pool.map(items, description="RMSD", progress=progress)
    outcomes = dict(zip(places, found, strict=True))
    rows = [
        _row(name, truth, group, len(asked), outcomes.get(i), threshold)
        for i, (name, truth, group, asked) in enumerate(
            zip(names, truths, parsed, generated, strict=True)
        )
    ]
    return ConformerResult(rows, threshold, bootstrap, seed)


def _references(group: Sequence[MoleculeLike], name: str) -> list[Chem.Mol]:
    mols = [m for m in map(_as_mol, group) if m is not None]
    if not mols:
        raise RecordError(
            "no usable reference conformer; give molecules with bonds and coordinates", record=name
        )
    return mols


def _row(
    name: str,
    truth: Sequence[Chem.Mol],
    parsed: Sequence[Chem.Mol],
    requested: int,
    outcome: Outcome | None,
    threshold: float,
) -> ConformerRow:
    matrix = None if outcome is None else outcome.value
    message = None if outcome is None else outcome.error
    recall = precision = None
    if matrix is not None:
        recall, precision = matrix.min(axis=0), matrix.min(axis=1)
    return ConformerRow(
        id=name,
        references=len(truth),
        requested=requested,
        parsed=len(parsed),
        cov_r=0.0 if recall is None else float((recall <= threshold).mean()),
        mat_r=None if recall is None else float(recall.mean()),
        cov_p=0.0 if precision is None else float((precision <= threshold).mean()),
        mat_p=None if precision is None else float(precision.mean()),
        timed_out=outcome is not None and outcome.timed_out,
        message=message,
    )
