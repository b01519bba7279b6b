"""Tokens a second of whole training steps, against the machine's rate of matrix products."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import SIZES, crystals, matmul_rate, median, model_of, tokenizer_of
from sciar.datasets.batching import PackedLoader
from sciar.datasets.tokens import cached
from sciar.model import AutoregressiveModel
from sciar.objectives.next_token import NextTokenObjective
from sciar.tasks.precision import native_bf16
from sciar.tokenization.packing import Pack


def run(quick: bool) -> list[dict[str, Any]]:
    """One row for each size and precision; bf16 only where the CPU has it (else it takes hours)."""
    precisions = (torch.float32, torch.bfloat16) if native_bf16() else (torch.float32,)
    if torch.bfloat16 not in precisions:
        print("no native bf16 on this CPU: its rows are left out")
    source, records = crystals(500 if quick else 4000)
    tokenizer = tokenizer_of(records)
    data = cached(records, tokenizer, None)
    rows = []
    for size in SIZES:
        for precision in precisions:
            loader = PackedLoader(data, 2560)
            row = measure(model_of(tokenizer, size), loader, precision, 3 if quick else 12)
            rows.append({"model": size, "data": source, **row})
    return rows


def measure(
    model: AutoregressiveModel, loader: PackedLoader, precision: torch.dtype, steps: int
) -> dict[str, Any]:
    """Whole steps: the loader, embedding, decoder, heads, backward pass, clipping, AdamW."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective = NextTokenObjective(noise=0.02)
    batches = endless(loader)

    def step(number: int) -> int:
        batch = next(batches)
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss, _ = objective.total(objective.losses(model, batch, salt=number))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return len(batch)

    step(0)
    with FlopCounterMode(display=False) as counter:
        counted_tokens = step(1)
    flops_a_token = counter.get_total_flops() / counted_tokens
    speeds = []
    for number in range(2, steps + 2):
        start = time.perf_counter()
        tokens = step(number)
        speeds.append(tokens / (time.perf_counter() - start))
    speed = median(speeds)
    rate = speed * flops_a_token
    return {
        "precision": str(precision).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "tokens_per_s": round(speed),
        "mflop_per_token": round(flops_a_token / 1e6, 1),
        "gflop_per_s": round(rate / 1e9, 1),
        "matmul_gflop_per_s": round(matmul_rate(precision) / 1e9, 1),
        "share_of_matmul_rate": round(rate / matmul_rate(precision), 3),
        "share_of_fp32_matmul_rate": round(rate / matmul_rate(torch.float32), 3),
    }


def by_length(quick: bool) -> list[dict[str, Any]]:
    """Tokens a second against the length of the sequences, at a fixed number of tokens a batch."""
    records = crystals(500)[1]
    tokenizer = tokenizer_of(records)
    model = model_of(tokenizer, "6x256")
    rows = []
    for length in (16, 64, 256) if quick else (16, 32, 64, 128, 256, 512, 1024):
        batch = synthetic(model, length, 2048)
        objective = NextTokenObjective()
        best = float("inf")
        for repeat in range(3 if quick else 5):
            start = time.perf_counter()
            objective.total(objective.losses(model, batch, salt=repeat))[0].backward()
            best = min(best, time.perf_counter() - start)
            model.zero_grad()
        rows.append({"length": length, "tokens_per_s": round(len(batch) / best)})
    return rows


def synthetic(model: AutoregressiveModel, length: int, tokens: int) -> Pack:
    """Sequences of sites only, all of one length."""
    count = tokens // length
    total = count * length
    kind = model.vocabulary.kind("<site>")
    return Pack(
        ids=torch.full((total,), model.vocabulary.id("<site>")),
        kinds=torch.full((total,), kind),
        values=torch.rand(total, model.vocabulary.width),
        weights=torch.ones(total),
        labels=torch.full((total,), len(model.vocabulary) - 1),
        anchors=torch.arange(total) % 60,
        references=torch.full((total, model.references), -1),
        relations=torch.zeros(total, model.references, dtype=torch.long),
        positions=torch.zeros(total, 0),
        places=torch.zeros(total, 0),
        lengths=torch.full((count,), length),
        contexts=torch.full((count,), length // 3),
        keys=torch.arange(count),
    )


def endless(loader: PackedLoader) -> Iterator[Pack]:
    """Batches without end."""
    while True:
        yield from loader
