"""Named data sets: what they are, where they may lie, where they can be fetched.

``resolve(name, split)`` looks, in this order, in ``$SCIAR_DATA``, in ``shared/data`` and
``../shared/data`` from the current directory, in ``shared/data`` beside the repository, and in the
cache folder that ``sciar data fetch`` fills. The samples ship with the package. A data folder holds
``crystals/NAME/SPLIT.EXT`` and ``molecules/NAME/SPLIT.EXT``. Sets of proteins are single files
``proteins/NAME/FILE.EXT`` whose records name their splits themselves
(:mod:`sciar.datasets.protein_sets`), or folders of structure files, ``proteins/NAME/SPLIT/``.
Volumes of microscopy are ``em/NAME/SPLIT.npz``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sciar.errors import UsageError

_PACKAGE = Path(__file__).resolve().parents[1]
_ENDINGS = (
    ".jsonl.gz", ".jsonl", ".csv.gz", ".csv", ".smi.gz", ".smi", ".sdf.gz", ".sdf", ".extxyz",
    ".xyz", ".npz",
)  # fmt: skip
_CDVAE = "https://raw.githubusercontent.com/txie-93/cdvae/main/data"
_MOSES = "https://media.githubusercontent.com/media/molecularsets/moses/master/data"
_QM9 = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/molnet_publish/qm9.zip"
_QM9_LIST = "https://ndownloader.figshare.com/files/3195404"


@dataclass(frozen=True)
class Download:
    """One file of a set.

    Attributes:
        file: name in the set's folder; a zip is unpacked there.
        url: official address.
        sha256: checksum, or ``None`` if not known in advance (recorded at the first fetch).
    """

    file: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class DataSet:
    """A named set.

    Attributes:
        name: what the user types.
        kind: folder and type of its structures.
        what: one line of description.
        licence: as far as the sources state it.
        downloads: where the official files are, empty if we know no stable address.
        voxel: for volumes whose files do not say it, size of a voxel along z, y, x, nm.
    """

    name: str
    kind: Literal["crystals", "molecules", "proteins", "em"]
    what: str
    licence: str
    downloads: tuple[Download, ...] = ()
    voxel: tuple[float, float, float] | None = None


def _csvs(base: str, *splits: str) -> tuple[Download, ...]:
    return tuple(Download(f"{split}.csv", f"{base}/{split}.csv") for split in splits)


def _crystals(name: str, what: str, licence: str, *downloads: Download) -> DataSet:
    return DataSet(name, "crystals", what, licence, downloads)


def _molecules(name: str, what: str, licence: str, *downloads: Download) -> DataSet:
    return DataSet(name, "molecules", what, licence, downloads)


def _proteins(name: str, what: str, licence: str) -> DataSet:
    return DataSet(name, "proteins", what, licence)


def _volumes(name: str, what: str, licence: str, voxel: tuple[float, float, float]) -> DataSet:
    return DataSet(name, "em", what, licence, voxel=voxel)


_PARTS = ("train", "val", "test")
_SETS = (
    _crystals("perov_5", "ABX3 perovskites, 5 atoms (Castelli 2012)", "open, cite; MIT (CDVAE)",
              *_csvs(f"{_CDVAE}/perov_5", *_PARTS)),
    _crystals("carbon_24", "carbon allotropes, 6-24 atoms (Pickard 2020)", "CC BY 4.0",
              *_csvs(f"{_CDVAE}/carbon_24", *_PARTS)),
    _crystals("mp_20", "Materials Project, at most 20 atoms", "CC BY 4.0",
              *_csvs(f"{_CDVAE}/mp_20", *_PARTS)),
    _crystals("mpts_52", "Materials Project time split, at most 52 atoms", "CC BY 4.0"),
    _crystals("wbm", "relaxed element substitutions (Wang 2021)", "CC BY 4.0"),
    _crystals("inorganic_mix", "OQMD, Alexandria and JARVIS-DFT", "CC BY 4.0, NIST public data"),
    _crystals("supercon_tc", "JARVIS superconductors with Tc", "NIST public data"),
    _molecules("qm9", "DFT geometries, up to 9 heavy atoms CNOF", "open (CC0 / CC BY 4.0), cite",
               Download("qm9.zip", _QM9), Download("uncharacterized.txt", _QM9_LIST)),
    _molecules("qm7", "geometries and atomisation energies", "free use with citation"),
    _molecules("druglike3d", "drug-like conformers (Open Force Field)", "CC BY 4.0"),
    _molecules("moses", "SMILES of ZINC Clean Leads", "MIT (MOSES)",
               *_csvs(_MOSES, "train", "test", "test_scaffolds")),
    _molecules("guacamol", "SMILES of ChEMBL 24", "MIT; ChEMBL CC BY-SA 3.0"),
    _molecules("zinc250k", "SMILES of ZINC", "free with citation"),
    _molecules("moleculenet", "property tables; the split is the table's name, as bace", "mixed"),
    _molecules("gschnet_samples", "10,000 samples of G-SchNet", "MIT"),
    _proteins("flip_gb1", "fitness of GB1 variants, FLIP", "CC BY 4.0; FLIP AFL-3.0"),
    _proteins("flip_secondary_structure", "3 states a residue, FLIP", "AFL-3.0; PDB CC0"),
    _proteins("flip_conservation", "9 classes a residue, FLIP", "AFL-3.0; CC BY 4.0"),
    _proteins("flip_bind", "binding residues, FLIP", "AFL-3.0; CC BY 4.0"),
    _proteins("meltome", "melting temperatures, early FLIP", "AFL-3.0; open, cite"),
    _proteins("deeploc", "places in the cell (DeepLoc)", "MIT; UniProt CC BY 4.0"),
    _proteins("ec_nrpdb", "EC numbers of PDB chains (DeepFRI)", "BSD-3-Clause; PDB CC0"),
    _proteins("phospho_y", "phosphotyrosines (MusiteDeep)", "MIT; UniProt CC BY 4.0"),
    _proteins("phospho_st", "phosphoserines, -threonines", "MIT; UniProt CC BY 4.0"),
    _proteins("dms_avgfp", "brightness of avGFP variants", "CC BY 4.0; MIT"),
    _proteins("dms_bgl3", "enrichment of Bgl3 variants", "published data; MIT"),
    _proteins("dms_pab1", "enrichment of Pab1 variants", "published data; MIT"),
    _proteins("dms_ube4b", "enrichment of Ube4b variants", "published data; MIT"),
    _proteins("dms_blat", "resistance by TEM-1 variants", "published data; MIT"),
    _proteins("protein_pockets", "your complexes: folders train, val, test of PDB or mmCIF files",
              "as their source"),
    _proteins("backbones", "chains of the PDB with backbones", "PDB CC0"),
    _volumes("fib25", "FIB-SEM of fly medulla with neurons", "CC (FlyEM)", (10.0, 10.0, 10.0)),
    _volumes("fib25_mini", "three small blocks of the like", "BSD-style (HHMI)",
             (10.0, 10.0, 10.0)),
    _volumes("isbi2012", "serial sections of fly nerve cord, membranes",
             "non-commercial, cite", (50.0, 4.0, 4.0)),
    _volumes("drosophila_vnc", "serial sections of fly nerve cord, membranes and organelles",
             "CC BY-NC-SA 3.0", (50.0, 4.6, 4.6)),
    _crystals("sample-crystals", "prototypes made by SciAR; ships with the package", "as SciAR"),
    _molecules("sample-molecules", "RDKit conformers made by SciAR; ships with the package",
               "as SciAR"),
    _proteins("sample-proteins", "invented by SciAR; ships with the package", "as SciAR"),
    _proteins("sample-pockets", "complexes invented by SciAR; ships with the package", "as SciAR"),
    _molecules("sample-properties", "RDKit descriptors made by SciAR; ships with the package",
               "as SciAR"),
)  # fmt: skip
DATASETS: dict[str, DataSet] = {entry.name: entry for entry in _SETS}


@dataclass(frozen=True)
class CatalogueRow:
    """One line of ``sciar data``: a set, its splits on this machine, whether it can be fetched."""

    dataset: DataSet
    splits: tuple[str, ...]
    folder: Path | None
    fetchable: bool


def cache_folder() -> Path:
    """Where fetched sets lie: pooch's cache folder for SciAR."""
    import pooch

    return Path(pooch.os_cache("sciar"))


def lookup(name: str) -> DataSet:
    """The entry of ``name`` (``-`` and ``_``, upper and lower case are the same).

    Raises:
        UsageError: unknown name; the message lists the known ones.
    """
    wanted = _plain(name)
    found = next((entry for entry in _SETS if _plain(entry.name) == wanted), None)
    if found is None:
        raise UsageError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    return found


def resolve(name: str, split: str = "train") -> Path:
    """The file (or raw folder) of one split of a named set.

    Raises:
        UsageError: unknown set or split, or not on this machine; the message says how to get it.
    """
    dataset = lookup(name)
    for folder in _folders(dataset):
        found = _splits(dataset, folder).get(split)
        if found is not None:
            return found
    available = sorted({name for folder in _folders(dataset) for name in _splits(dataset, folder)})
    if available:
        raise UsageError(
            f"{dataset.name} has no split {split!r} here; found: {', '.join(available)}"
        )
    advice = (
        f"run 'sciar data fetch {dataset.name}'"
        if dataset.downloads
        else "no official address is known"
    )
    raise UsageError(
        f"{dataset.name} is not on this machine: {advice}, or point SCIAR_DATA to a folder that "
        f"holds {dataset.kind}/{dataset.name}/"
    )


def catalogue() -> list[CatalogueRow]:
    """All known sets with the splits of the first folder that holds them."""
    rows = []
    for dataset in _SETS:
        found = ((folder, _splits(dataset, folder)) for folder in _folders(dataset))
        folder, splits = next(((f, s) for f, s in found if s), (None, {}))
        rows.append(CatalogueRow(dataset, tuple(splits), folder, bool(dataset.downloads)))
    return rows


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def data_roots() -> Iterator[Path]:
    """Folders that may hold data, in the order in which they are looked at."""
    if os.environ.get("SCIAR_DATA"):
        yield Path(os.environ["SCIAR_DATA"]).expanduser()
    here = Path.cwd()
    yield from (here / "shared/data", here.parent / "shared/data")
    yield _PACKAGE.parent.parent / "shared/data"
    yield cache_folder()


def _folders(dataset: DataSet) -> Iterator[Path]:
    if dataset.name.startswith("sample-"):
        yield _PACKAGE / "data"
        return
    yield from (root / dataset.kind / dataset.name for root in data_roots())


def _splits(dataset: DataSet, folder: Path) -> dict[str, Path]:
    """Split name -> path; a QM9 raw folder is the split ``all``."""
    if dataset.name.startswith("sample-"):
        stem = dataset.name.replace("-", "_")
        if (folder / stem).is_dir():
            return {part: folder / stem / part for part in _PARTS}
        found = {part: folder / f"{stem}_{part}.jsonl" for part in (*_PARTS, "all")}
        whole = folder / f"{stem}.jsonl"
        parts = {part: path for part, path in found.items() if path.exists()}
        return parts or ({"records": whole} if whole.exists() else {})
    if not folder.is_dir():
        return {}
    splits = {"all": folder} if (folder / "gdb9.sdf").exists() else {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name in _PARTS:
            splits[path.name] = path
            continue
        ending = next((e for e in _ENDINGS if path.name.endswith(e)), None)
        if ending and not (path.name.startswith("gdb9") or path.name.startswith(".")):
            splits.setdefault(path.name.removesuffix(ending), path)
    return dict(sorted(splits.items(), key=lambda item: _order(item[0])))


def _order(split: str) -> tuple[int, str]:
    return (_PARTS.index(split) if split in _PARTS else len(_PARTS), split)
