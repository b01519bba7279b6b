"""Quality against the number of function evaluations, paired with a slow sampler."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import composition, zoo_model
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import SciarError
from sciar.folder import ModelFolder, load_folder
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.heads.diffusion import DiffusionHead
from sciar.records import Crystal, Record

EVALUATIONS = (2, 4, 8, 20, 50, 100)
SLOW = 200
MARGIN = 0.005
"""Half a point of the match rate."""


@dataclass
class Run:
    """One way of sampling.

    Attributes:
        content: the model.
        settings: how it samples.
        hits: one (n,) row of matches a round.  rmse: of the matches.
        seconds: time of sampling, without the matching.
    """

    content: ModelFolder
    settings: GenerationSettings
    hits: list[np.ndarray] = field(default_factory=list)
    rmse: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def sample(self, records: list[Record]) -> None:
        """One more structure for each record: the next round's keys, the same in every run."""
        tokenizer = self.content.tokenizer
        wanted = [tokenizer.request({"composition": composition(r)}, id=r.id) for r in records]
        first = len(self.hits) * len(records)
        start = time.perf_counter()
        samples = draw(self.content.model, tokenizer, wanted, self.settings, first_index=first)
        found = {s.index - first: s.structure for s in samples}
        self.seconds += time.perf_counter() - start
        hits, rmse = match(records, [found[i] for i in range(len(records))])
        self.hits.append(hits)
        self.rmse += rmse

    def row(self, name: str, slow: Run | None) -> dict[str, Any]:
        """What the table shows; differences in points of the match rate."""
        drawn = sum(map(len, self.hits))
        row = {
            "sampler": name,
            "evaluations": self.settings.payload.steps,
            "samples": drawn,
            "structures_per_s": round(drawn / self.seconds, 1),
            "match_rate": round(float(np.mean(self.hits)), 4),
            "rmse": round(float(np.mean(self.rmse)), 4) if self.rmse else None,
        }
        if slow is None:
            return row | {"minus_slow": None, "standard_error": None, "within_half_a_point": None}
        rounds = min(len(self.hits), len(slow.hits))
        difference, error = paired(np.array(self.hits[:rounds]), np.array(slow.hits[:rounds]))
        return row | {
            "minus_slow": round(100 * difference, 2),
            "standard_error": round(100 * error, 2),
            "within_half_a_point": verdict(difference, error),
        }


def paired(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Mean difference of two (rounds, n) arrays of matches, and its standard error.

    The unit is the crystal: several samples of one crystal are not independent, so their mean
    counts once.
    """
    each = (ours.astype(float) - theirs.astype(float)).mean(0)
    error = each.std(ddof=1) / math.sqrt(len(each)) if len(each) > 1 else math.inf
    return float(each.mean()), float(error)


def verdict(difference: float, error: float) -> str:
    """Whether the match rate is at most half a point below the slow one, at 95 % confidence."""
    if difference - 1.96 * error >= -MARGIN:
        return "yes"
    return "no" if difference + 1.96 * error < -MARGIN else "undecided"


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def curve(
    quick: bool,
    slow: Path | None = None,
    crystals: int | None = None,
    rounds: int = 4,
    show: Callable[[str], object] = say,
) -> list[dict[str, Any]]:
    """The shipped Perov-5 model on validation crystals, for several numbers of evaluations.

    Args:
        quick: 20 crystals, two settings.
        slow: folder of the model to compare with, by default the shipped one. With diffusion heads
            it takes 200 DDPM steps, else 200 evaluations.
        crystals: how many; by default the whole validation split.
        rounds: most samples of each crystal. The model's own setting and the slow sampler are
            drawn again until half a point is twice the standard error, or this many times.
        show: takes one line for each row as soon as it is measured.
    """
    folder = zoo_model("perov5-csp")
    if folder is None:
        return []
    content = load_folder(folder)
    try:
        records = read_all(resolve("perov_5", "val"))[0]
    except SciarError:
        return []
    wanted = 20 if quick else crystals or len(records)
    records = records[:: max(1, len(records) // wanted)][:wanted]
    reference = _slow(content, slow)
    own = GenerationSettings.of(content.sampling).payload.steps or 20
    numbers = (2, own) if quick else sorted({*EVALUATIONS, own})
    runs = {n: Run(content, _settings(content, n)) for n in numbers}
    ancestral = reference.settings.payload.method == "ddpm"
    name = f"slow: {SLOW} {'DDPM steps' if ancestral else 'evaluations'}"

    def measure(run: Run) -> None:
        """One round; its row is shown at once, because the whole table takes long."""
        run.sample(records)
        row = run.row(name, None) if run is reference else run.row("engine", reference)
        show(f"  {', '.join(f'{key} {value}' for key, value in row.items() if value is not None)}")

    # The slow sampler comes first, as the others are compared with it.
    for run in (reference, *runs.values()):
        measure(run)
    for _ in range(0 if quick else rounds - 1):
        _, error = paired(np.array(runs[own].hits), np.array(reference.hits))
        if 1.96 * error <= MARGIN:
            break
        for run in (reference, runs[own]):
            measure(run)
    rows = [run.row("engine", reference) for run in runs.values()]
    return [*rows, reference.row(name, None)]


def _slow(content: ModelFolder, folder: Path | None) -> Run:
    other = content if folder is None else load_folder(folder)
    ancestral = all(isinstance(head, DiffusionHead) for head in other.model.heads)
    return Run(other, _settings(other, SLOW, **({"method": "ddpm"} if ancestral else {})))


def _settings(content: ModelFolder, steps: int, **more: Any) -> GenerationSettings:
    """The model's own settings with another number of evaluations."""
    return GenerationSettings.of({**content.sampling, "steps": steps, **more}, batch_size=256)


def match(records: list[Record], predicted: list[Any]) -> tuple[np.ndarray, list[float]]:
    """(n,) matches of one sample each, by the evaluation that the reports use, and their RMSE."""
    from sciar.evaluation.csp import evaluate_csp

    result = evaluate_csp(
        [[structure] for structure in predicted],
        [r.structure for r in records if isinstance(r.structure, Crystal)],
        ids=[record.id for record in records],
        jobs=os.cpu_count() or 1,
        bootstrap=0,
        progress=False,
    )
    hits = np.array([row.matched for row in result.rows])
    return hits, [row.rmse for row in result.rows if row.rmse is not None]
