"""Ablations of the crystal layout and of the payload head on perov-5 (short runs).

    python scripts/ablations.py --steps 1500 --crystals 400 --json docs/ablations.json

Every variant is trained on the same batches for the same number of steps, then draws one structure
for each of the same validation crystals (never test). Prints one JSON row a variant.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch

from sciar.datasets.datamodule import StructureData
from sciar.evaluation import evaluate_csp
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.model import HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Crystal, Structure
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.averaging import EMAWeightAveraging
from sciar.tasks.precision import fitting_precision
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.compat import UniGenXTokenizer
from sciar.tokenization.crystal import LATTICE, SITE, CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

FLOW = "sciar.heads.flow.FlowHead"
DIFFUSION = "sciar.heads.diffusion.DiffusionHead"


def crystal(**options: Any) -> Callable[[], LayoutTokenizer]:
    """The default layout with some options changed."""
    return lambda: CrystalTokenizer(
        **{"task": "csp", "max_atoms": 5, "cell": "as-given", **options}
    )


def plain_numbers() -> LayoutTokenizer:
    """Fractional coordinates as plain numbers instead of points on the torus."""
    names = crystal_vocabulary().names
    vocabulary = Vocabulary(names, (SlotKind(LATTICE, 6), SlotKind(SITE, 3)))
    return CrystalTokenizer("csp", 5, "as-given", vocabulary=vocabulary)


class Unscaled(CrystalTokenizer):
    """One unit-variance schedule for all slots, as in the original."""

    def fit_statistics(self, structures: Any) -> None:
        """Leave mean 0 and standard deviation 1."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    tokenizer: Callable[[], LayoutTokenizer] = field(default_factory=crystal)
    identity: bool = True
    head: str = FLOW
    sampling: tuple[tuple[str, Any], ...] = (("steps", 20),)


DEFAULT = Variant("default layout, torus flow, 20 evaluations")
VARIANTS = (
    DEFAULT,
    replace(DEFAULT, name="slots do not know their atom", identity=False),
    replace(DEFAULT, name="coordinates as plain numbers", tokenizer=plain_numbers),
    replace(DEFAULT, name="no standardisation", tokenizer=lambda: Unscaled("csp", 5, "as-given")),
    replace(DEFAULT, name="order of the file", tokenizer=crystal(order="file")),
    replace(
        DEFAULT,
        name="UniGenX layout (lattice rows, plain numbers, no identity)",
        tokenizer=lambda: UniGenXTokenizer("material"),
        identity=False,
    ),
    replace(
        DEFAULT,
        name="UniGenX layout, epsilon head, DDPM 200",
        tokenizer=lambda: UniGenXTokenizer("material"),
        identity=False,
        head=DIFFUSION,
        sampling=(("steps", 200), ("method", "ddpm")),
    ),
    replace(
        DEFAULT,
        name="default layout, epsilon head, DDPM 200",
        head=DIFFUSION,
        sampling=(("steps", 200), ("method", "ddpm")),
    ),
    replace(
        DEFAULT,
        name="default layout, epsilon head, DPM-Solver++ 20",
        head=DIFFUSION,
        sampling=(("steps", 20), ("method", "dpm")),
    ),
    replace(DEFAULT, name="coordinates in a window, flow", tokenizer=crystal(coordinates="plain")),
    replace(
        DEFAULT,
        name="coordinates in a window, epsilon head, DPM-Solver++ 20",
        tokenizer=crystal(coordinates="plain"),
        head=DIFFUSION,
        sampling=(("steps", 20), ("method", "dpm")),
    ),
    replace(
        DEFAULT, name="default, anneal 6, 40 evaluations", sampling=(("steps", 40), ("anneal", 6.0))
    ),
)


def train(variant: Variant, steps: int, budget: int) -> AutoregressiveTask:
    """A small model of one variant."""
    data = StructureData(["perov_5"], variant.tokenizer(), batch_tokens=budget, cache="runs/cache")
    config = ModelConfig(
        decoder=DecoderConfig(layers=4, hidden=128, heads=4),
        heads={"default": HeadConfig(variant.head, {"hidden": 128, "depth": 3})},
        identity=variant.identity,
        max_anchors=24,
    )
    task = AutoregressiveTask(
        data.fitted_tokenizer,
        config,
        NextTokenObjective(noise=0.02),
        warmup=100,
        matmul_precision="medium",
    )
    trainer = L.Trainer(
        max_steps=steps,
        precision=fitting_precision("cpu"),
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        accelerator="cpu",
        callbacks=[EMAWeightAveraging(decay=0.995)],
    )
    trainer.fit(task, data)
    return task


def measure(task: AutoregressiveTask, variant: Variant, crystals: int, jobs: int) -> dict[str, Any]:
    """Match rate and RMSE on validation crystals, one sample each, without the validity rule."""
    torch.set_float32_matmul_precision("highest")
    records = StructureData(["perov_5"], task.tokenizer).records("val")[:crystals]
    references = [r.structure for r in records if isinstance(r.structure, Crystal)]
    settings = GenerationSettings.of({"batch_size": 256}, **dict(variant.sampling))
    requests = [task.tokenizer.request({"composition": dict(c.composition)}) for c in references]
    start = time.perf_counter()
    samples = sorted(
        draw(task.model.eval(), task.tokenizer, requests, settings), key=lambda s: s.index
    )
    seconds = time.perf_counter() - start
    predictions: list[list[Structure | None]] = [[s.structure] for s in samples]
    result = evaluate_csp(
        predictions, references, jobs=jobs, timeout=None, bootstrap=200, progress=False
    ).summary()
    return {"variant": variant.name, "seconds": seconds, "result": result}


def main() -> None:
    """Run all variants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--crystals", type=int, default=400)
    parser.add_argument("--budget", type=int, default=1792)
    parser.add_argument("--only", type=int, nargs="*", help="these, in this order")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    rows: list[dict[str, Any]] = []
    trained: dict[Any, AutoregressiveTask] = {}
    for number in options.only or range(len(VARIANTS)):
        variant = VARIANTS[number]
        key = (variant.tokenizer, variant.identity, variant.head)
        if key not in trained:
            trained[key] = train(variant, options.steps, options.budget)
        rows.append(measure(trained[key], variant, options.crystals, options.jobs))
        print(json.dumps(rows[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps({"steps": options.steps, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
