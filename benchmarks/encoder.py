"""The encoder of proteins: tokens a second, share of the matrix rate, and what its store saves."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import matmul_rate, median, seconds
from sciar.datasets.residues import ResidueCorpus
from sciar.nn.encoders.esm2 import Esm2Config
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.nn.encoders.store import EmbeddingStore
from sciar.objectives.masked_residues import MaskedResidueObjective

SIZES = {
    "nano": Esm2Config(layers=6, width=128, heads=4, feed_forward=512),
    "tiny": Esm2Config(layers=6, width=320, heads=20, feed_forward=1280),
}


def invented(count: int, seed: int = 0) -> list[str]:
    """Sequences whose lengths are spread like those of real sets: median 290, up to 1022."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(5.67, 0.65, count), 30, 1022).astype(int)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]


def speed(quick: bool) -> list[dict[str, Any]]:
    """Encoding, and whole pretraining steps, in batches of about 4,096 tokens of similar length."""
    rows = []
    corpus = ResidueCorpus(invented(120), crop=1022)
    order = np.argsort(corpus.lengths())
    middle = corpus.pack(order[len(order) // 2 - 6 : len(order) // 2 + 6])
    rate = matmul_rate(torch.float32)
    for name, config in SIZES.items():
        torch.manual_seed(0)
        model = MaskedLM(config, corpus.background())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        works = {
            "encode": partial(_encode, model, middle),
            "pretrain": partial(_step, model, optimizer, middle),
        }
        for what, work in works.items():
            with FlopCounterMode(display=False) as counter:
                work()
            taken = median(seconds(work, 2 if quick else 7))
            flops = counter.get_total_flops()
            rows.append({
                "encoder": name, "work": what, "tokens": len(middle),
                "tokens/s": len(middle) / taken, "GFLOP/s": flops / taken / 1e9,
                "matrix GFLOP/s": rate / 1e9, "share": flops / taken / rate,
            })  # fmt: skip
    return rows


@torch.no_grad()
def _encode(model: MaskedLM, pack: Any) -> None:
    model.encoder.packed(pack.ids, pack.lengths)


def _step(model: MaskedLM, optimizer: torch.optim.Optimizer, pack: Any) -> None:
    scores = MaskedResidueObjective().scores(model, pack, salt=0)
    (scores.loss / scores.count).backward()
    optimizer.step()
    optimizer.zero_grad()


def store(quick: bool) -> list[dict[str, Any]]:
    """Vectors of the same sequences from the encoder and written, and then from disk."""
    rows = []
    sequences = invented(30 if quick else 400, seed=1)
    corpus = ResidueCorpus(sequences, crop=1022)
    ids = [corpus.pack(np.array([i])).ids for i in range(len(sequences))]
    for name, config in SIZES.items():
        torch.manual_seed(0)
        encoder = MaskedLM(config).encoder.eval()
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            first = EmbeddingStore(folder, encoder)
            first.vectors(ids)
            first.flush()
            fresh = time.perf_counter() - start
            start = time.perf_counter()
            EmbeddingStore(folder, encoder).vectors(ids)
            known = time.perf_counter() - start
        rows.append({
            "encoder": name, "sequences": len(ids), "encoded s": fresh, "from disk s": known,
            "speed-up": fresh / known,
        })  # fmt: skip
    return rows
