"""Do constraints hold whatever the network says? Random requests, and numbers drawn at random.

    python scripts/constraint_satisfaction.py --count 1000

Each request is one sample of a network that says anything: words are drawn evenly among those that
the grammar allows, numbers from wide distributions. Printed is how many keep what is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from sciar.errors import RecordError
from sciar.records import Crystal, Molecule
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.cursor import Choice, End, Request
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.symmetry import SpaceGroup, space_group

GROUPS = (
    1,
    2,
    5,
    14,
    15,
    19,
    36,
    62,
    63,
    99,
    136,
    139,
    148,
    166,
    176,
    186,
    194,
    198,
    216,
    221,
    225,
)
FRAGMENTS = ("c1ccccc1", "CC(=O)N", "C1CCNCC1", "CO", "c1ccc2[nH]ccc2c1", "C#C", "CS(=O)(=O)N")


def sample(tokenizer: LayoutTokenizer, request: Request, rng: np.random.Generator) -> object:
    """One structure, or ``None`` if the walk could not be finished."""
    cursor = tokenizer.cursor(request)
    while not isinstance(expected := cursor.expect(), End):
        if isinstance(expected, Choice):
            cursor.push_token(int(rng.choice(np.flatnonzero(expected.mask))))
        elif tokenizer.vocabulary.slots[expected.kind - 1].width == 6:
            cursor.push_value(np.concatenate([rng.normal(0.8, 0.3, 3), rng.normal(0, 0.1, 3)]))
        else:
            cursor.push_value(rng.random(3))
    if expected.failure:
        return None
    return tokenizer.finish(tokenizer.decode(cursor.sequence()), request)


def kept_by(crystal: Crystal, group: SpaceGroup) -> bool:
    """Whether the crystal has at least the operations of a group, by spglib at 0.001 angstrom."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    found = SpacegroupAnalyzer(crystal.to_pymatgen(), symprec=1e-3).get_symmetry_operations()
    return len(found) >= len(group.rotations)


def groups(count: int, rng: np.random.Generator) -> Iterator[bool]:
    """Space groups with compositions that they can hold."""
    tokenizer = CrystalTokenizer("csp", max_atoms=24, cell="as-given")
    done = 0
    while done < count:
        number = int(rng.choice(GROUPS))
        counts = rng.integers(1, 13, int(rng.integers(1, 4)))
        elements = rng.choice(["Na", "Cl", "Ti", "O", "Sr"], len(counts), replace=False)
        composition = {str(e): int(n) for e, n in zip(elements, counts, strict=True)}
        try:
            request = tokenizer.request({"composition": composition, "space_group": number})
        except RecordError:
            continue  # the group cannot hold it, or it is too large
        made, done = sample(tokenizer, request, rng), done + 1
        right = isinstance(made, Crystal) and dict(made.composition) == composition
        yield right and kept_by(made, space_group(number))  # type: ignore[arg-type]


def sites(count: int, rng: np.random.Generator) -> Iterator[bool]:
    """Fixed sites of random elements."""
    tokenizer = CrystalTokenizer("denovo", max_atoms=24, cell="as-given")
    for _ in range(count):
        fixed = {"Sr": rng.random((int(rng.integers(1, 3)), 3)), "O": rng.random((2, 3))}
        wanted = [{"element": s, "frac": f.tolist()} for s, own in fixed.items() for f in own]
        made = sample(
            tokenizer, tokenizer.request({"composition": "Sr2 Ti O4", "sites": wanted}), rng
        )
        yield isinstance(made, Crystal) and all(
            (np.abs(made.frac - f).max(1) < 1e-9).any() for own in fixed.values() for f in own
        )


def scaffolds(count: int, rng: np.random.Generator) -> Iterator[bool]:
    """Fragments with coordinates."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    tokenizer = MoleculeTokenizer("denovo", max_atoms=36)
    requests = []
    for smiles in FRAGMENTS:
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(mol, randomSeed=7)
        fragment = Molecule.from_rdkit(mol)
        heavy = [i for i, s in enumerate(fragment.symbols) if s != "H"]
        assert fragment.positions is not None
        requests.append((tokenizer.request({"scaffold": fragment}), fragment.positions[heavy]))
    for i in range(count):
        request, positions = requests[i % len(requests)]
        made = sample(tokenizer, request, rng)
        yield (
            isinstance(made, Molecule)
            and made.positions is not None
            and bool(
                (np.linalg.norm(positions[:, None] - made.positions, axis=-1).min(1) < 1e-9).all()
            )
        )


def main() -> None:
    """Print one line a kind of constraint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds: dict[str, Callable[[int, np.random.Generator], Iterator[bool]]] = {
        "fixed sites": sites, "space group": groups, "scaffold": scaffolds,
    }  # fmt: skip
    for name, kind in kinds.items():
        kept = list(kind(options.count, np.random.default_rng(options.seed)))
        print(f"{name}: {sum(kept):,} of {len(kept):,}", flush=True)


if __name__ == "__main__":
    main()
