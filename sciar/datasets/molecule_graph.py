"""The graph of a molecule known by its coordinates: bonds, orders, charges, stereochemistry.

Order of attempts (each only if the one before fails):

1. the bonds that the molecule already has;
2. atoms joined when closer than a factor times the sum of their covalent radii (Cordero et al.,
   Dalton Trans. 2832 (2008), as tabulated in RDKit), factors 1.3, 1.2, 1.4; where an atom then has
   more neighbours than its element can have (diagonals of cages), the relatively longest contacts
   are dropped; orders and charges
   copied from the given SMILES where its skeleton (elements, edges, hydrogens) is the same;
3. orders by RDKit's ``DetermineBondOrders`` (the xyz2mol method: Kim and Kim, Bull. Korean Chem.
   Soc. 36, 1769 (2015)) on the same edges, under an iteration limit so that it cannot hang.

Coordinates win over the SMILES: where they disagree the perceived graph and its SMILES are kept and
:func:`perceive_record` says so in ``properties["graph"]``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sciar.errors import RecordError
from sciar.records import Molecule, Record

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Edges = list[tuple[int, int]]

_RADIUS_FACTORS = (1.3, 1.2, 1.4)
_MAX_NEIGHBOURS = {"H": 1, "F": 1, "O": 3, "C": 4, "N": 4, "B": 4}
_MAX_ITERATIONS = 20_000
_MAX_MATCHES = 64


def perceive(molecule: Molecule) -> Molecule:
    """The same molecule with ``mol`` set: atoms in the order of ``symbols``, one conformer.

    Raises:
        RecordError: no coordinates and no graph, or no chemically valid graph fits the coordinates.
    """
    return _perceive(molecule)[0]


def perceive_record(record: Record) -> Record:
    """``record`` with its molecule perceived; ``properties["graph"]`` tells of a disagreement."""
    if not isinstance(record.structure, Molecule):
        raise RecordError("only molecules have a graph to perceive", record=record.id)
    try:
        molecule, note = _perceive(record.structure)
    except RecordError as error:
        raise error.located(source=record.source, record=record.id) from error
    properties = {**record.properties, "graph": note} if note else record.properties
    return replace(record, structure=molecule, properties=properties)


def _perceive(molecule: Molecule) -> tuple[Molecule, str]:
    if molecule.mol is not None:
        return molecule, ""
    if molecule.positions is None:
        raise RecordError("neither coordinates nor a graph; give one of them", field="positions")
    edge_sets = _edge_sets(molecule)
    if molecule.smiles:
        for edges in edge_sets:
            mol = match_template(molecule.symbols, molecule.positions, edges, molecule.smiles)
            if mol is not None:
                return _with_template_graph(molecule, mol)
    mol = _orders_by_valence(molecule, edge_sets)
    if molecule.smiles is None:
        return replace(molecule, mol=mol, smiles=_smiles(mol)), ""
    note = f"the coordinates disagree with the given SMILES {molecule.smiles}"
    return replace(molecule, mol=mol, smiles=_smiles(mol)), note


def _with_template_graph(molecule: Molecule, mol: Mol) -> tuple[Molecule, str]:
    from rdkit import Chem

    charge = Chem.GetFormalCharge(mol)
    perceived, given = _smiles(mol), str(molecule.smiles)
    if not _has_stereo(given) or perceived in (given, _canonical(given)):
        return replace(molecule, mol=mol, charge=charge), ""
    note = f"the stereochemistry of the coordinates differs from the given SMILES {given}"
    return replace(molecule, mol=mol, smiles=perceived, charge=charge), note


def _has_stereo(smiles: str) -> bool:
    return any(mark in smiles for mark in "@/\\")


def _canonical(smiles: str) -> str:
    from rdkit import Chem

    return str(Chem.CanonSmiles(smiles))


def _smiles(mol: Mol) -> str:
    """Canonical SMILES without conformer or atom order, hydrogens implicit where possible."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return str(Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(mol))))


def _edge_sets(molecule: Molecule) -> list[Edges]:
    """Distinct edge lists from covalent radii, the most usual factor first."""
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
    radii = np.array([table.GetRcovalent(symbol) for symbol in molecule.symbols])
    positions = np.asarray(molecule.positions)
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    if len(molecule) > 1 and distance[~np.eye(len(molecule), dtype=bool)].min() < 0.3:
        raise RecordError("two atoms are closer than 0.3 angstrom", field="positions")
    ratio = distance / (radii[:, None] + radii[None])
    result: list[Edges] = []
    for factor in _RADIUS_FACTORS:
        near = np.triu(ratio < factor, k=1)
        edges = [(int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True)]
        edges = _drop_long_contacts(molecule.symbols, edges, ratio)
        if edges not in result:
            result.append(edges)
    return result


def _drop_long_contacts(symbols: tuple[str, ...], edges: Edges, ratio: np.ndarray) -> Edges:
    """Take the relatively longest edges away from atoms with too many neighbours."""
    degree = np.bincount(np.array(edges, dtype=int).ravel(), minlength=len(symbols))
    limit = np.array([_MAX_NEIGHBOURS.get(symbol, len(symbols)) for symbol in symbols])
    kept = set(edges)
    for i, j in sorted(edges, key=lambda edge: -ratio[edge]):
        if degree[i] > limit[i] or degree[j] > limit[j]:
            kept.remove((i, j))
            degree[[i, j]] -= 1
    return [edge for edge in edges if edge in kept]


def match_template(
    symbols: tuple[str, ...], positions: np.ndarray, edges: Edges, smiles: str
) -> Mol | None:
    """Orders and charges of ``smiles`` laid on the atoms, or ``None`` if the skeletons differ.

    Of several ways to lay it on (a ring with alternating bonds has two) the one is taken whose
    higher orders fall on the shorter bonds.

    Args:
        symbols: n element symbols; without hydrogens only the heavy skeleton is compared.
        positions: (n, 3) angstrom; stereochemistry is taken from them.
        edges: pairs of bonded atoms.
        smiles: the graph.
    """
    template = _kekule_template(smiles)
    if template is None:
        return None
    skeleton = _skeleton(symbols, edges)
    explicit = "H" in symbols
    heavy = [i for i, symbol in enumerate(symbols) if symbol != "H"]
    if not heavy or len(heavy) != template.GetNumAtoms():
        return None
    heavy_edges = [(i, j) for i, j in edges if symbols[i] != "H" and symbols[j] != "H"]
    if len(heavy_edges) != template.GetNumBonds():
        return None
    hydrogens = _hydrogen_counts(symbols, edges)
    wanted = [atom.GetTotalNumHs() for atom in template.GetAtoms()]
    query = _skeleton(
        tuple(atom.GetSymbol() for atom in template.GetAtoms()),
        [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in template.GetBonds()],
    )
    for atom, count in zip(query.GetAtoms(), wanted, strict=True):
        atom.SetIsotope(count + 1 if explicit else 0)
    for atom, count in zip(skeleton.GetAtoms(), hydrogens, strict=True):
        atom.SetIsotope(count + 1 if explicit else 0)
    if explicit and sum(wanted) != len(symbols) - len(heavy):
        return None
    matches = skeleton.GetSubstructMatches(query, uniquify=False, maxMatches=_MAX_MATCHES)
    if not matches:
        return None
    best = min(matches, key=lambda match: _strain(template, match, positions))
    return _lay_on(template, best, Molecule(symbols, positions), edges)


def _kekule_template(smiles: str) -> Mol | None:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        template = Chem.MolFromSmiles(smiles)
        if template is None:
            return None
        template = Chem.RemoveAllHs(template)
        Chem.Kekulize(template, clearAromaticFlags=True)
    return template


def _skeleton(symbols: tuple[str, ...], edges: Edges) -> Mol:
    """Atoms and single bonds only. Isotope labels carry the hydrogen counts in the match."""
    from rdkit import Chem

    editable = Chem.RWMol()
    for symbol in symbols:
        editable.AddAtom(Chem.Atom(symbol))
    for i, j in edges:
        editable.AddBond(i, j, Chem.BondType.SINGLE)
    return editable.GetMol()


def _hydrogen_counts(symbols: tuple[str, ...], edges: Edges) -> list[int]:
    counts = [0] * len(symbols)
    for i, j in edges:
        counts[i] += symbols[j] == "H"
        counts[j] += symbols[i] == "H"
    return counts


def _strain(template: Mol, match: tuple[int, ...], positions: np.ndarray) -> float:
    """Sum of order times length: smallest when multiple bonds sit on short distances."""
    return sum(
        bond.GetBondTypeAsDouble()
        * float(
            np.linalg.norm(
                positions[match[bond.GetBeginAtomIdx()]] - positions[match[bond.GetEndAtomIdx()]]
            )
        )
        for bond in template.GetBonds()
    )


def _lay_on(template: Mol, match: tuple[int, ...], molecule: Molecule, edges: Edges) -> Mol | None:
    from rdkit import Chem, rdBase

    explicit = "H" in molecule.symbols
    mol = Chem.RWMol(molecule.to_rdkit())
    for i, j in edges:
        mol.AddBond(i, j, Chem.BondType.SINGLE)
    for bond in template.GetBonds():
        i, j = match[bond.GetBeginAtomIdx()], match[bond.GetEndAtomIdx()]
        mol.GetBondBetweenAtoms(i, j).SetBondType(bond.GetBondType())
    for atom in template.GetAtoms():
        target = mol.GetAtomWithIdx(match[atom.GetIdx()])
        target.SetFormalCharge(atom.GetFormalCharge())
        target.SetIsotope(atom.GetIsotope())
        target.SetNumRadicalElectrons(atom.GetNumRadicalElectrons())
        target.SetNoImplicit(explicit)
        if not explicit:
            target.SetNumExplicitHs(atom.GetNumExplicitHs())
            target.SetNoImplicit(atom.GetNoImplicit())
    result = mol.GetMol()
    with rdBase.BlockLogs():
        if Chem.SanitizeMol(result, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
        Chem.AssignStereochemistryFrom3D(result)
    return result


def _orders_by_valence(molecule: Molecule, edge_sets: list[Edges]) -> Mol:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    reasons = []
    for edges in edge_sets:
        bonded = {atom for edge in edges for atom in edge}
        if any(s == "H" and i not in bonded for i, s in enumerate(molecule.symbols)):
            reasons.append("a hydrogen is bonded to nothing")
            continue
        mol = Chem.RWMol(molecule.to_rdkit())
        for atom in mol.GetAtoms():
            atom.SetNoImplicit(True)
        for i, j in edges:
            mol.AddBond(i, j, Chem.BondType.SINGLE)
        with rdBase.BlockLogs():
            try:
                rdDetermineBonds.DetermineBondOrders(
                    mol, charge=molecule.charge, maxIterations=_MAX_ITERATIONS
                )
            except (ValueError, RuntimeError) as error:
                reasons.append(str(error).splitlines()[0])
                continue
            if Chem.SanitizeMol(mol, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
                Chem.AssignStereochemistryFrom3D(mol)
                return mol.GetMol()
            reasons.append("valence rules are broken")
    raise RecordError(
        f"no graph with charge {molecule.charge} fits the coordinates ({'; '.join(reasons)}); "
        "check units (angstrom), charge and missing hydrogens, or give bonds",
        field="positions",
    )
