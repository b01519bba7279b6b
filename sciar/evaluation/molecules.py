"""De novo molecules: stability, validity, uniqueness, novelty (EDM, arXiv:2203.17003)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rdkit import Chem

from sciar.errors import UsageError
from sciar.evaluation.bonds import analysed, molecule_from_bonds, sanitised_smiles
from sciar.evaluation.inputs import MoleculeLike, as_molecule, checked_ids
from sciar.evaluation.plausibility import PoseChecks, posebusters_checks
from sciar.evaluation.statistics import bootstrap_means, rate, ratio
from sciar.records import Molecule

BondRule = Literal["qm9", "drugs"]


@dataclass(frozen=True)
class MoleculeRow:
    """The verdict on one molecule.

    Attributes:
        id: identifier.
        parsed: whether there is a molecule at all.
        atoms, stable_atoms: numbers of atoms with coordinates, and of stable ones among them.
        stable: every atom is stable.
        smiles: canonical SMILES from the distances, hydrogens explicit, or ``None`` if invalid.
        graph_smiles: canonical SMILES of the graph that came with the molecule (hydrogens
            removed), ``None`` if it has none or is invalid.
        has_graph: whether it came with a graph.
        novel: its SMILES is not in the training set; ``None`` if unknown or invalid.
        poses: PoseBusters test name -> passed, if asked for.
        poses_timed_out: the PoseBusters tests took too long.
    """

    id: str
    parsed: bool
    atoms: int
    stable_atoms: int
    stable: bool
    smiles: str | None
    graph_smiles: str | None
    has_graph: bool
    novel: bool | None
    poses: dict[str, bool] | None = None
    poses_timed_out: bool = False

    @property
    def valid(self) -> bool:
        """Whether RDKit accepts the molecule that the distances make."""
        return self.smiles is not None


@dataclass(frozen=True)
class MoleculeResult:
    """Rows in the order of the input."""

    rows: list[MoleculeRow]
    bootstrap: int
    seed: int

    def summary(self) -> dict[str, Any]:
        """Every rate with its counts. Rates are over all molecules asked for, failed ones
        included, except: atoms (over atoms of parsed molecules), uniqueness and novelty (over
        valid molecules)."""
        rows, draws = self.rows, {"resamples": self.bootstrap, "seed": self.seed}
        valid = [r.smiles for r in rows if r.smiles is not None]
        summary: dict[str, Any] = {
            "molecules": len(rows),
            "parsed": rate([r.parsed for r in rows]),
            "atom_stability": self._atom_stability(),
            "molecule_stability": rate([r.stable for r in rows], **draws),
            "validity": rate([r.valid for r in rows], **draws),
            "uniqueness_among_valid": ratio(len(set(valid)), len(valid)),
            "valid_and_unique": ratio(len(set(valid)), len(rows)),
        }
        summary.update(_novelty(rows))
        if any(r.has_graph for r in rows):
            summary["graph"] = _graph_summary(rows, draws)
        posed = [r.poses for r in rows if r.poses is not None]
        if posed:
            late = sum(r.poses_timed_out for r in rows)
            summary["posebusters"] = _pose_summary(posed, len(rows), late)
        return summary

    def _atom_stability(self) -> dict[str, Any]:
        atoms = np.array([r.atoms for r in self.rows], dtype=np.float64)
        stable = np.array([r.stable_atoms for r in self.rows], dtype=np.float64)
        total = int(atoms.sum())
        # a ratio of sums: the interval is that of the linearised ratio (Cochran 1977, 6.3)
        share = stable.sum() / total if total else 0.0
        residual = (stable - share * atoms) / atoms.mean() + share if total else stable
        everyone = np.ones(len(atoms), dtype=bool)
        interval = bootstrap_means(residual, everyone, resamples=self.bootstrap, seed=self.seed)
        return ratio(int(stable.sum()), total, interval if total else None)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries."""
        return [{**asdict(row), "valid": row.valid} for row in self.rows]


def _novelty(rows: Sequence[MoleculeRow]) -> dict[str, Any]:
    known = [r for r in rows if r.novel is not None]
    if not known:
        return {}
    novel = {r.smiles for r in known if r.novel}
    return {
        "novelty_among_valid": ratio(sum(bool(r.novel) for r in known), len(known)),
        "valid_unique_and_novel": ratio(len(novel), len(rows)),
    }


def _graph_summary(rows: Sequence[MoleculeRow], draws: dict[str, int]) -> dict[str, Any]:
    smiles = [r.graph_smiles for r in rows if r.graph_smiles is not None]
    return {
        "validity": rate([r.graph_smiles is not None for r in rows], **draws),
        "uniqueness_among_valid": ratio(len(set(smiles)), len(smiles)),
    }


def _pose_summary(poses: Sequence[dict[str, bool]], total: int, late: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name for p in poses for name in p))
    passed = sum(bool(p) and all(p.values()) for p in poses)
    tests = {name: ratio(sum(p.get(name, False) for p in poses), total) for name in names}
    return {"all_tests": ratio(passed, total), "timed_out": ratio(late, total), **tests}


def training_smiles(molecules: Iterable[MoleculeLike], *, rule: BondRule = "qm9") -> set[str]:
    """Canonical SMILES from distances of a training set, comparable with the generated ones."""
    usable = [m for m in map(as_molecule, molecules) if m is not None]
    found = (
        sanitised_smiles(molecule_from_bonds(usable[i].symbols, o, single_only=rule == "drugs"))
        for i, _, o in analysed(usable)
    )
    return {s for s in found if s is not None}


def evaluate_molecules(
    molecules: Sequence[MoleculeLike],
    *,
    ids: Sequence[str] | None = None,
    train: Iterable[MoleculeLike] | set[str] | None = None,
    rule: BondRule = "qm9",
    posebusters: bool = False,
    jobs: int = 1,
    timeout: float | None = 60.0,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> MoleculeResult:
    """Score generated molecules with explicit hydrogens.

    Args:
        molecules: records or RDKit molecules with a conformer; ``None`` is a failed one. Without
            coordinates only the graph is scored.
        ids: identifiers; indices by default.
        train: training molecules, or their SMILES from :func:`training_smiles`, for novelty.
        rule: ``"qm9"`` uses the bond orders of the distances for the RDKit molecule;
            ``"drugs"`` makes every bond single there, as EDM does for GEOM-Drugs.
        posebusters: also run the PoseBusters tests (library ``posebusters``).
        jobs, timeout: worker processes, and seconds per molecule, of PoseBusters.
        bootstrap, seed: resamples of the 95 % intervals, and their seed.
        progress: show a progress bar.

    Raises:
        UsageError: an unknown rule, or ids of the wrong number.
    """
    if rule not in ("qm9", "drugs"):
        raise UsageError(f"the bond rule is 'qm9' or 'drugs', got {rule!r}")
    names = checked_ids(ids, len(molecules))
    parsed = [as_molecule(m) for m in molecules]
    known = _training(train, rule)
    geometry = _geometry(parsed, rule)
    poses: Sequence[PoseChecks | None] = [None] * len(parsed)
    if posebusters:
        mols = [_posed(m, g[2]) for m, g in zip(parsed, geometry, strict=True)]
        poses = posebusters_checks(mols, jobs=jobs, timeout=timeout, progress=progress)
    rows = []
    for name, molecule, (stable, smiles, _), pose in zip(
        names, parsed, geometry, poses, strict=True
    ):
        graph = _graph(molecule)
        rows.append(
            MoleculeRow(
                id=name,
                parsed=molecule is not None,
                atoms=len(stable),
                stable_atoms=int(stable.sum()),
                stable=len(stable) > 0 and bool(stable.all()),
                smiles=smiles,
                graph_smiles=None if graph is None else sanitised_smiles(graph),
                has_graph=graph is not None,
                novel=None if known is None or smiles is None else smiles not in known,
                poses=None if pose is None else pose.passed,
                poses_timed_out=pose is not None and pose.timed_out,
            )
        )
    return MoleculeResult(rows, bootstrap, seed)


def _training(train: Iterable[MoleculeLike] | set[str] | None, rule: BondRule) -> set[str] | None:
    if train is None:
        return None
    if isinstance(train, set) and all(isinstance(s, str) for s in train):
        return {s for s in train if isinstance(s, str)}
    return training_smiles(train, rule=rule)  # type: ignore[arg-type]


Geometry = tuple[np.ndarray, str | None, Chem.Mol | None]


def _geometry(parsed: Sequence[Molecule | None], rule: BondRule) -> list[Geometry]:
    """Per molecule: stable flags, SMILES from the distances, and the molecule behind it."""
    table: list[Geometry] = [(np.zeros(0, dtype=bool), None, None)] * len(parsed)
    places = [i for i, m in enumerate(parsed) if m is not None]
    usable = [m for m in parsed if m is not None]
    for i, stable, orders in analysed(usable):
        mol = molecule_from_bonds(usable[i].symbols, orders, single_only=rule == "drugs")
        smiles = sanitised_smiles(mol)
        table[places[i]] = (stable, smiles, mol if smiles is not None else None)
    return table


def _graph(molecule: Molecule | None) -> Chem.Mol | None:
    """The given graph without hydrogens, unsanitised; ``None`` if there is none."""
    if molecule is None:
        return None
    if molecule.mol is not None:
        if molecule.mol.GetNumAtoms() > 1 and molecule.mol.GetNumBonds() == 0:
            return None
        return Chem.RemoveHs(Chem.Mol(molecule.mol), sanitize=False)
    return Chem.MolFromSmiles(molecule.smiles, sanitize=False) if molecule.smiles else None


def _posed(molecule: Molecule | None, perceived: Chem.Mol | None) -> Chem.Mol | None:
    """The molecule with its own graph, else the perceived one, and its coordinates."""
    if molecule is None or molecule.positions is None:
        return None
    if molecule.mol is not None:
        return molecule.to_rdkit()
    if perceived is None:
        return None
    return Molecule(molecule.symbols, molecule.positions, mol=perceived).to_rdkit()
