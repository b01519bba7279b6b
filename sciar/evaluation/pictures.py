"""Pictures of crystals and molecules as small SVG strings: no GPU, no display, no network."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.evaluation.scene import Ball, Line, Scene, Stick, render
from sciar.records import Crystal, Molecule, Protein, formula_text, no_atoms

if TYPE_CHECKING:
    from rdkit.Chem import Mol

STYLES = ("ball-and-stick", "space-filling")
BOND_TOLERANCE = 1.15
"""Two atoms are bonded up to this multiple of the sum of their covalent radii (Cordero 2008)."""
MAX_COORDINATION = 8
"""Atoms with more neighbours (close packing, large cations) are drawn without sticks."""
MAX_BALLS = 700
_SOFTENED = {"#000000": "currentColor", "#0000FF": "#4a78e8", "#FF0000": "#e0423a"}
_EDGE = 0.03  # fractional distance to a face below which the atom on the opposite face is shown too


def structure_svg(
    structure: Crystal | Molecule,
    *,
    width: int = 320,
    height: int = 280,
    style: str = "ball-and-stick",
) -> str:
    """A picture of a crystal or of a molecule; see :func:`crystal_svg`, :func:`molecule_svg`."""
    match structure:
        case Crystal():
            return crystal_svg(structure, width=width, height=height, style=style)
        case Molecule():
            return molecule_svg(structure, width=width, height=height, style=style)
        case Protein():
            raise no_atoms()
        case _:
            assert_never(structure)


def crystal_svg(
    crystal: Crystal, *, width: int = 320, height: int = 280, style: str = "ball-and-stick"
) -> str:
    """The unit cell of a crystal, seen roughly along b with c up.

    Atoms on faces, edges and corners of the cell are shown on all of them. Bonds follow covalent
    radii; half-bonds that fade lead to atoms outside the cell.

    Args:
        crystal: what to draw.
        width: of the picture in pixels.
        height: of the picture in pixels, legend included.
        style: "ball-and-stick" or "space-filling".

    Raises:
        UsageError: unknown style.
        RecordError: the cell holds too many atoms for a picture.
    """
    _check_style(style)
    frac = crystal.frac - np.floor(crystal.frac)
    frac = np.where(frac > 1 - _EDGE, frac - 1, frac)
    owners, images = _completed(frac)
    _check_size(len(owners))
    view = _crystal_view(crystal.lattice)
    centres = images @ crystal.lattice @ view
    radii = _radii(crystal.species) if style == "space-filling" else _ball_radii(crystal.species)
    scene = Scene(
        title=formula_text(_legend(crystal.species)),
        balls=[
            Ball(centre, radii[i], crystal.species[i])
            for i, centre in zip(owners, centres, strict=True)
        ],
        lines=_cell_edges(crystal.lattice @ view),
        legend=_legend(crystal.species),
        axes=crystal.lattice @ view,
    )
    if style == "ball-and-stick":
        scene.sticks = _crystal_sticks(crystal, frac, owners, images, view)
    return render(scene, width=width, height=height)


def molecule_svg(
    molecule: Molecule, *, width: int = 320, height: int = 280, style: str = "ball-and-stick"
) -> str:
    """A molecule in three dimensions, turned so that its widest plane faces the viewer.

    Bonds and their orders come from ``molecule.mol`` where it is known, else single bonds follow
    covalent radii.

    Args:
        molecule: what to draw; needs positions.
        width: of the picture in pixels.
        height: of the picture in pixels, legend included.
        style: "ball-and-stick" or "space-filling".

    Raises:
        UsageError: unknown style.
        RecordError: no positions, or too many atoms for a picture.
    """
    _check_style(style)
    if molecule.positions is None:
        raise RecordError(
            "the molecule has no coordinates; embed it first, or draw its graph", field="positions"
        )
    _check_size(len(molecule))
    positions = _molecule_view(molecule.positions)
    filled = style == "space-filling"
    radii = _radii(molecule.symbols) * 1.25 if filled else _ball_radii(molecule.symbols) * 0.86
    scene = Scene(
        title=formula_text(_legend(molecule.symbols)),
        balls=[
            Ball(xyz, r, symbol)
            for xyz, r, symbol in zip(positions, radii, molecule.symbols, strict=True)
        ],
        legend=_legend(molecule.symbols),
    )
    if not filled:
        for i, j, order in _molecule_bonds(molecule):
            scene.sticks += _bond_sticks(scene.balls[i], scene.balls[j], order)
    return render(scene, width=width, height=height)


def depiction_svg(molecule: Molecule, *, width: int = 320, height: int = 280) -> str:
    """The structural formula of a molecule (RDKit's 2D depiction, hydrogens left out).

    Raises:
        RecordError: the molecule's graph is unknown.
    """
    from rdkit import Chem
    from rdkit.Chem.Draw import rdMolDraw2D

    mol = molecule.mol if molecule.mol is not None else _from_smiles(molecule.smiles)
    try:
        mol, kekulize = Chem.RemoveHs(mol), True
    except Chem.MolSanitizeException:  # an impossible molecule is shown as it was generated
        mol, kekulize = Chem.Mol(mol), False
        mol.UpdatePropertyCache(strict=False)
    mol.RemoveAllConformers()
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.padding = 0.08
    options.fixedBondLength = 30
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol, kekulize=kekulize)
    drawer.FinishDrawing()
    svg = re.sub(r"<\?xml.*?\?>|<!--.*?-->|\s+xmlns:\w+='[^']*'", "", drawer.GetDrawingText())
    # Black follows the colour of the page's text, and RDKit's pure blue and red are softened:
    # the picture must be legible on a light and on a dark page.
    for theirs, ours in _SOFTENED.items():
        svg = svg.replace(theirs, ours)
    return re.sub(r"\n\s*", " ", svg).strip()


def _check_style(style: str) -> None:
    if style not in STYLES:
        raise UsageError(f"style {style!r} is none of {', '.join(STYLES)}")


def _check_size(count: int) -> None:
    if count > MAX_BALLS:
        raise RecordError(f"{count} atoms are too many for a picture (at most {MAX_BALLS})")


def _from_smiles(smiles: str | None) -> Mol:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(smiles) if smiles else None
    if mol is None:
        raise RecordError("the graph of the molecule is unknown", field="smiles")
    return mol


def _legend(symbols: tuple[str, ...]) -> Counter[str]:
    return Counter(dict(sorted(Counter(symbols).items())))


def _radii(symbols: tuple[str, ...]) -> np.ndarray:
    """(n,) covalent radii in angstrom; 1.5 where the table has none."""
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers.get(s, 0)] for s in symbols])
    return np.where(radii > 0.25, radii, 1.5)


def _ball_radii(symbols: tuple[str, ...]) -> np.ndarray:
    """(n,) drawn radii: the square root keeps hydrogen visible and caesium modest."""
    return 0.5 * np.sqrt(_radii(symbols))


def _metals(symbols: tuple[str, ...]) -> np.ndarray:
    """(n,) bool: whether an element is a metal (metalloids are not)."""
    from pymatgen.core import Element

    return np.array([Element.is_valid_symbol(s) and Element(s).is_metal for s in symbols])


def _turn(azimuth: float, elevation: float) -> np.ndarray:
    """(3, 3) for row vectors: turn about the vertical axis, then tip towards the viewer."""
    ca, sa = np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
    ce, se = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
    about_y = np.array([[ca, 0, -sa], [0, 1, 0], [sa, 0, ca]])
    about_x = np.array([[1, 0, 0], [0, ce, se], [0, -se, ce]])
    return about_y @ about_x


def _crystal_view(lattice: np.ndarray) -> np.ndarray:
    """(3, 3) proper rotation for row vectors, from Cartesian to the screen: c up, a right."""
    up = lattice[2] / np.linalg.norm(lattice[2])
    right = lattice[0] - (lattice[0] @ up) * up
    right /= np.linalg.norm(right)
    view = np.stack([right, up, np.cross(right, up)], axis=1) @ _turn(-24, 13)
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ lattice @ view
    extent = np.ptp(corners, axis=0)
    if extent[1] > 1.7 * extent[0]:  # a tall cell lies down: cards are wider than high
        view = view @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    return view


def _molecule_view(positions: np.ndarray) -> np.ndarray:
    """(n, 3) centred positions in their principal axes, widest first; never mirrored."""
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2].T
    # The sign of a principal axis is arbitrary: choose it by the skewness along the axis.
    skew = ((centred @ axes) ** 3).sum(axis=0)
    axes = axes * np.where(skew < -1e-9, -1.0, 1.0)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return centred @ axes @ _turn(-12, 16)


def _completed(frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms shown: (m,) index of the atom, (m, 3) fractional place, copies on faces included."""
    owners, images = [], []
    for i, place in enumerate(frac):
        options = [(0.0, 1.0) if abs(value) <= _EDGE else (0.0,) for value in place]
        for shift in itertools.product(*options):
            owners.append(i)
            images.append(place + np.array(shift))
    return np.array(owners), np.array(images)


def _cell_edges(lattice: np.ndarray) -> list[Line]:
    edges = []
    for axis in range(3):
        others = [i for i in range(3) if i != axis]
        for shift in itertools.product((0.0, 1.0), repeat=2):
            start = shift[0] * lattice[others[0]] + shift[1] * lattice[others[1]]
            edges.append(Line(start, start + lattice[axis]))
    return edges


def _crystal_sticks(
    crystal: Crystal,
    frac: np.ndarray,
    owners: np.ndarray,
    images: np.ndarray,
    view: np.ndarray,
) -> list[Stick]:
    neighbours = _crystal_bonds(crystal, frac)
    radii = _ball_radii(crystal.species)
    metal = _metals(crystal.species)
    shown = {tuple(np.round(place, 3)) for place in images}
    sticks = []
    for i, place in zip(owners, images, strict=True):
        for j, vector in neighbours.get(int(i), []):
            other = place + vector
            outside = tuple(np.round(other, 3)) not in shown
            if outside and (metal[i] or metal[j]):
                continue  # only covalent networks are shown to go on beyond the cell
            start = place @ crystal.lattice @ view
            end = other @ crystal.lattice @ view
            sticks += _half(
                Ball(start, radii[i], crystal.species[i]),
                Ball(end, radii[j], crystal.species[j]),
                radius=0.12,
                faded=outside,
            )
    return sticks


def _crystal_bonds(crystal: Crystal, frac: np.ndarray) -> dict[int, list[tuple[int, np.ndarray]]]:
    """Atom -> its bonded neighbours: (index, fractional vector to it)."""
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    if crystal.volume < 1.5 * len(crystal):
        return {}  # a collapsed cell: everything would be bonded to everything
    atoms = Atoms("X" * len(crystal), scaled_positions=frac, cell=crystal.lattice, pbc=True)
    reach = _radii(crystal.species) * BOND_TOLERANCE
    first, second, shifts, lengths = neighbor_list("ijSd", atoms, reach)
    metal = _metals(crystal.species)
    if not metal.all():  # cations are not bonded to each other
        kept = ~(metal[first] & metal[second])
        first, second, shifts, lengths = first[kept], second[kept], shifts[kept], lengths[kept]
    bonds: dict[int, list[tuple[int, np.ndarray]]] = {}
    counts = np.bincount(first, minlength=len(crystal))
    for i, j, shift, length in zip(first, second, shifts, lengths, strict=True):
        if length > 0.4 and max(counts[i], counts[j]) <= MAX_COORDINATION:
            bonds.setdefault(int(i), []).append((int(j), frac[j] + shift - frac[i]))
    return bonds


def _molecule_bonds(molecule: Molecule) -> list[tuple[int, int, int]]:
    """(i, j, order) with order 1 to 3."""
    if molecule.mol is not None and molecule.mol.GetNumBonds():
        from rdkit import Chem

        mol = Chem.Mol(molecule.mol)
        Chem.KekulizeIfPossible(mol)
        return [
            (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), min(3, max(1, int(b.GetBondTypeAsDouble()))))
            for b in mol.GetBonds()
        ]
    radii = _radii(molecule.symbols)
    positions = np.asarray(molecule.positions)
    lengths = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    near = (lengths < BOND_TOLERANCE * (radii[:, None] + radii[None])) & (lengths > 0.4)
    return [(int(i), int(j), 1) for i, j in np.argwhere(np.triu(near, 1))]


def _bond_sticks(a: Ball, b: Ball, order: int) -> list[Stick]:
    """Both halves of a bond; double and triple bonds as parallel sticks side by side on screen."""
    along = b.centre - a.centre
    across = np.cross(along, [0.0, 0.0, 1.0])
    norm = float(np.linalg.norm(across))
    across = across / norm if norm > 1e-6 else np.array([1.0, 0.0, 0.0])
    radius = (0.105, 0.07, 0.055)[order - 1]
    sticks: list[Stick] = []
    for k in range(order):
        shift = across * (k - (order - 1) / 2) * (0.27 if order == 2 else 0.21)
        for near, far in ((a, b), (b, a)):
            sticks += _half(
                Ball(near.centre + shift, near.radius, near.element),
                Ball(far.centre + shift, far.radius, far.element),
                radius=radius,
            )
    return sticks


def _half(near: Ball, far: Ball, *, radius: float, faded: bool = False) -> list[Stick]:
    """The half-stick from the surface of one ball to the middle of the bond; none if they touch."""
    along = far.centre - near.centre
    length = float(np.linalg.norm(along))
    # the middle of what is visible, so that both halves are equally long
    middle = (length + near.radius - far.radius) / 2
    begin = near.radius * 0.9
    if middle <= begin or length < 1e-6:
        return []
    unit = along / length
    start, end = near.centre + unit * begin, near.centre + unit * middle
    return [Stick(start, end, radius, near.element, faded)]
