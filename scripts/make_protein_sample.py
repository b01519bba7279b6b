"""Make ``sciar/data/sample_proteins.jsonl``: invented proteins, so that trials need no download.

A chain is a walk through helices, strands and loops of geometric length; each state has its own
frequencies of residues, and a helix is amphipathic (period 3.6), a strand alternates. Labels follow
from what was drawn: the state of every residue (H, E, C), and by simple rules a number, a place, EC
numbers and sites. Nothing is taken from a database.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

POLAR, GREASY, LOOP = "EKRQDNST", "LAIVMFWY", "GPSNDTKE"
NEXT = {"C": "HE", "H": "C", "E": "C"}
MEAN = {"H": 11, "E": 6, "C": 7}


def invent(rng: np.random.Generator) -> tuple[str, str]:
    """A sequence and its states, 30 to about 120 residues."""
    length, state = int(rng.integers(30, 120)), "C"
    sequence, states = ["M"], ["C"]
    while len(sequence) < length:
        for place in range(int(rng.geometric(1 / MEAN[state])) + 1):
            inside = {"H": np.cos(2 * np.pi * place / 3.6) > 0.3, "E": place % 2 == 0}.get(state)
            letters = LOOP if inside is None else GREASY if inside else POLAR
            weights = 1.0 / np.arange(1, len(letters) + 1)
            sequence.append(letters[int(rng.choice(len(letters), p=weights / weights.sum()))])
            states.append(state)
        state = NEXT[state][int(rng.integers(len(NEXT[state])))]
    return "".join(sequence), "".join(states)


def rules(sequence: str, states: str) -> dict[str, object]:
    """Labels of the other types of answers."""
    helix, strand = states.count("H") / len(states), states.count("E") / len(states)
    return {
        "target": round(4 * sum(letter in GREASY for letter in sequence) / len(sequence), 4),
        "location": "Nucleus" if helix > strand else "Cytoplasm",
        "ec": ["3.4.21.4" if sequence.count("K") > sequence.count("E") else "1.1.1.1"],
        "sites": [i for i, letter in enumerate(sequence) if letter in "ST" and states[i] == "C"],
    }


def main(path: Path, number: int = 96) -> None:
    """Write the sample; the last sixth is for testing, the one before for validation."""
    rng = np.random.default_rng(20261124)
    rows = []
    for index in range(number):
        sequence, states = invent(rng)
        part = ("train", "val", "test")[max(0, index * 6 // number - 3)]
        row = {"id": f"sample-{index:03d}", "sequence": sequence, "labels": states, "split": part}
        row |= rules(sequence, states)
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[1] / "sciar" / "data" / "sample_proteins.jsonl"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
