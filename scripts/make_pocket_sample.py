"""Make the sample of protein-ligand complexes: ``python scripts/make_pocket_sample.py``.

Nothing here is a real protein. A chain of C-alpha and C-beta atoms fills a ball as a self-avoiding
walk of 3.8 angstrom steps that keeps out of a hollow at the surface; a flat ring of atoms, the
ligand, sits in the hollow. Residues around it are drawn from those that bind more often, so that
there is something to learn. Every other file also has what must not count as a ligand: water, a
sulphate, a calcium ion, and a chain that touches no ligand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "sciar" / "data" / "sample_pockets"
PARTS = {"train": 8, "val": 2, "test": 3}
SEED, LENGTH, RADIUS, HOLLOW = 2024, 34, 9.5, 5.2
BINDING = ("HIS", "ASP", "TRP", "TYR", "SER", "ARG")
OTHER = ("ALA", "LEU", "VAL", "ILE", "GLU", "LYS", "GLN", "THR", "PRO", "MET", "PHE", "ASN")
STEP, APART = 3.8, 4.2


def walk(rng: np.random.Generator, length: int, hollow: np.ndarray) -> np.ndarray:
    """(length, 3) C-alpha atoms inside the ball, none within the hollow around a point."""
    while True:
        points = [rng.normal(size=3) * 3.0]
        for _ in range(200 * length):
            if len(points) == length:
                return np.array(points)
            way = rng.normal(size=3)
            new = points[-1] + STEP * way / np.linalg.norm(way)
            away = np.linalg.norm(np.array(points[:-1] or [[99.0] * 3]) - new, axis=1)
            free = away.min() > APART and np.linalg.norm(new - hollow) > HOLLOW
            if free and np.linalg.norm(new) < RADIUS:
                points.append(new)


def ring(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """(8, 3) atoms: a regular hexagon of 1.4 angstrom and two atoms on it."""
    one, two = np.linalg.qr(rng.normal(size=(3, 2)))[0].T
    angles = np.arange(6) * np.pi / 3
    flat = np.cos(angles)[:, None] * one + np.sin(angles)[:, None] * two
    return centre + np.concatenate([1.4 * flat, 2.8 * flat[[0, 3]]])


def complex_lines(seed: int, extras: bool) -> Iterator[str]:
    """Lines of one PDB file."""
    rng = np.random.default_rng((SEED, seed))
    way = rng.normal(size=3)
    hollow = 5.5 * way / np.linalg.norm(way)
    ligand = ring(rng, hollow)
    calphas = walk(rng, LENGTH, hollow)
    yield f"REMARK   invented by scripts/make_pocket_sample.py, number {seed}"
    serial = 0
    chains = [("A", calphas)]
    if extras:
        chains.append(("B", walk(rng, LENGTH // 2, hollow) + 80.0))
    for chain, points in chains:
        middle = points.mean(0)
        for i, point in enumerate(points):
            # Side chains point to the ligand if it is near, else away from the middle.
            near = np.linalg.norm(point - hollow) < 9.0 and chain == "A"
            towards = (hollow - point) if near else (point - middle)
            beta = point + 1.53 * towards / np.linalg.norm(towards)
            names = BINDING if near and rng.random() < 0.8 else OTHER
            residue = str(rng.choice(names))
            for name, where in (("CA", point), ("CB", beta)):
                serial += 1
                yield atom("ATOM", serial, name, residue, chain, i + 1, where, "C")
        yield "TER"
    groups = [("LIG", [(f"C{i + 1}", "C", x) for i, x in enumerate(ligand)])]
    if extras:
        corners = 0.86 * np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
        oxygens = [(f"O{i + 1}", "O", calphas[0] + 3.5 + x) for i, x in enumerate(corners)]
        groups.append(("SO4", [("S", "S", calphas[0] + 3.5), *oxygens]))
        groups.append(("CA", [("CA", "CA", calphas[-1] + 2.4)]))
        groups.append(("HOH", [("O", "O", calphas[3] + 2.8)]))
    for number, (residue, atoms) in enumerate(groups, start=201):
        for name, element, where in atoms:
            serial += 1
            yield atom("HETATM", serial, name, residue, "A", number, where, element)
    yield "END"


def atom(
    record: str,
    serial: int,
    name: str,
    residue: str,
    chain: str,
    number: int,
    where: np.ndarray,
    element: str,
) -> str:
    """One line of the PDB format, version 3.3."""
    shown = f" {name:<3}" if len(element) == 1 else f"{name:<4}"
    x, y, z = where
    return (
        f"{record:<6}{serial:>5} {shown} {residue:>3} {chain}{number:>4}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2}"
    )


def main() -> None:
    """Write ``sample_pockets/{train,val,test}/made_NN.pdb``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    out = parser.parse_args().out
    number = 0
    for part, count in PARTS.items():
        (out / part).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            lines = list(complex_lines(number, extras=number % 4 == 3))
            path = out / part / f"made_{number:02d}.pdb"
            path.write_text("\n".join(lines) + "\n", encoding="ascii")
            print(path, len(lines))
            number += 1


if __name__ == "__main__":
    main()
