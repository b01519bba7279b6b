"""Timing, the machine's matrix-multiply rate, and the data of the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch

from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import SciarError
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.records import Crystal, Record
from sciar.tokenization.crystal import CrystalTokenizer

SIZES = {"6x256": (6, 256), "8x512": (8, 512)}


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Wall-clock time of each repeat, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


@cache
def matmul_rate(dtype: torch.dtype, repeats: int = 5) -> float:
    """Best FLOP/s of a matrix product over several shapes, with the current number of threads.

    The best repeat of the best shape: the ceiling that a training step is compared with.
    """
    best = 0.0
    for m, k, n in ((1024, 1024, 1024), (2048, 512, 2048), (2048, 256, 1408), (4096, 4096, 1024)):
        a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
        with torch.inference_mode():
            taken = min(seconds(partial(torch.mm, a, b), repeats))
        best = max(best, 2.0 * m * k * n / taken)
    return best


@cache
def crystals(limit: int) -> tuple[str, list[Record]]:
    """MP-20 where it is at hand, else the shipped sample; with the name of what it is."""
    return _first_of(("mp_20", "sample-crystals"), limit)


@cache
def molecules(limit: int) -> tuple[str, list[Record]]:
    """QM9 where it is at hand, else the shipped sample; with the name of what it is."""
    return _first_of(("qm9", "sample-molecules"), limit)


def _first_of(names: tuple[str, ...], limit: int) -> tuple[str, list[Record]]:
    for name in names:
        try:
            records, _ = read_all(resolve(name, "train"))
        except (SciarError, FileNotFoundError):
            continue
        return name, records[:limit]
    raise SystemExit(f"none of {names} is there, though the package has a sample: it is damaged")


def tokenizer_of(records: list[Record]) -> CrystalTokenizer:
    """Fitted on the first records. Cells stay as given: reduction is measured apart."""
    tokenizer = CrystalTokenizer(task="csp", max_atoms=60, cell="as-given")
    tokenizer.fit_statistics([r.structure for r in records[:500]])
    return tokenizer


def model_of(tokenizer: CrystalTokenizer, size: str) -> AutoregressiveModel:
    """A decoder with flow heads of width 256 and depth 3."""
    layers, hidden = SIZES[size]
    torch.manual_seed(0)
    config = ModelConfig(
        decoder=DecoderConfig(layers=layers, hidden=hidden, heads=hidden // 64),
        heads={"default": HeadConfig(options={"hidden": 256, "depth": 3})},
    )
    return AutoregressiveModel(
        tokenizer.vocabulary, tokenizer.layout.references, config, tokenizer.layout.relations
    )


def composition(record: Record) -> str:
    """As a request takes it."""
    assert isinstance(record.structure, Crystal)
    return " ".join(f"{s}{n}" for s, n in sorted(record.structure.composition.items()))


def zoo_model(name: str) -> Path | None:
    """Folder of a shipped model, if there is one."""
    import sciar

    folder = Path(sciar.__file__).parent / "zoo" / name
    return folder if (folder / "config.yaml").exists() else None


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)
