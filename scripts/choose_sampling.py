"""Compare sampling settings of a trained model on validation records, never on test ones.

    python scripts/choose_sampling.py runs/perov5-csp/model \
        --records DATA/crystals/perov_5/val.jsonl.gz --count 300 \
        --grid '{"steps": 20, "anneal": [0, 6, 15], "payload_temperature": [0.1, 1.0]}'

Crystals: match rate and RMSE of one sample for each composition, without the validity rule.
Molecules: ``--denovo N`` draws N molecules and counts stability and validity over all of them.
Every setting gets the same seed. Prints one JSON row a setting.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sciar.datasets.readers import read_all
from sciar.evaluation import evaluate_csp, evaluate_molecules
from sciar.folder import ModelFolder, load_folder
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.records import Crystal, Structure
from sciar.tokenization.cursor import Request


def settings_of(grid: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of a grid; a value that is no list is fixed."""
    choices = [v if isinstance(v, list) else [v] for v in grid.values()]
    for values in itertools.product(*choices):
        yield dict(zip(grid, values, strict=True))


def sampled(
    content: ModelFolder, requests: Sequence[Request], options: dict[str, Any]
) -> list[Structure | None]:
    """One structure for each request, in order."""
    settings = GenerationSettings.of({"batch_size": 256}, **options)
    found = draw(content.model, content.tokenizer, requests, settings)
    return [s.structure for s in sorted(found, key=lambda s: s.index)]


def crystal_row(
    content: ModelFolder, references: list[Crystal], options: dict[str, Any]
) -> dict[str, Any]:
    """Match rate and RMSE against the references."""
    requests = [content.tokenizer.request({"composition": dict(c.composition)}) for c in references]
    found = sampled(content, requests, options)
    result = evaluate_csp(
        [[s] for s in found], references, jobs=1, timeout=None, bootstrap=200, progress=False
    )
    return dict(result.summary()["without_validity"])


def molecule_row(content: ModelFolder, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """Stability and validity of de novo molecules; a failed sample counts against both."""
    found = sampled(content, [content.tokenizer.request({})] * count, options)
    return {"requested": count, **evaluate_molecules(found, progress=False).summary()}


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=Path, help="validation crystals")
    parser.add_argument("--count", type=int, default=300, help="how many of them, evenly spread")
    parser.add_argument("--denovo", type=int, default=0, help="molecules to draw instead")
    parser.add_argument("--grid", type=json.loads, default={})
    options = parser.parse_args()
    content = load_folder(options.folder)
    references: list[Crystal] = []
    if not options.denovo:
        records = read_all(options.records)[0]
        picked = records[:: max(1, len(records) // options.count)][: options.count]
        references = [r.structure for r in picked if isinstance(r.structure, Crystal)]
    for choice in settings_of(options.grid):
        start = time.perf_counter()
        if options.denovo:
            row = molecule_row(content, options.denovo, choice)
        else:
            row = crystal_row(content, references, choice)
        seconds = round(time.perf_counter() - start, 1)
        print(json.dumps({"settings": choice, "seconds": seconds, **row}), flush=True)


if __name__ == "__main__":
    main()
