"""Proteins as labelled points, and through the octree and back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sciar.datasets.protein_points import HEAVY, RESIDUES, read_points
from sciar.errors import RecordError, UsageError
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer

ATOMS = (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"), ("H", "H"))


def pdb(path: Path, residues: tuple[str, ...] = ("ALA", "SER", "MSE")) -> np.ndarray:
    """A file of one chain and one water; returns the C-alpha positions."""
    rng = np.random.default_rng(0)
    lines, at, calphas = [], 0, []
    for i, residue in enumerate(residues):
        for name, element in ATOMS:
            x = rng.normal(0, 1, 3) + [3.8 * i, 0, 0]
            at += 1
            if name == "CA":
                calphas.append(np.round(x, 3))
            lines.append(
                f"ATOM  {at:>5}  {name:<3} {residue} A{i + 1:>4}    "
                f"{x[0]:8.3f}{x[1]:8.3f}{x[2]:8.3f}  1.00  0.00          {element:>2}"
            )
    where = f"{0:8.3f}{0:8.3f}{0:8.3f}"
    lines.append(f"HETATM{at + 1:>5}  O   HOH A  99    {where}  1.00  0.00           O")
    path.write_text("\n".join([*lines, "END"]) + "\n", encoding="utf-8")
    return np.array(calphas)


def test_calpha_atoms_are_named_by_residue(tmp_path: Path) -> None:
    expected = pdb(tmp_path / "one.pdb")
    (record,) = read_points(tmp_path / "one.pdb")
    assert record.id == "one_A"
    assert record.structure.symbols == ("ALA", "SER", "UNK")
    np.testing.assert_allclose(record.structure.positions, expected, atol=1e-3)
    tokenizer = OctreeMoleculeTokenizer(preset="protein", labels=RESIDUES, max_atoms=50)
    found = tokenizer.decode(tokenizer.encode(record.structure))
    assert Counter(found.symbols) == Counter(record.structure.symbols)
    away = [np.sort(np.linalg.norm(p[:, None] - p[None], axis=-1).ravel())
            for p in (found.positions, expected)]  # fmt: skip
    np.testing.assert_allclose(away[0], away[1], atol=1e-3)


def test_heavy_atoms_are_named_by_element(tmp_path: Path) -> None:
    pdb(tmp_path / "one.pdb")
    (record,) = read_points(tmp_path / "one.pdb", "heavy")
    assert Counter(record.structure.symbols) == {"C": 9, "N": 3, "O": 3}
    tokenizer = OctreeMoleculeTokenizer(preset="protein", labels=HEAVY, max_atoms=50)
    assert len(tokenizer.decode(tokenizer.encode(record.structure))) == 15


def test_bad_input_is_named(tmp_path: Path) -> None:
    pdb(tmp_path / "one.pdb")
    with pytest.raises(UsageError, match="selection 'all'"):
        list(read_points(tmp_path / "one.pdb", "all"))
    (tmp_path / "none.pdb").write_text("END\n", encoding="utf-8")
    with pytest.raises(RecordError, match="no protein chain"):
        list(read_points(tmp_path / "none.pdb"))
