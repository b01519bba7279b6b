"""``python -m benchmarks [--quick] [--json FILE] [--only PART ...]``, see README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import (
    annotate,
    data,
    encoder,
    generation,
    octrees,
    quality,
    retrieval,
    training,
)

Rows = list[dict[str, Any]]
PARTS: dict[str, tuple[str, Callable[..., Rows]]] = {
    "training": ("Whole training steps on packed crystals", training.run),
    "length": ("Training against the length of the sequences (fp32, 6x256)", training.by_length),
    "generation": ("Ten-atom crystals, 6x256 decoder, flow heads 256 x 3", generation.run),
    "quality": ("Perov-5 model: match rate against evaluations, paired", quality.curve),
    "octree": ("Octree encoding, and tokens before and after each compression", data.octrees),
    "octree-generation": (
        "Molecules from octrees, 5.8 M parameters, led through real molecules",
        octrees.run,
    ),
    "retrieval": ("Index of known structures, synthetic crystals, three templates", retrieval.run),
    "tokenizers": ("Tokenizers against the parser", data.tokenizers),
    "encoder": ("Encoder of proteins: share of the matrix rate (fp32)", encoder.speed),
    "store": ("Vectors of an encoder, made and written, and read from disk", encoder.store),
    "annotate": ("Batch jobs over proteins against the encoder alone", annotate.speed),
    "annotate-memory": ("Peak memory of a batch job over proteins", annotate.memory),
    "memory": ("Peak memory of reading, encoding, caching, iterating", data.memory),
}


def main() -> None:
    arguments = options()
    torch.set_num_threads(arguments.threads)
    results: dict[str, Any] = {"machine": machine(), "quick": arguments.quick}
    print(f"{results['machine']}\n")
    options_of = {"quality": {"slow": arguments.slow, "crystals": arguments.crystals}}
    for name in arguments.only or PARTS:
        title, part = PARTS[name]
        rows = part(arguments.quick, **options_of.get(name, {}))
        results[name] = rows
        print(f"{title}\n{table(rows)}\n", flush=True)
    if arguments.json:
        scratch = arguments.json.with_name(arguments.json.name + ".tmp")
        scratch.write_text(json.dumps(results, indent=1), encoding="utf-8")
        os.replace(scratch, arguments.json)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers here too")
    parser.add_argument(
        "--slow", type=Path, metavar="MODEL", help="model with diffusion heads, for quality"
    )
    parser.add_argument("--crystals", type=int, metavar="N", help="for quality; default: all")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="only these parts")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s"
    )
    return parser.parse_args()


def machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0].partition(":")[2].strip() if names else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def table(rows: Rows) -> str:
    if not rows:
        return "  (nothing to measure here)"
    columns = list(rows[0])
    cells = [columns, *([text(row.get(c)) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  " + "  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells
    )


def text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
