"""The structures that flow between readers, tokenizers, the engine, writers and metrics.

Conventions: lengths in angstrom, angles in degrees; a lattice is a 3x3 matrix whose ROWS are the
vectors a, b, c; fractional coordinates are rows, ``cartesian = frac @ lattice``; indices start at
0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from sciar.errors import RecordError

if TYPE_CHECKING:
    from pymatgen.core import Structure as PymatgenStructure
    from rdkit.Chem import Mol


@dataclass(frozen=True, eq=False)
class Crystal:
    """A periodic structure with full occupancy.

    Attributes:
        lattice: (3, 3) float64, rows are vectors, angstrom.
        species: n element symbols.
        frac: (n, 3) float64 fractional coordinates, not necessarily wrapped.
    """

    lattice: np.ndarray
    species: tuple[str, ...]
    frac: np.ndarray

    def __post_init__(self) -> None:
        lattice = np.asarray(self.lattice, dtype=np.float64)
        frac = np.asarray(self.frac, dtype=np.float64).reshape(-1, 3)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "frac", frac)
        object.__setattr__(self, "species", tuple(self.species))
        if lattice.shape != (3, 3):
            raise RecordError(
                f"a lattice is a 3x3 matrix, got shape {lattice.shape}", field="lattice"
            )
        if not np.isfinite(lattice).all():
            raise RecordError("the lattice holds NaN or infinite numbers", field="lattice")
        if abs(np.linalg.det(lattice)) < 1e-6:
            raise RecordError("the lattice is singular (zero volume)", field="lattice")
        if not self.species:
            raise RecordError("the structure has no atoms", field="species")
        if len(frac) != len(self.species):
            raise RecordError(
                f"{len(self.species)} atoms but {len(frac)} coordinates", field="frac"
            )
        if not np.isfinite(frac).all():
            raise RecordError("the coordinates hold NaN or infinite numbers", field="frac")

    def __len__(self) -> int:
        return len(self.species)

    @property
    def composition(self) -> Counter[str]:
        """Element symbol -> number of atoms in the cell."""
        return Counter(self.species)

    @property
    def volume(self) -> float:
        """Cell volume in cubic angstrom."""
        return float(abs(np.linalg.det(self.lattice)))

    def to_pymatgen(self) -> PymatgenStructure:
        """As a pymatgen ``Structure``."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), list(self.species), self.frac)

    @classmethod
    def from_pymatgen(cls, structure: PymatgenStructure) -> Crystal:
        """From a pymatgen ``Structure``; disordered sites raise :class:`RecordError`."""
        if not structure.is_ordered:
            raise RecordError("the structure has partial occupancies", field="species")
        species = tuple(site.specie.symbol for site in structure)  # type: ignore[union-attr]
        return cls(structure.lattice.matrix, species, structure.frac_coords)


@dataclass(frozen=True, eq=False)
class Molecule:
    """A molecule with coordinates and, where known, its graph.

    Attributes:
        symbols: n element symbols, hydrogens included if the source has them.
        positions: (n, 3) float64, angstrom; ``None`` when only the graph is known.
        smiles: SMILES of the graph, or ``None`` if only a point cloud is known.
        mol: RDKit molecule whose atom order is that of ``symbols``, or ``None``.
        charge: total charge in elementary charges.
    """

    symbols: tuple[str, ...]
    positions: np.ndarray | None
    smiles: str | None = None
    mol: Mol | None = None
    charge: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        if self.positions is not None:
            positions = np.asarray(self.positions, dtype=np.float64).reshape(-1, 3)
            object.__setattr__(self, "positions", positions)
            if len(positions) != len(self.symbols):
                raise RecordError(
                    f"{len(self.symbols)} atoms but {len(positions)} coordinates",
                    field="positions",
                )
            if not np.isfinite(positions).all():
                raise RecordError("the coordinates hold NaN or infinite numbers", field="positions")
        if not self.symbols:
            raise RecordError("the molecule has no atoms", field="symbols")

    def __len__(self) -> int:
        return len(self.symbols)

    def to_rdkit(self) -> Mol:
        """As an RDKit ``Mol``; with a conformer when positions are known.

        Without a known graph the molecule has atoms and a conformer but no bonds.
        """
        from rdkit import Chem
        from rdkit.Geometry import Point3D

        if self.mol is not None:
            mol = Chem.Mol(self.mol)
        else:
            editable = Chem.RWMol()
            for symbol in self.symbols:
                editable.AddAtom(Chem.Atom(symbol))
            mol = editable.GetMol()
        if self.positions is not None:
            conformer = Chem.Conformer(mol.GetNumAtoms())
            for i, xyz in enumerate(self.positions):
                conformer.SetAtomPosition(i, Point3D(*map(float, xyz)))
            conformer.Set3D(True)
            mol.RemoveAllConformers()
            mol.AddConformer(conformer, assignId=True)
        return mol

    def to_smiles(self) -> str:
        """The SMILES it came with, or that of its graph without explicit hydrogens.

        Raises:
            RecordError: neither is known.
        """
        from rdkit import Chem

        if self.smiles is not None:
            return self.smiles
        if self.mol is None:
            raise RecordError(
                "the molecule has no graph; call sciar.datasets.molecule_graph.perceive first",
                field="smiles",
            )
        return str(Chem.MolToSmiles(Chem.RemoveHs(self.mol)))

    @classmethod
    def from_rdkit(cls, mol: Mol, smiles: str | None = None) -> Molecule:
        """From an RDKit ``Mol``: its first conformer, its atom order, its graph."""
        from rdkit import Chem

        positions = mol.GetConformer().GetPositions() if mol.GetNumConformers() else None
        return cls(
            symbols=tuple(a.GetSymbol() for a in mol.GetAtoms()),
            positions=positions,
            smiles=smiles if smiles is not None else Chem.MolToSmiles(Chem.RemoveHs(mol)),
            mol=mol,
            charge=Chem.GetFormalCharge(mol),
        )


RESIDUES = "ACDEFGHIKLMNPQRSTVWYBXUZO"
"""Letters of a sequence: the 20 of the genetic code, U and O, and B, Z, X for unknown ones."""


@dataclass(frozen=True)
class Protein:
    """A protein, or two of them that a question is asked about together.

    The constructor takes clean sequences only; text of files goes through :meth:`from_text`.

    Attributes:
        sequence: L one-letter residues, from the N to the C terminus, all in ``RESIDUES``.
        partner: the second chain of a pair, or ``None``.
    """

    sequence: str
    partner: str | None = None

    def __post_init__(self) -> None:
        for name, chain in (("sequence", self.sequence), ("partner", self.partner)):
            if chain is None:
                continue
            if not chain:
                raise RecordError("the sequence is empty", field=name)
            if _RESIDUE_SET.issuperset(chain):
                continue
            for position, letter in enumerate(chain, start=1):
                if letter not in _RESIDUE_SET:
                    raise RecordError(_why_no_residue(letter, position), field=name)

    def __len__(self) -> int:
        return len(self.sequence) + len(self.partner or "")

    @property
    def chains(self) -> tuple[str, ...]:
        """One or two sequences."""
        return (self.sequence,) if self.partner is None else (self.sequence, self.partner)

    @classmethod
    def from_text(cls, sequence: str, partner: str | None = None) -> Protein:
        """From sequences as files hold them.

        White space is dropped, letters become capitals, stop codons at the end go, and J (leucine
        or isoleucine) becomes X, which encoders know.

        Raises:
            RecordError: empty, or a character that is no residue; the message gives its position.
        """
        return cls(_tidy(sequence), None if partner is None else _tidy(partner))


_RESIDUE_SET = frozenset(RESIDUES)


def _tidy(text: str) -> str:
    bare = "".join(text.split())
    # Only ASCII letters have capitals that are residues: the capital of ß would be two of them.
    return bare.upper().rstrip("*").replace("J", "X") if bare.isascii() else bare


def _why_no_residue(letter: str, position: int) -> str:
    where = f"character {letter!r} at position {position}"
    if letter == "*":
        return f"{where} is a stop codon inside the sequence; cut the sequence there"
    if letter in "-.~":
        return f"{where} is a gap; give the sequence without its alignment"
    return f"{where} is no residue; known are {RESIDUES}"


Value = str | int | tuple[float, ...]
"""Value of an argument: a word, a whole number, or one or more real numbers."""


@dataclass(frozen=True)
class Call:
    """One call of a program: ``name(key=value, ...)``.

    Attributes:
        name: an identifier.
        arguments: key -> word, whole number, or tuple of real numbers (one number is a tuple of
            one). Their order has no meaning.
    """

    name: str
    arguments: Mapping[str, Value]

    def __post_init__(self) -> None:
        kept: dict[str, Value] = {}
        for key, value in self.arguments.items():
            if isinstance(value, str):
                kept[key] = value
                continue
            if isinstance(value, int | np.integer) and not isinstance(value, bool):
                kept[key] = int(value)
                continue
            numbers = np.asarray(value, dtype=np.float64).reshape(-1)
            if not len(numbers) or not np.isfinite(numbers).all():
                raise RecordError(f"{self.name}: {key} is {value!r}, no finite numbers", field=key)
            kept[key] = tuple(numbers.tolist())
        object.__setattr__(self, "arguments", kept)


@dataclass(frozen=True)
class Program:
    """A structured description with numbers: what a picture or a measurement is decoded to.

    Attributes:
        calls: in order; which ones there are is up to a
            :class:`~sciar.tokenization.programs.language.Language`.
    """

    calls: tuple[Call, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", tuple(self.calls))

    def __len__(self) -> int:
        return len(self.calls)


@dataclass(frozen=True)
class Annotation:
    """A question about a protein with its answer: what a model of answers is trained on.

    Attributes:
        protein: the sequence, or the pair.
        task: name of the question.
        value: the answer, as the task's type of answer has it.
        mask: one letter a residue, ``1`` where the label counts; empty: everywhere.
    """

    protein: Protein
    task: str
    value: Any
    mask: str = ""

    def __len__(self) -> int:
        return len(self.protein)


@dataclass(frozen=True, eq=False)
class Crop:
    """A block of a volume of microscopy, in memory; axes are in the order z, y, x.

    Attributes:
        voxels: (Z, Y, X) float32 intensities, 0 black and 1 white for the whole volume.
        voxel: size of a voxel along z, y, x, nm.
    """

    voxels: np.ndarray
    voxel: tuple[float, float, float]

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels, dtype=np.float32)
        object.__setattr__(self, "voxels", voxels)
        z, y, x = map(float, self.voxel)
        object.__setattr__(self, "voxel", (z, y, x))
        if voxels.ndim != 3 or not voxels.size:
            raise RecordError(f"shape {voxels.shape} is no block (z, y, x)", field="voxels")
        if not np.isfinite(voxels).all():
            raise RecordError("the block holds NaN or infinite intensities", field="voxels")
        if not all(np.isfinite(s) and s > 0 for s in self.voxel):
            raise RecordError(f"voxel size {self.voxel}; nm above zero are due", field="voxel")

    def __len__(self) -> int:
        return int(self.voxels.size)


Structure = Crystal | Molecule | Protein

KINDS: dict[str, type] = {
    "crystals": Crystal,
    "molecules": Molecule,
    "proteins": Protein,
    "programs": Program,
    "volumes": Crop,
}
"""Name of a kind of structure -> its type. Names are plural, as users write them."""


def kind_of(structure: object) -> str:
    """The name in ``KINDS`` of what a structure is.

    Raises:
        RecordError: it is none of them.
    """
    for name, cls in KINDS.items():
        if isinstance(structure, cls):
            return name
    raise RecordError(f"a {type(structure).__name__} is none of {', '.join(KINDS)}")


def no_atoms() -> RecordError:
    """What is raised where a protein, known by its sequence alone, would need atoms."""
    return RecordError("a protein is known by its sequence and has no atoms", field="sequence")


def formula_text(counts: Mapping[str, int]) -> str:
    """Symbols with their counts in the order given, ``Na4Cl4``; a count of 1 is not written."""
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in counts.items())


def symbols_of(structure: Structure) -> tuple[str, ...]:
    """The element symbols of the atoms of any structure, in its order.

    Raises:
        RecordError: the structure is known as a sequence, without atoms.
    """
    match structure:
        case Crystal():
            return structure.species
        case Molecule():
            return structure.symbols
        case Protein():
            raise no_atoms()
        case _:
            assert_never(structure)


@dataclass(frozen=True, eq=False)
class Record:
    """One structure of a data set, with the identity that travels with it to the output.

    Attributes:
        id: identifier, unique within its source.
        structure: the structure itself.
        properties: property name -> value (number or text).
        source: file it came from.
        index: position in that file, from 0.
    """

    id: str
    structure: Structure
    properties: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    index: int = 0


class ProteinRecord(Record):
    """A record whose structure is a protein, with its labels as properties; made like one.

    Readers of proteins yield these; everything that takes records takes them.
    """

    structure: Protein

    @property
    def protein(self) -> Protein:
        """The sequence, or the pair."""
        return self.structure

    @property
    def labels(self) -> dict[str, Any]:
        """Label name -> value, as the source gives it."""
        return self.properties


@dataclass(frozen=True, eq=False)
class Labelled:
    """A structure and what is known of it, for tokenizers that ask about structures.

    Attributes:
        structure: what is asked about.
        labels: name -> value as the source gives it (number, text, or a list of one an atom);
            what is missing is not known.
    """

    structure: Structure
    labels: dict[str, Any]

    def __len__(self) -> int:
        return len(self.structure)


@dataclass(frozen=True, eq=False)
class PowderPattern:
    """A powder X-ray diffraction pattern: a measured profile or a list of peaks.

    Attributes:
        id: identifier, unique within its source.
        two_theta: (P,) diffraction angles in degrees, rising.
        intensity: (P,) in any unit.
        wavelength: of the radiation in angstrom, or ``None`` if it is not known; models then take
            it for their own.
        peaks: the angles are those of peaks, with nothing between.
        source: file it came from.
    """

    id: str
    two_theta: np.ndarray
    intensity: np.ndarray
    wavelength: float | None = None
    peaks: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        angles = np.asarray(self.two_theta, dtype=np.float64)
        counts = np.asarray(self.intensity, dtype=np.float64)
        object.__setattr__(self, "two_theta", angles)
        object.__setattr__(self, "intensity", counts)
        if angles.ndim != 1 or angles.shape != counts.shape:
            raise RecordError(
                f"angles of shape {angles.shape} but intensities of shape {counts.shape}",
                field="two_theta",
            )
        if not len(angles):
            raise RecordError("the pattern has no points", field="two_theta")
        if not np.isfinite(angles).all() or not np.isfinite(counts).all():
            raise RecordError("the pattern holds NaN or infinite numbers", field="intensity")
        fall = np.flatnonzero(np.diff(angles) <= 0)
        if len(fall):
            raise RecordError(
                f"the angles do not rise after point {fall[0] + 1} ({angles[fall[0]]:g} degrees)",
                field="two_theta",
            )
        if angles[0] < 0 or angles[-1] > 180:
            raise RecordError(
                f"the angles run from {angles[0]:g} to {angles[-1]:g}; 2-theta lies between 0 and "
                "180 degrees",
                field="two_theta",
            )
        if angles[-1] < np.pi and not self.peaks:
            raise RecordError(
                f"the angles end at {angles[-1]:g}; give 2-theta in degrees, not in radians",
                field="two_theta",
            )
        if counts.max() <= 0:
            raise RecordError("no intensity is above zero", field="intensity")
        if counts.min() < -0.1 * counts.max():
            raise RecordError(
                f"intensities reach down to {counts.min():g}; give counts, not a difference curve",
                field="intensity",
            )
        if self.wavelength is not None and not 0.1 < self.wavelength < 10:
            raise RecordError(
                f"a wavelength of {self.wavelength:g} is no X-ray wavelength in angstrom",
                field="wavelength",
            )
