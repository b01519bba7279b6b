"""Bond orders from distances, stability, and the molecule that those bonds make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from rdkit import Chem, rdBase

from sciar.evaluation.edm_tables import allowed_valences, bond_thresholds
from sciar.records import Molecule

_BOND_TYPES = {
    1: Chem.BondType.SINGLE,
    2: Chem.BondType.DOUBLE,
    3: Chem.BondType.TRIPLE,
}
_BATCH_ENTRIES = 2_000_000


def bond_orders(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Bond orders of a batch of molecules with equally many atoms.

    A pair is at least singly bonded if it is closer than the single-bond threshold, doubly if it
    is also closer than the double-bond one, and so on (EDM).

    Args:
        numbers: (m, n) atomic numbers.
        positions: (m, n, 3) angstrom.

    Returns:
        (m, n, n) int8, symmetric, zero on the diagonal.
    """
    delta = positions[:, :, None, :] - positions[:, None, :, :]
    distance = np.sqrt(np.einsum("mijk,mijk->mij", delta, delta))
    limits = bond_thresholds()[:, numbers[:, :, None], numbers[:, None, :]]
    orders = np.zeros(distance.shape, dtype=np.int8)
    bonded = np.ones(distance.shape, dtype=bool)
    for limit in limits:
        bonded &= distance < limit
        orders += bonded
    diagonal = np.arange(numbers.shape[1])
    orders[:, diagonal, diagonal] = 0
    return orders


def stable_atoms(numbers: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(m, n) booleans: atoms whose bond orders add up to an allowed valence."""
    table = allowed_valences()
    totals = np.minimum(orders.sum(-1, dtype=np.int64), table.shape[1] - 1)
    return table[numbers, totals]


def analysed(molecules: Sequence[Molecule]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Per molecule with coordinates: index, (n,) stable flags, (n, n) bond orders.

    Molecules of equal size are handled together; the order of the results is not the input's.
    """
    number = Chem.GetPeriodicTable().GetAtomicNumber
    by_size = defaultdict(list)
    for i, molecule in enumerate(molecules):
        if molecule.positions is not None:
            by_size[len(molecule)].append(i)
    for size, members in by_size.items():
        step = max(1, _BATCH_ENTRIES // size**2)
        for start in range(0, len(members), step):
            part = members[start : start + step]
            numbers = np.array([[number(s) for s in molecules[i].symbols] for i in part])
            positions = np.stack([np.asarray(molecules[i].positions) for i in part])
            orders = bond_orders(numbers, positions)
            stable = stable_atoms(numbers, orders)
            yield from zip(part, stable, orders, strict=True)


def molecule_from_bonds(
    symbols: Sequence[str], orders: np.ndarray, *, single_only: bool = False
) -> Chem.RWMol:
    """An RDKit molecule with these bonds, not sanitised.

    Args:
        symbols: n element symbols.
        orders: (n, n) bond orders 0 to 3.
        single_only: every bond is made single, as EDM does for drug-like molecules.
    """
    mol = Chem.RWMol()
    for symbol in symbols:
        mol.AddAtom(Chem.Atom(symbol))
    for i, j in zip(*np.nonzero(np.triu(orders, k=1)), strict=True):
        order = 1 if single_only else int(orders[i, j])
        mol.AddBond(int(i), int(j), _BOND_TYPES[order])
    return mol


def sanitised_smiles(mol: Chem.Mol) -> str | None:
    """Canonical SMILES of the largest fragment, ``None`` if RDKit rejects the molecule.

    The whole molecule is sanitised first (EDM), so one impossible fragment fails it.
    """
    with rdBase.BlockLogs():  # thousands of messages about rejected molecules help nobody
        try:
            Chem.SanitizeMol(mol)
            fragments = Chem.GetMolFrags(mol, asMols=True)
            largest = max(fragments, key=lambda m: m.GetNumAtoms(), default=mol)
            Chem.SanitizeMol(largest)
        except ValueError:  # every sanitisation error of RDKit is one
            return None
        return Chem.MolToSmiles(largest)
