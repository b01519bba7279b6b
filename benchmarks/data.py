"""Tokenizer speed against the parser alone, and peak memory of reader and cache."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import crystals
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.datasets.writers import write
from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Record
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.octree import encode
from sciar.tokenization.octree_grid import ANCHORS, preset
from sciar.tokenization.octree_lengths import mean_lengths


def tokenizers(quick: bool) -> list[dict[str, Any]]:
    """Structures a second of reading alone, and of encoding what was read."""
    source, records = crystals(200 if quick else 2000)
    rows = []
    for cell in ("as-given", "niggli"):
        tokenizer = CrystalTokenizer(task="csp", max_atoms=60, cell=cell)
        rows.append({"data": source, "tokenizer": f"crystal, {cell}", **speeds(records, tokenizer)})
    molecules = read_all(resolve("sample-molecules", "train"))[0]
    rows.append(
        {
            "data": "sample-molecules",
            "tokenizer": "molecule, conformer",
            **speeds(molecules, MoleculeTokenizer()),
        }
    )
    return rows


def octrees(quick: bool) -> list[dict[str, Any]]:
    """Molecules a second into an octree, and mean tokens a molecule in each description."""
    records = read_all(resolve("sample-molecules", "train"))[0][: 50 if quick else None]
    rows = []
    for name in ("qm9", "molecule"):
        for anchor in ANCHORS:
            grid = replace(preset(name), anchor=anchor)
            rng = np.random.default_rng(0)
            many = []
            start = time.perf_counter()
            for record in records:
                molecule = record.structure
                if isinstance(molecule, Molecule) and molecule.positions is not None:
                    many.append(encode(molecule.positions, molecule.symbols, grid, rng))
            taken = time.perf_counter() - start
            lengths = {k: round(v, 1) for k, v in mean_lengths(many).items()}
            speed = round(len(many) / taken)
            rows.append({"preset": name, "anchor": anchor, **lengths, "molecules_per_s": speed})
    return rows


def speeds(records: list[Record], tokenizer: Any) -> dict[str, Any]:
    """The parser is timed on a JSON Lines file of the same records."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        write(records, path)
        start = time.perf_counter()
        read, _ = read_all(path)
        parsing = time.perf_counter() - start
    done = 0
    start = time.perf_counter()
    for record in read:
        try:
            tokenizer.encode(record.structure)
            done += 1
        except RecordError:
            continue
    encoding = time.perf_counter() - start
    return {
        "records": len(read),
        "encoded": done,
        "parsed_per_s": round(len(read) / parsing),
        "encoded_per_s": round(len(read) / encoding),
        "encoding_over_parsing": round(encoding / parsing, 2),
    }


_CHILD = """
import json, resource, sys
from pathlib import Path
from benchmarks.common import tokenizer_of
from sciar.datasets.readers import read_all
from sciar.datasets.batching import PackedLoader
from sciar.datasets.tokens import cached
unit = 1 if sys.platform == "darwin" else 1024
status = Path("/proc/self/status")
def peak():
    # On Linux ru_maxrss outlives exec, so a child would report its parent's peak; VmHWM does not.
    if status.exists():
        line = next(l for l in status.read_text().splitlines() if l.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
start = peak()
records, failures = read_all(Path(sys.argv[1]))
read = peak()
cache = cached(records, tokenizer_of(records), Path(sys.argv[2]))
for pack in PackedLoader(cache, 2560):
    pass
print(json.dumps({"imported_mib": start, "read_mib": read, "cached_mib": peak(),
                  "records": len(cache)}))
"""


def memory(quick: bool) -> list[dict[str, Any]]:
    """Peak resident memory of a process that reads, encodes, caches and iterates structures."""
    count = 1000 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.jsonl"
        write(many(count), path)
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(path), folder],
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return [{"structures": count, **{k: round(v) for k, v in found.items()}}]


def many(count: int) -> list[Record]:
    """The crystals at hand, repeated with small displacements."""
    _, base = crystals(2000)
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        crystal = base[i % len(base)].structure
        assert isinstance(crystal, Crystal)
        moved = crystal.frac + 0.01 * rng.standard_normal(crystal.frac.shape)
        made.append(Record(f"r{i}", Crystal(crystal.lattice, crystal.species, moved)))
    return made
