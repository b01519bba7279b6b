"""Seeded splits: random, by composition, scaffold or sequence. Each returns positions by part."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from sciar.datasets.homologues import Homologues
from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record, Structure, symbols_of

DEFAULT = {"train": 0.8, "val": 0.1, "test": 0.1}


def random_split(
    count: int, fractions: Mapping[str, float] = DEFAULT, *, seed: int = 0
) -> dict[str, list[int]]:
    """Positions 0..count-1 dealt at random; each part sorted.

    Raises:
        UsageError: fractions that are negative or do not add up to 1.
    """
    sizes = _sizes(count, fractions)
    order = np.random.default_rng(seed).permutation(count)
    ends = np.cumsum(list(sizes.values()))
    return {
        name: sorted(int(i) for i in order[end - size : end])
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def grouped_split(
    keys: Sequence[Hashable], fractions: Mapping[str, float] = DEFAULT, *, seed: int = 0
) -> dict[str, list[int]]:
    """Positions dealt group by group: equal keys never end in two parts.

    Groups larger than half of the smallest part go to the largest part first, the others follow in
    seeded random order, each to the part that lacks most; sizes are therefore approximate.
    """
    sizes = _sizes(len(keys), fractions)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        groups[key].append(position)
    members = list(groups.values())
    shuffled = [members[i] for i in np.random.default_rng(seed).permutation(len(members))]
    threshold = max(1.0, min((s for s in sizes.values() if s), default=0) / 2)
    big = sorted((g for g in shuffled if len(g) > threshold), key=len, reverse=True)
    parts: dict[str, list[int]] = {name: [] for name in sizes}
    largest = max(sizes, key=lambda name: sizes[name])
    for group in [*big, *(g for g in shuffled if len(g) <= threshold)]:
        lacking = {name: size - len(parts[name]) for name, size in sizes.items()}
        fits = lacking[largest] >= len(group)
        name = (
            largest if len(group) > threshold and fits else max(lacking, key=lambda n: lacking[n])
        )
        parts[name].extend(group)
    return {name: sorted(part) for name, part in parts.items()}


def composition_split(
    records: Sequence[Record], fractions: Mapping[str, float] = DEFAULT, *, seed: int = 0
) -> dict[str, list[int]]:
    """Grouped by reduced formula, so that no composition is in two parts."""
    return grouped_split([reduced_formula(r.structure) for r in records], fractions, seed=seed)


def scaffold_split(
    records: Sequence[Record], fractions: Mapping[str, float] = DEFAULT, *, seed: int = 0
) -> dict[str, list[int]]:
    """Grouped by Bemis-Murcko scaffold (J. Med. Chem. 39, 2887 (1996)).

    Acyclic molecules have no scaffold and form one group.

    Raises:
        RecordError: a record that is no molecule or has no graph.
    """
    return grouped_split([scaffold(record) for record in records], fractions, seed=seed)


def sequence_split(
    records: Sequence[Record], fractions: Mapping[str, float] = DEFAULT, *, seed: int = 0
) -> dict[str, list[int]]:
    """Grouped by family: proteins with equal or homologous sequences, and the relatives of these.

    The sequence of a record is its property ``sequence``; what is homologous, see
    :mod:`sciar.datasets.homologues`.

    Raises:
        RecordError: a record without a sequence.
    """
    return grouped_split(families([_sequence(r) for r in records]), fractions, seed=seed)


def families(sequences: Sequence[str]) -> list[int]:
    """Number of the family of each sequence: connected components of the relation of homology."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    distinct = list(dict.fromkeys(sequences))
    index = Homologues(distinct)
    near = [index.relatives(sequence) for sequence in distinct]
    rows = np.repeat(np.arange(len(distinct)), [len(x) for x in near])
    columns = np.concatenate([*near, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    pairs = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(distinct),) * 2)
    number = dict(
        zip(distinct, connected_components(pairs, directed=False)[1].tolist(), strict=True)
    )
    return [number[sequence] for sequence in sequences]


def _sequence(record: Record) -> str:
    found = record.properties.get("sequence")
    if not isinstance(found, str) or not found:
        raise RecordError(
            "the record has no sequence to split by", record=record.id, field="sequence"
        )
    return found


def reduced_formula(structure: Structure) -> str:
    """Element counts divided by their common divisor, elements in alphabetical order."""
    symbols = symbols_of(structure)
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
    divisor = math.gcd(*counts.values())
    return " ".join(f"{symbol}{count // divisor}" for symbol, count in counts.items())


def scaffold(record: Record) -> str:
    """Canonical SMILES of the record's Bemis-Murcko scaffold, empty for acyclic molecules."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    molecule = record.structure
    if not isinstance(molecule, Molecule):
        raise RecordError(
            "only molecules have a scaffold; split crystals by composition", record=record.id
        )
    mol = molecule.mol
    if mol is None and molecule.smiles is not None:
        mol = Chem.MolFromSmiles(molecule.smiles)
    if mol is None:
        raise RecordError("no graph; perceive it before a scaffold split", record=record.id)
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=Chem.RemoveHs(mol)))


def _sizes(count: int, fractions: Mapping[str, float]) -> dict[str, int]:
    total = sum(fractions.values())
    if not fractions or min(fractions.values()) < 0 or abs(total - 1) > 1e-6:
        raise UsageError(f"fractions must be positive and add up to 1, got {dict(fractions)}")
    ends = [round(count * end) for end in np.cumsum(list(fractions.values()))]
    return dict(zip(fractions, np.diff([0, *ends]).tolist(), strict=True))
