"""Does a measured powder pattern guide a model? Samples with it, without it, and with another.

    python scripts/measured_patterns.py runs/mp20-octree-pxrd/model \
        DATA/xrd/perovskite_thinfilm/records.jsonl.gz --n 8 --json measured.json

For each pattern whose compound is known (``measured_patterns.yaml``) crystals of its composition
are drawn three ways: guided by the pattern, by none, and by the pattern of another compound. A
structure is judged by the correlation of its computed pattern with the measured one: it needs no
reference structure, and thin films have none. For ABX3 the classical alternative stands beside: the
ideal cubic perovskite whose edge fits the pattern best, which also says what the volume should be.
Every structure that was decoded counts, rejected or not; what failed is counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import sciar
from sciar.api.model import Model
from sciar.datasets.files import write_json
from sciar.datasets.formats.pattern import read_patterns
from sciar.errors import RecordError, UsageError
from sciar.evaluation import format_table
from sciar.evaluation.statistics import mean, ratio
from sciar.records import Crystal, PowderPattern
from sciar.tokenization.composition import parse_composition
from sciar.tokenization.diffraction import PatternGrid, peaks_of
from sciar.tokenization.pattern import PatternTokenizer

WAYS = ("guided", "without", "another")
EDGES = np.arange(3.6, 7.0, 0.02)
"""Angstrom: edges of the cubic perovskites that are tried."""

Phase = Mapping[str, Any]


def known_patterns(
    path: Path, phases: Sequence[Phase], grid: PatternGrid
) -> tuple[list[tuple[PowderPattern, Phase]], Counter[str]]:
    """Patterns with their compound, and how many of the file there are and why not all."""
    found: list[tuple[PowderPattern, Phase]] = []
    counts: Counter[str] = Counter()
    for pattern in read_patterns(path):
        counts["in_the_file"] += 1
        if not isinstance(pattern, PowderPattern):
            counts["unreadable"] += 1
            continue
        fits = (p for p in phases if any(fnmatchcase(pattern.id, name) for name in p["ids"]))
        phase = next(fits, None)
        if phase is None:
            counts["of_no_single_known_compound"] += 1
            continue
        try:
            grid.measured(pattern)
        except RecordError:
            counts["outside_the_range_of_the_model"] += 1
            continue
        found.append((pattern, phase))
    counts["asked_about"] = len(found)
    return found, counts


def perovskite(composition: Mapping[str, int], edge: float) -> Crystal | None:
    """The ideal cubic ABX3 of a composition of five atoms, written A, B, X; else ``None``."""
    if sorted(composition.values()) != [1, 1, 3]:
        return None
    (anion,) = (e for e, n in composition.items() if n == 3)
    large, small = (e for e, n in composition.items() if n == 1)
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Crystal(np.eye(3) * edge, (large, small, *[anion] * 3), np.array(sites))


@cache
def template_peaks(ask: str, grid: PatternGrid) -> list[tuple[float, PowderPattern]]:
    """Edges and peaks of the cubic perovskites of a composition; empty if it is no ABX3."""
    crystals = [(edge, perovskite(parse_composition(ask), edge)) for edge in EDGES]
    return [(float(edge), peaks_of(c, grid)) for edge, c in crystals if c is not None]


def agreements(
    pattern: PowderPattern, crystals: Sequence[Crystal | None], grid: PatternGrid
) -> list[float | None]:
    """Correlation with the measured pattern; ``None`` where there is no structure or no peak."""
    found: list[float | None] = []
    for crystal in crystals:
        try:
            found.append(
                None if crystal is None else grid.agreement(pattern, peaks_of(crystal, grid))
            )
        except RecordError:
            found.append(None)
    return found


def drawn(
    model: Model, items: Sequence[tuple[PowderPattern, Phase]], way: str, n: int, seed: int
) -> Iterator[list[Crystal | None]]:
    """The structures of each pattern, as they were decoded."""
    wishes = []
    for i, (pattern, phase) in enumerate(items):
        others = [p for p, other in (*items[i:], *items[:i]) if other["ask"] != phase["ask"]]
        by = {"guided": pattern, "without": "none", "another": others[0] if others else "none"}
        wishes.append({"composition": phase["ask"], "pxrd": by[way]})
    samples = model.generate(conditions=wishes, n=n, seed=seed, retries=0)
    structures = [s.rejected if s.record is None else s.record for s in samples]
    for i in range(len(items)):
        yield [s if isinstance(s, Crystal) else None for s in structures[i * n : (i + 1) * n]]


def check(
    model: Model, path: Path, phases: Sequence[Phase], n: int, seed: int, limit: int | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary with counts, and one row a pattern.

    Raises:
        UsageError: a model that reads no patterns, or none of the file's can be asked about.
    """
    tokenizer = model.tokenizer
    if not isinstance(tokenizer, PatternTokenizer):
        raise UsageError(f"{model.name} is not guided by powder patterns")
    grid = tokenizer.grid
    items, counts = known_patterns(path, phases, grid)
    allowed = [
        x for x in items if sum(parse_composition(x[1]["ask"]).values()) <= tokenizer.max_atoms
    ]
    counts["too_many_atoms_for_the_model"] = len(items) - len(allowed)
    items = allowed[:limit]
    if not items:
        raise UsageError(
            f"{path}: {model.name} can be asked about none of the patterns; {dict(counts)}"
        )
    rows: list[dict[str, Any]] = [
        {"id": p.id, "sample": phase["sample"], "asked": phase["ask"]} for p, phase in items
    ]
    for row, (pattern, phase) in zip(rows, items, strict=True):
        fits = [(grid.agreement(pattern, peaks), edge)
                for edge, peaks in template_peaks(phase["ask"], grid)]  # fmt: skip
        row["cubic"], row["cubic_edge"] = max(fits) if fits else (None, None)
    for way in WAYS:
        groups = drawn(model, items, way, n, seed)
        for row, (pattern, _), crystals in zip(rows, items, groups, strict=True):
            values = agreements(pattern, crystals, grid)
            known = [v for v in values if v is not None]
            row[way] = float(np.mean(known)) if known else None
            row[f"{way}_best"] = max(known, default=None)
            row[f"{way}_decoded"] = sum(c is not None for c in crystals)
            if row["cubic_edge"]:
                off = [
                    abs(c.volume / row["cubic_edge"] ** 3 - 1) for c in crystals if c is not None
                ]
                row[f"{way}_volume_error"] = float(np.median(off)) if off else None
    return summary(rows, counts, n), rows


def summary(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int], n: int) -> dict[str, Any]:
    """Means over patterns, each with how many they are over."""
    found: dict[str, Any] = {"patterns": dict(counts), "asked_now": len(rows), "samples_of_each": n}
    for way in WAYS:
        found[way] = {
            "decoded": ratio(sum(r[f"{way}_decoded"] for r in rows), n * len(rows)),
            "agreement": mean([r[way] for r in rows]),
            "agreement_of_the_best": mean([r[f"{way}_best"] for r in rows]),
            "volume_error_of_ABX3": mean([r.get(f"{way}_volume_error") for r in rows]),
        }
    found["cubic_perovskite_of_best_edge"] = {"agreement": mean([r["cubic"] for r in rows])}
    for other in WAYS[1:]:
        pairs = [(r["guided"], r[other]) for r in rows if None not in (r["guided"], r[other])]
        found[f"guided_above_{other}"] = ratio(sum(a > b for a, b in pairs), len(pairs))
    return found


def main() -> None:
    """Print the table, and write it with all rows if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("model", help="name or folder of a model that is guided by patterns")
    parser.add_argument("patterns", type=Path, help="file that sciar generate --pxrd takes")
    here = Path(__file__).with_name("measured_patterns.yaml")
    parser.add_argument("--phases", type=Path, default=here, help="what the samples are")
    parser.add_argument("--n", type=int, default=8, help="structures of each pattern")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only the first patterns")
    parser.add_argument("--json", default="", help="file for the summary and the rows")
    options = parser.parse_args()
    phases = yaml.safe_load(options.phases.read_text(encoding="utf-8"))
    model = sciar.load(options.model)
    found, rows = check(model, options.patterns, phases, options.n, options.seed, options.limit)
    print(format_table(found))
    if options.json:
        write_json(options.json, {"model": model.name, "summary": found, "rows": rows})


if __name__ == "__main__":
    main()
