"""Structures a second, against a plain sampler."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import crystals, model_of, tokenizer_of
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.heads.diffusion import DiffusionHead
from sciar.model import AutoregressiveModel
from sciar.nn.streams import sample_keys
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.cursor import Cursor, End, Request, SlotQuery
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import ARRAYS, TokenSequence

TEN_ATOMS = ("Sr2 Ti2 O6", "Na5 Cl5", "Ca2 C2 O6", "Li4 Fe2 O4", "Ba2 Zr2 O6", "Mg4 Si2 O4")


def run(quick: bool) -> list[dict[str, Any]]:
    """The engine and the plain sampler on ten-atom crystals, 6x256 decoder, heads 256 x 3."""
    _, records = crystals(500)
    tokenizer = tokenizer_of(records)
    model = model_of(tokenizer, "6x256").eval()
    wanted = [tokenizer.request({"composition": f}) for f in TEN_ATOMS]
    batch, total = (64, 64) if quick else (256, 512)
    settings = GenerationSettings(batch_size=batch)
    jobs = [Job(wanted[i % len(wanted)], i) for i in range(total)]
    list(Engine(model, tokenizer, settings).run(jobs[:batch]))
    start = time.perf_counter()
    done = list(Engine(model, tokenizer, settings).run(jobs))
    engine = len(done) / (time.perf_counter() - start)
    count = 4 if quick else 16
    plain = plain_rate(model, tokenizer, [wanted[0]] * count, 200)
    return [
        {
            "structures_per_s": round(engine, 1),
            "batch": batch,
            "function_evaluations": 20,
            "threads": torch.get_num_threads(),
            "plain_structures_per_s": round(plain, 3),
            "plain_batch": count,
            "times_faster": round(engine / plain, 1),
        }
    ]


def plain_rate(
    model: AutoregressiveModel, tokenizer: CrystalTokenizer, requests: list[Request], steps: int
) -> float:
    """Structures a second of the plain way: no cache, padding, 200 DDPM steps, heads on all rows.

    Every step feeds the whole padded batch and samples every position of the batch's last column,
    as a straightforward port of a language model's loop does.
    """
    width = model.config.decoder.hidden
    heads = [DiffusionHead(s, width, hidden=256, depth=3).eval() for s in model.vocabulary.slots]
    cursors = [tokenizer.cursor(r) for r in requests]
    keys = sample_keys(0, torch.arange(len(cursors)))
    start = time.perf_counter()
    with torch.inference_mode():
        while not all(isinstance(c.expect(), End) for c in cursors):
            condition = last_states(model, cursors)
            drawn = [h.sample(condition, keys, SamplerSettings(steps, "ddpm")) for h in heads]
            for row, cursor in enumerate(cursors):
                expected = cursor.expect()
                if isinstance(expected, SlotQuery):
                    # an untrained diffusion head reaches far out: the time is what matters
                    cursor.push_value(drawn[expected.kind - 1][row].clamp(-1, 1).numpy())
    return len(cursors) / (time.perf_counter() - start)


def last_states(model: AutoregressiveModel, cursors: list[Cursor]) -> Tensor:
    """(B, hidden) states of the last known positions, from whole sequences padded to one length."""
    sequences = [c.writer.finish(c.context) for c in cursors]
    longest = max(map(len, sequences))
    batch = pack([s if len(s) == longest else padded(s, longest) for s in sequences])
    hidden, _ = model(batch)
    last = torch.tensor([c.known - 1 for c in cursors])
    return hidden.view(len(cursors), longest, -1)[torch.arange(len(cursors)), last]


def padded(sequence: TokenSequence, length: int) -> TokenSequence:
    """Zeros after the end."""
    missing = length - len(sequence)
    arrays = {
        name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
        for name in ARRAYS
        for array in (getattr(sequence, name),)
    }
    return TokenSequence(**arrays, context=sequence.context)
