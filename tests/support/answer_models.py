"""A small model of answers with one task of each type, and examples of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sciar.api.model import Model
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.records import Annotation, Protein
from sciar.tokenization.protein import ProteinTokenizer

ONTOLOGY = {
    "parents": {"GO:1": [], "GO:2": ["GO:1"], "GO:3": ["GO:1"], "GO:4": ["GO:2"]},
    "namespaces": {},
    "aliases": {},
}
TASKS: dict[str, dict[str, Any]] = {
    "place": {"type": "single", "labels": ["in", "out", "between"]},
    "places": {"type": "multi", "labels": ["a", "b", "c"], "empty": "explicit"},
    "enzyme": {"type": "tree", "labels": ["1.1.1.1", "1.1.1.2", "3.4.21.4", "3.4.21.-"]},
    "terms": {"type": "terms", "labels": ["GO:1", "GO:2", "GO:3", "GO:4"], "ontology": ONTOLOGY},
    "heat": {"type": "digits", "low": 20, "high": 90, "decimals": 3},
    "signed": {"type": "digits", "low": -3, "high": 12, "decimals": 2, "scaled": False},
    "amount": {"type": "number", "mean": 1.0, "std": 2.0},
    "cut": {"type": "class_and_position", "labels": ["sp", "other"], "without_position": ["other"]},
    "states": {"type": "per_residue", "labels": "HEC"},
    "sites": {"type": "sites"},
    "phospho": {"type": "candidate_sites", "residues": "STY"},
    "marks": {"type": "site_labels", "residues": "STY"},
    "touching": {"type": "contacts"},
    "within": {"type": "contacts", "chains": 1, "separation": 2, "max_pairs": 5},
    "string": {"type": "structure_string"},
    "point": {"type": "pointing", "motif": "S", "max_length": 1022},
    "copy": {"type": "copying", "max_length": 1022},
}
PAIRS = ("touching",)
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def protein(length: int, seed: int = 0, pair: bool = False) -> Protein:
    """A random sequence, or two."""
    rng = np.random.default_rng((seed, length, pair))
    chains = ["".join(rng.choice(list(LETTERS), length)) for _ in range(1 + pair)]
    return Protein(*chains)


def tokenizer(*only: str, **options: Any) -> ProteinTokenizer:
    """Of some tasks, or of all."""
    names = only or tuple(TASKS)
    return ProteinTokenizer({name: TASKS[name] for name in names}, max_length=2048, **options)


def network(
    tokens: ProteinTokenizer,
    seed: int = 0,
    head: str = "sciar.heads.numeric.NumericHead",
    **encoder: Any,
) -> AutoregressiveModel:
    """A small network with random weights in every layer, in evaluation mode."""
    sizes = {"layers": 2, "width": 16, "heads": 2, **encoder}
    config = ModelConfig(
        decoder=DecoderConfig(layers=2, hidden=32, heads=2, axes=2, unit=1.0),
        heads={"<number>": HeadConfig(head, {"hidden": 16})},
        inputs={"<residue>": InputConfig("sciar.nn.encoders.residues.ResidueEncoder", sizes)},
        max_anchors=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoregressiveModel(tokens.vocabulary, 0, config)
        torch.nn.init.normal_(model.words.out.weight, std=0.5)
    return model.eval()


def model_of(*only: str, info: dict[str, Any] | None = None, seed: int = 0) -> Model:
    """A model as ``sciar.load`` gives it."""
    tokens = tokenizer(*only)
    return Model(ModelFolder("small", network(tokens, seed), tokens, {}, info or {}, ""))


EXAMPLES = [
    Annotation(Protein("MSTAYK"), "place", "out"),
    Annotation(Protein("MSTAYK"), "places", ("a", "c")),
    Annotation(Protein("MSTAYK"), "places", ()),
    Annotation(Protein("MSTAYK"), "enzyme", ("1.1.1.2", "3.4.21.-")),
    Annotation(Protein("MSTAYK"), "terms", ("GO:1", "GO:2", "GO:4")),
    Annotation(Protein("MSTAYK"), "signed", -1.25),
    Annotation(Protein("MSTAYK"), "amount", 3.0),
    Annotation(Protein("MSTAYK"), "cut", ("sp", 2)),
    Annotation(Protein("MSTAYK"), "states", "HHECCC"),
    Annotation(Protein("MSTAYK"), "sites", (0, 3)),
    Annotation(Protein("MSTAYK"), "sites", ()),
    Annotation(Protein("MSTAYK"), "phospho", (4,)),
    Annotation(Protein("MSTAYK", "GGA"), "touching", ((0, 1), (5, 2))),
    Annotation(Protein("MSTAYK"), "within", ((0, 2), (0, 5))),
    Annotation(Protein("MSTAYK"), "string", "DPVDVV"),
    Annotation(Protein("MSTASK"), "point", (1, 4)),
    Annotation(Protein("MSTAYK"), "marks", "010010"),
]
