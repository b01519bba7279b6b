"""An untrained model that takes templates, its known structures, and folders of a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sciar.folder import ModelFolder, save_folder
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.records import Crystal, Record
from sciar.tokenization.crystal_retrieval import RetrievalCrystalTokenizer


def cubic(edge: float, *species: str) -> Crystal:
    """Atoms on the face-centred sites of a cube, in order."""
    frac = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystal(edge * np.eye(3), species, frac[: len(species)])


KNOWN = {
    "cu3au": cubic(3.8, "Au", "Cu", "Cu", "Cu"),
    "al3ni": cubic(3.7, "Ni", "Al", "Al", "Al"),
    "agpd": cubic(4.0, "Ag", "Pd"),
    "cu": cubic(3.6, "Cu", "Cu", "Cu", "Cu"),
}


def make_model(folder: Path, steps: int = 4) -> Path:
    """A model folder; outputs as initialised, so that numbers are plain noise."""
    tokenizer = RetrievalCrystalTokenizer(max_atoms=8)
    records = [Record(name, crystal) for name, crystal in KNOWN.items()]
    tokenizer.remember(records)
    tokenizer.fit_statistics([tokenizer.subject(record) for record in records])
    config = ModelConfig(
        DecoderConfig(layers=2, hidden=16, heads=2),
        {"default": HeadConfig(options={"hidden": 16, "depth": 1})},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoregressiveModel(
            tokenizer.vocabulary, tokenizer.layout.references, config, tokenizer.layout.relations
        )
    info = {"parameters": sum(p.numel() for p in model.parameters()), "data": "four alloys"}
    content = ModelFolder("recalling", model.eval(), tokenizer, {"steps": steps}, info, "# x\n")
    save_folder(folder, content)
    return folder


_CIF = """data_{name}
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Pt1 Pt 0 0 0 {occupancy}
Ni1 Ni 0 0.5 0.5 1
Ni2 Ni 0.5 0 0.5 1
Ni3 Ni 0.5 0.5 0 1
"""


def make_known(folder: Path) -> Path:
    """CIFs of a user: one that is good, one with partial occupancy, one that is broken."""
    folder.mkdir(parents=True)
    (folder / "good.cif").write_text(_CIF.format(name="good", a=3.8, occupancy=1))
    (folder / "partial.cif").write_text(_CIF.format(name="partial", a=3.8, occupancy=0.5))
    (folder / "broken.cif").write_text("data_broken\n_cell_length_a oops\n")
    return folder
