"""Octree models: molecules a second with questions, in one stream, and a level at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.common import molecules
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.cursor import Cursor, Request
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer
from sciar.tokenization.octree_skeleton import OctreeSkeletonTokenizer
from sciar.tokenization.sequence import TokenSequence

STREAMS: dict[str, tuple[dict[str, bool], bool]] = {
    "one stream": ({}, False),
    "questions": ({"questions": True}, False),
    "private questions": ({"questions": True, "private": True}, False),
    "a level at once": ({"questions": True, "private": True}, True),
}


class Led(Cursor):
    """Takes the words of a given sequence, whatever is drawn: lengths are those of real data."""

    def __init__(self, tokenizer: Leading, request: Request) -> None:
        self.wanted: TokenSequence = request.constraints["sequence"]
        super().__init__(tokenizer, Request({}, {}, request.id))

    def push_token(self, token: int) -> None:
        super().push_token(int(self.wanted.ids[self.known]))

    def push_value(self, value: Any) -> None:
        super().push_value(self.wanted.values[self.known, : len(value)])


class Leading(OctreeMoleculeTokenizer):
    """All atoms in the tree, with cursors that are led."""

    def cursor(self, request: Request) -> Cursor:
        return Led(self, request)


class LeadingSkeleton(OctreeSkeletonTokenizer):
    """The tokenizer of the recipe qm9-octree, likewise."""

    def cursor(self, request: Request) -> Cursor:
        return Led(self, request)


TREES = {
    "all atoms": Leading(levels=5, edge=0.48, frame="principal", rotation=0.0, max_atoms=64),
    "heavy atoms": LeadingSkeleton(
        levels=4,
        edge=0.96,
        frame="principal",
        rotation=0.0,
        max_atoms=64,
        context="before",
        offsets="local",
        order="near",
    ),
}
RUNS = (*(("all atoms", stream) for stream in STREAMS), ("heavy atoms", "one stream"))


def run(quick: bool) -> list[dict[str, Any]]:
    """Untrained networks of 5.8 M parameters, led through molecules of the data."""
    source, records = molecules(32 if quick else 256)
    rows = []
    for tree, name in RUNS:
        sequences = [TREES[tree].encode(record.structure) for record in records]
        row = {"tree": tree, "stream": name, **timed(TREES[tree], sequences, *STREAMS[name])}
        rows.append(row | {"data": source, "threads": torch.get_num_threads()})
    return rows


def timed(
    tokenizer: OctreeMoleculeTokenizer,
    sequences: Sequence[TokenSequence],
    stream: dict[str, bool],
    at_once: bool,
) -> dict[str, Any]:
    """Molecules a second along given sequences."""
    model = model_of(tokenizer, **stream)
    fed: list[int] = []
    handle = model.decoder.register_forward_hook(
        lambda _, arguments, __: fed.append(len(arguments[0]))
    )
    settings = GenerationSettings(batch_size=64, at_once=at_once, payload=SamplerSettings(steps=10))
    jobs = [Job(Request({}, {"sequence": s}, str(i)), i) for i, s in enumerate(sequences)]
    list(Engine(model, tokenizer, settings).run(jobs[:8]))
    fed.clear()
    start = time.perf_counter()
    done = list(Engine(model, tokenizer, settings).run(jobs))
    taken = time.perf_counter() - start
    handle.remove()
    return {
        "molecules_per_s": round(len(done) / taken, 1),
        "tokens": round(sum(map(len, sequences)) / len(sequences), 1),
        "fed_positions": round(sum(fed) / len(done), 1),
        "passes": len(fed),
    }


def model_of(tokenizer: OctreeMoleculeTokenizer, **stream: Any) -> AutoregressiveModel:
    """A network somewhat larger than that of the recipe qm9-octree."""
    torch.manual_seed(0)
    decoder = DecoderConfig(layers=6, hidden=256, heads=4, axes=3, unit=0.1, base=100.0, ahead=True)
    config = ModelConfig(
        decoder=decoder,
        heads={"default": HeadConfig(options={"hidden": 128, "depth": 3})},
        places=True,
        **stream,
    )
    layout = tokenizer.layout
    return AutoregressiveModel(
        tokenizer.vocabulary, layout.references, config, layout.relations
    ).eval()
