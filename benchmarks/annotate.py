"""Batch jobs over proteins: sequences a second against the encoder alone, and peak memory.

The models are untrained: speed does not hang on what a model has learnt. Decoders are those of the
recipes for whole proteins (1x128) and for many tasks (2x128), and a larger one, 4x192, which has
twice the weights of the encoder of the zoo, 4x128, but a fourth of those of an encoder like ESM-2
8M, 6x320. A decoder reads every residue too.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sciar.datasets.readers import RecordFailure
from sciar.jobs import Job, Recipe, run
from sciar.jobs.proteins import Annotate, protein_source
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.nn.encoders.esm2 import embed_all
from sciar.nn.encoders.residues import ResidueEncoder
from sciar.tokenization.esm_alphabet import encoder_ids
from sciar.tokenization.protein import RESIDUE, ProteinTokenizer

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
BUDGET = 16_384
ENCODERS = {"4x128": (4, 128), "6x320": (6, 320)}
DECODERS = {
    "1x128": DecoderConfig(layers=1, hidden=128, heads=8, ffn=256, axes=2, unit=1.0),
    "2x128": DecoderConfig(layers=2, hidden=128, heads=4, ffn=256, axes=2, unit=1.0),
    "4x192": DecoderConfig(layers=4, hidden=192, heads=4, axes=2, unit=1.0),
}
TASKS: dict[str, dict[str, Any]] = {
    "location": {"type": "single", "labels": [str(i) for i in range(10)], "field": "location"},
    "structure": {"type": "per_residue", "labels": "HEC", "field": "labels"},
}
_CHILD = """
import json, sys
from pathlib import Path
from sciar.jobs import Job, Recipe, run
from sciar.jobs.proteins import Annotate, protein_source
path, model, out = sys.argv[1:]
done = run(Job("annotate", protein_source(path), Recipe(Annotate, {"model": model,
           "tasks": ["location"], "device": "cpu"}), Path(out)))
peak = [l for l in open("/proc/self/status") if l.startswith("VmHWM")][0].split()[1]
print(json.dumps({"rows": done.rows, "peak_MiB": int(peak) / 1024, "seconds": done.seconds}))
"""


def speed(quick: bool) -> list[dict[str, Any]]:
    """Sequences a second of whole jobs, from a FASTA file to Parquet.

    Lengths are those of proteins of the bacterial kind: median about 280, up to 1,000 residues.
    """
    count = 40 if quick else 200
    few = count // 20  # one by one is slow
    rows = []
    for (name, encoder), (size, decoder) in itertools.product(ENCODERS.items(), DECODERS.items()):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            path, short = folder / "p.fasta", folder / "few.fasta"
            write(path, count)
            write(short, few)
            used = untrained(folder / "model", encoder, decoder)
            alone = encoder_alone(used, path)
            rows.append(row(name, "", "encoder alone", count, alone, alone))
            for what, tasks, source, number, slow in (
                ("one class", ["location"], path, count, False),
                ("secondary structure, at once", ["structure"], path, count, False),
                ("both at once", ["location", "structure"], path, count, False),
                ("secondary structure, one by one", ["structure"], short, few, True),
            ):
                options = {"model": str(used), "tasks": tasks, "autoregressive": slow}
                recipe = Recipe(Annotate, options)
                job = Job("annotate", protein_source(source), recipe, folder / what)
                start = time.perf_counter()
                recipe()  # loading is not part of the rate
                loading = time.perf_counter() - start
                done = run(job)
                rate = number / max(done.seconds - loading, 1e-9)
                rows.append(row(name, size, what, number, rate, alone))
    return rows


def row(
    encoder: str, decoder: str, what: str, count: int, rate: float, alone: float
) -> dict[str, Any]:
    """One line of the table."""
    share = round(rate / alone, 2)
    facts = {"encoder": encoder, "decoder": decoder, "what": what, "sequences": count}
    return {**facts, "sequences_per_s": rate, "of_encoder": share}


def encoder_alone(model: Path, path: Path) -> float:
    """Sequences a second of the encoder, best of three, batched as in a job."""
    from sciar import api

    network = api.load(model).network
    encoder = next(m.encoder for m in network.modules() if isinstance(m, ResidueEncoder))
    ids = []
    for item in protein_source(path).records():
        assert not isinstance(item, RecordFailure)
        ids.append(torch.tensor(encoder_ids(item.protein)))
    best = float("inf")
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            embed_all(encoder, ids, BUDGET)
            best = min(best, time.perf_counter() - start)
    return len(ids) / best


def memory(quick: bool) -> list[dict[str, Any]]:
    """Peak memory of a whole process against the number of sequences, of up to 120 residues."""
    counts = (200, 1_000) if quick else (2_000, 20_000)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = untrained(
            folder / "model", (1, 32), DecoderConfig(layers=1, hidden=32, heads=4, axes=2, unit=1.0)
        )
        for count in counts:
            path = folder / f"{count}.fasta"
            write(path, count, longest=120)
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(path), str(model), str(folder / str(count))],
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append({"sequences": count, **{k: round(v, 1) for k, v in found.items()}})
    return rows


def write(path: Path, count: int, longest: int = 1_000) -> None:
    """Random sequences; lengths are log-normal."""
    draw = random.Random(0)
    with path.open("w", encoding="ascii") as stream:
        for i in range(count):
            length = min(longest, max(20, int(draw.lognormvariate(5.6, 0.5))))
            stream.write(f">s{i}\n{''.join(draw.choices(LETTERS, k=length))}\n")


def untrained(folder: Path, encoder: tuple[int, int], decoder: DecoderConfig) -> Path:
    """A model folder with an encoder of (layers, width)."""
    from sciar.folder import ModelFolder, save_folder

    tokenizer = ProteinTokenizer(TASKS)
    layers, width = encoder
    options = {"layers": layers, "width": width, "heads": 4}
    config = ModelConfig(
        decoder,
        heads={"default": HeadConfig("sciar.heads.numeric.NumericHead")},
        inputs={RESIDUE: InputConfig("sciar.nn.encoders.residues.ResidueEncoder", options)},
        max_anchors=1024,
    )
    torch.manual_seed(0)
    model = AutoregressiveModel(tokenizer.vocabulary, tokenizer.layout.references, config)
    info = {"objective": {"readout": 1.0}}
    content = ModelFolder("untrained", model.eval(), tokenizer, {}, info, "# untrained\n")
    save_folder(folder, content)
    return folder
