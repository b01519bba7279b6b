"""FASTA files with good and bad records, as batch jobs meet them."""

from __future__ import annotations

import random
from pathlib import Path

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def bad_records(draw: random.Random) -> list[tuple[str | None, str]]:
    """Header (``None``: that of the record before) and body of what goes wrong in real files."""
    sequence = "".join(draw.choices(LETTERS, k=60))
    return [
        ("stop", f"{sequence[:30]}*{sequence[30:]}"),
        ("digits", f"{sequence[:10]}1234{sequence[10:]}"),
        ("empty", ""),
        ("giant", "".join(draw.choices(LETTERS, k=40_000))),
        (None, sequence),
    ]


def write_fasta(path: Path, number: int, *, bad_every: int = 100, seed: int = 0) -> list[str]:
    """A file of ``number`` records, one in ``bad_every`` bad; returns the names in the headers."""
    draw = random.Random(seed)
    names: list[str] = []
    with path.open("w", encoding="ascii") as stream:
        kinds: list[tuple[str | None, str]] = []
        for i in range(number):
            name, body = f"p{i}", "".join(draw.choices(LETTERS, k=draw.randint(20, 400)))
            if bad_every and i % bad_every == bad_every - 1:
                kinds = kinds or bad_records(draw)
                kind, body = kinds.pop(0)
                name = names[-1] if kind is None else f"{kind}{i}"
            names.append(name)
            stream.write(f">{name} made for a test\n{body}\n")
    return names
