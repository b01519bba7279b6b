"""Make the sample data that ships with SciAR: ``python scripts/make_sample.py``.

Crystals are textbook prototypes whose lattice parameters follow from radii; molecules are RDKit
ETKDG conformers relaxed with MMFF94. The output is the same on every run of one version of the
libraries.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path

from pymatgen.core import Composition, Element, Lattice, Species, Structure
from rdkit import Chem
from rdkit.Chem import AllChem, Crippen, rdMolDescriptors

from sciar.datasets.formats.graphs import molecule_from_smiles
from sciar.datasets.splits import composition_split
from sciar.datasets.writers import write
from sciar.records import Crystal, Molecule, Record

FOLDER = Path(__file__).resolve().parents[1] / "sciar" / "data"
SEED = 2024

SMILES = """
C N O CC CN CO C=C C#C C=O C#N CCC CCN CCO COC CNC CC=C CC#C CC=O CC#N NC=O OC=O CF FCF CCF CCCC
CC(C)C CCCO CC(C)O CCOC CCCN CC(C)N CN(C)C CC(C)=O CCC=O CC(=O)O CC(N)=O COC=O CNC=O C1CC1 C1CO1
C1CN1 C1CCC1 C1COC1 C1CNC1 C1CCCC1 C1CCOC1 C1CCNC1 C1CCCCC1 C1CCOCC1 C1CCNCC1 C1COCCO1 C1CNCCO1
C1CNCCN1 c1ccccc1 c1ccncc1 c1cncnc1 c1ccnnc1 c1cnccn1 c1ccoc1 c1cc[nH]c1 c1cnc[nH]1 c1cn[nH]c1
c1cocn1 c1conc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 Fc1ccccc1 Cc1ccncc1 Cc1ccoc1 Cc1c[nH]cn1 N#Cc1ccccc1
O=Cc1ccccc1 COc1ccccc1 CCc1ccccc1 Cc1ccccc1C Oc1ccccc1O Nc1ccccn1 Oc1ccncc1 O=c1cc[nH]cc1 O=C1CCC1
O=C1CCCC1 O=C1CCCN1 O=C1CCCO1 O=C1CCCCC1 C1=CCCC1 C1=CCCCC1 C1=CCC=C1 CC1CC1 OC1CC1 NC1CC1 CC1CCC1
CC1CO1 OCC1CO1 CCC(C)C CC(C)(C)C CCCCC CCCCCC CCC(=O)C CCC(=O)O CC(=O)OC CCOC=O CC(=O)NC CN(C)C=O
NCC(=O)O CC(N)C(=O)O OCC(O)CO OCCO NCCO NCCN COCCO CCOCC C=CC=C C=CC=O C#CC=C C#CCO C=CCO CC=CC
N#CCC#N FC(F)F FC(F)(F)C OCC(F)F CC(F)(F)F NC(=O)N NC(=N)N CNC(=O)N C1C2CC1C2 C1CC2CC1C2
O1CC2CC1C2 CC(C)CO CC(O)CC CCCC=O CC(C)C=O
"""


def crystals() -> Iterator[Record]:
    """A record per prototype and composition."""
    for prototype, (make, formulas) in PROTOTYPES.items():
        for formula in formulas.split():
            structure = make(formula)
            yield Record(
                f"{prototype}-{formula}",
                rounded(structure.get_primitive_structure()),
                {"prototype": prototype},
            )


def rounded(structure: Structure) -> Crystal:
    """As a Crystal with 6 decimals, atoms ordered by electronegativity then position."""
    crystal = Crystal.from_pymatgen(structure.get_sorted_structure())
    lattice = Lattice.from_parameters(*structure.lattice.parameters).matrix  # right-handed
    return Crystal(lattice.round(6) + 0.0, crystal.species, (crystal.frac % 1).round(6) % 1)


def parts(formula: str) -> list[tuple[str, float]]:
    """(symbol, Shannon crystal radius in angstrom) in the order of the formula."""
    composition = Composition(formula)
    charges = composition.oxi_state_guesses()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen tells which spin state it takes
        return [
            (e.symbol, float(Species(e.symbol, int(charges[e.symbol])).ionic_radius))
            for e in composition
        ]


def ionic_bond(formula: str) -> tuple[str, str, float]:
    """First symbol, last symbol and the sum of their ionic radii."""
    (first, a), *_, (last, b) = parts(formula)
    return first, last, a + b


def covalent_bond(formula: str) -> tuple[str, str, float]:
    """Both symbols (the same for an element) and the sum of their covalent radii."""
    symbols = [element.symbol for element in Composition(formula)]
    first, second = symbols[0], symbols[-1]
    radius = Chem.GetPeriodicTable().GetRcovalent
    return first, second, float(radius(first) + radius(second))


def rocksalt(formula: str) -> Structure:
    """NaCl type: every ion has six neighbours."""
    a, b, bond = ionic_bond(formula)
    return cubic("Fm-3m", 2 * bond, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def cesium_chloride(formula: str) -> Structure:
    """CsCl type: eight neighbours."""
    a, b, bond = ionic_bond(formula)  # 1.03: eight neighbours instead of six
    return cubic("Pm-3m", 2 * 1.03 * bond / sqrt(3), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fluorite(formula: str) -> Structure:
    """CaF2 type."""
    cation, anion, bond = ionic_bond(formula)
    return cubic(
        "Fm-3m", 4 * 1.015 * bond / sqrt(3), [cation, anion], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )


def antifluorite(formula: str) -> Structure:
    """Li2O type: fluorite with the ions exchanged."""
    cation, anion, bond = ionic_bond(formula)  # 0.94: four neighbours instead of six
    return cubic(
        "Fm-3m", 4 * 0.94 * bond / sqrt(3), [anion, cation], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )


def zincblende(formula: str) -> Structure:
    """Cubic ZnS type."""
    a, b, bond = covalent_bond(formula)
    return cubic("F-43m", 4 * bond / sqrt(3), [a, b], [[0, 0, 0], [0.25, 0.25, 0.25]])


def diamond(formula: str) -> Structure:
    """Diamond type."""
    symbol, _, bond = covalent_bond(formula)
    return cubic("Fd-3m", 4 * bond / sqrt(3), [symbol], [[0, 0, 0]])


def wurtzite(formula: str) -> Structure:
    """Hexagonal ZnS type with ideal c/a and u."""
    a, b, bond = covalent_bond(formula)
    lattice = Lattice.hexagonal(bond * sqrt(8 / 3), bond * 8 / 3)
    sites = [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 3 / 8]]
    return Structure.from_spacegroup("P6_3mc", lattice, [a, b], sites)


def rutile(formula: str) -> Structure:
    """TiO2 type, u = 0.305 and c/a = 0.65."""
    cation, anion, bond = ionic_bond(formula)
    edge = bond / (0.305 * sqrt(2))
    lattice = Lattice.tetragonal(edge, 0.65 * edge)
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    return Structure.from_spacegroup("P4_2/mnm", lattice, [cation, anion], sites)


def perovskite(formula: str) -> Structure:
    """Cubic ABX3 perovskite; the B-X distance sets the edge."""
    (a, _), (b, small), (x, large) = parts(formula)
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]]
    return cubic("Pm-3m", 2 * (small + large), [a, b, x], sites)


def fcc(symbol: str) -> Structure:
    """Face-centred cubic metal."""
    return cubic("Fm-3m", 2 * sqrt(2) * metallic_radius(symbol), [symbol], [[0, 0, 0]])


def bcc(symbol: str) -> Structure:
    """Body-centred cubic metal."""
    return cubic("Im-3m", 4 * metallic_radius(symbol) / sqrt(3), [symbol], [[0, 0, 0]])


def hcp(symbol: str) -> Structure:
    """Hexagonal close-packed metal with ideal c/a."""
    edge = 2 * metallic_radius(symbol)
    lattice = Lattice.hexagonal(edge, edge * sqrt(8 / 3))
    return Structure.from_spacegroup("P6_3/mmc", lattice, [symbol], [[1 / 3, 2 / 3, 0.25]])


def metallic_radius(symbol: str) -> float:
    """Metallic radius, angstrom (pymatgen's table)."""
    return float(Element(symbol).metallic_radius)


def cubic(group: str, edge: float, symbols: list[str], sites: list[list[float]]) -> Structure:
    """Structure of a cubic space group with the given edge in angstrom."""
    return Structure.from_spacegroup(group, Lattice.cubic(edge), symbols, sites)


PROTOTYPES: dict[str, tuple[Callable[[str], Structure], str]] = {
    "rocksalt": (
        rocksalt,
        "LiF LiCl LiBr NaF NaCl NaBr NaI KF KCl KBr KI RbCl RbBr AgCl AgBr MgO CaO SrO BaO MgS "
        "CaS SrS BaS NiO CoO FeO MnO",
    ),
    "cscl": (cesium_chloride, "CsCl CsBr CsI TlCl TlBr"),
    "fluorite": (fluorite, "CaF2 SrF2 BaF2 CdF2 PbF2 CeO2 ZrO2 UO2"),
    "antifluorite": (antifluorite, "Li2O Na2O K2O Li2S Na2S K2S"),
    "zincblende": (
        zincblende,
        "ZnS ZnSe ZnTe CdS CdTe GaP GaAs InP InAs InSb AlP AlAs BN BP SiC CuCl CuBr",
    ),
    "wurtzite": (wurtzite, "ZnO ZnS BeO AlN GaN InN CdS CdSe SiC"),
    "rutile": (rutile, "TiO2 SnO2 GeO2 RuO2 MnO2 VO2 MgF2 NiF2 ZnF2 CoF2"),
    "perovskite": (
        perovskite,
        "SrTiO3 BaTiO3 CaTiO3 PbTiO3 BaZrO3 SrZrO3 BaSnO3 KNbO3 KTaO3 NaTaO3 LaAlO3 KMgF3 KZnF3 "
        "NaMgF3 CsPbI3 CsPbBr3 CsPbCl3 CsCaF3",
    ),
    "diamond": (diamond, "C Si Ge Sn"),
    "fcc": (fcc, "Al Cu Ag Au Ni Pd Pt Ir Rh"),
    "bcc": (bcc, "Li Na K V Cr Fe Nb Mo Ta W"),
    "hcp": (hcp, "Mg Ti Zn Co Zr Ru"),
}


def molecules() -> Iterator[Record]:
    """A record per SMILES: one relaxed conformer with all hydrogens."""
    for position, smiles in enumerate(SMILES.split()):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if AllChem.EmbedMolecule(mol, randomSeed=SEED) != 0:
            raise RuntimeError(f"no conformer for {smiles}")
        if AllChem.MMFFOptimizeMolecule(mol, maxIters=2000) == -1:
            raise RuntimeError(f"no MMFF94 parameters for {smiles}")
        xyz = mol.GetConformer().GetPositions()
        centred = replace(
            Molecule.from_rdkit(mol, smiles), positions=(xyz - xyz.mean(axis=0)).round(5) + 0.0
        )
        yield Record(f"molecule-{position:03d}", centred)


def labelled(records: Sequence[Record]) -> Iterator[Record]:
    """The molecules by their graph, with descriptors computed by RDKit; some labels are missing."""
    for i, record in enumerate(records):
        assert isinstance(record.structure, Molecule)
        smiles = record.structure.to_smiles()
        mol = Chem.MolFromSmiles(smiles)
        labels = {
            "logp": round(Crippen.MolLogP(mol), 4),
            "tpsa": round(rdMolDescriptors.CalcTPSA(mol), 2),
            "aromatic": int(any(atom.GetIsAromatic() for atom in mol.GetAtoms())),
            "ring": int(rdMolDescriptors.CalcNumRings(mol) > 0),
            "donor": int(rdMolDescriptors.CalcNumHBD(mol) > 0),
        }
        known = {k: v for j, (k, v) in enumerate(labels.items()) if (i + j) % 6}
        yield Record(record.id, molecule_from_smiles(smiles), known)


def main() -> None:
    """Write ``sample_{crystals,molecules}_{train,val,test}`` and ``sample_properties_all``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    out = parser.parse_args().out
    made = list(molecules())
    for kind, records in (("crystals", list(crystals())), ("molecules", made)):
        for part, members in composition_split(records, seed=SEED).items():
            path = out / f"sample_{kind}_{part}.jsonl"
            print(path, write((records[i] for i in members), path))
    path = out / "sample_properties_all.jsonl"
    print(path, write(labelled(made), path))


if __name__ == "__main__":
    main()
