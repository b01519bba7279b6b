"""``sciar predict MODEL FILE``: properties of structures from a trained model."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Any

from sciar.commands import exits
from sciar.commands.files import replace_file, write_json
from sciar.commands.interrupts import Interrupted, Interrupts
from sciar.errors import UsageError


def predict(
    model: str,
    input: str,
    format: str = "",
    views: int = 0,
    seed: int = 0,
    batch_tokens: int = 8192,
    out: str = "",
    json: str = "",
    device: str = "auto",
) -> int:
    """Predict properties of the structures of a file, one row a record.

    A record that cannot be read or encoded gives a row with its error, in its place. Exit codes:
    0 all there, 3 some failed, 1 none, 2 wrong usage; after Ctrl-C or SIGTERM what is finished is
    kept, and the code is 130 or 143. (sciar predict --config RECIPE gives the losses of a split,
    see sciar fit --help.)

    Args:
        model: folder of a model with property targets, or its name (see sciar models).
        input: file or folder of structures: SDF, CSV with a smiles or cif column, CIF, extxyz, ...;
            molecules without coordinates get those of ETKDG.
        format: of the input where its name does not tell, such as calpha or heavy-atoms (proteins
            of PDB and mmCIF files as points). Default: as the model's training data were read.
        views: average over so many augmented encodings of each record (rotations, orders of atoms)
            and report the spread, NAME_spread; 0 is the one plain encoding.
        seed: of the views.
        batch_tokens: tokens in one pass; it never changes the predictions.
        out: .csv or .jsonl, .gz behind it compresses. Default: JSON lines on the terminal.
        json: file for settings and counts.
        device: auto, cpu, cuda or cuda:1.
    """
    from tqdm import tqdm

    from sciar import api
    from sciar.commands.generate import device_of
    from sciar.datasets.formats.table import dump_table
    from sciar.datasets.formats.text import plain
    from sciar.datasets.readers import read

    name = out.lower().removesuffix(".gz")
    if out and not name.endswith((".csv", ".jsonl")):
        raise UsageError(f"{out}: predictions go to .csv or .jsonl")
    loaded = api.load(model, device_of(device))
    chosen = format or loaded.info.get("format")
    found = loaded.predict(
        read(input, format=chosen), views=views, seed=seed, batch_tokens=batch_tokens
    )
    rows: list[dict[str, Any]] = []
    good, signal = 0, 0
    with Interrupts() as interrupts:
        try:
            for prediction in tqdm(found, unit="record", file=sys.stderr, mininterval=1.0):
                with interrupts.shield():
                    good += prediction.ok
                    rows.append(plain(prediction.row()))
                    if not out:
                        print(json_module.dumps(rows[-1], ensure_ascii=False), flush=True)
        except Interrupted as stop:
            signal = stop.signal
        with interrupts.shield_quietly():
            if out.lower().removesuffix(".gz").endswith(".csv"):
                replace_file(Path(out), dump_table([_flat(row) for row in rows]).encode())
            elif out:
                lines = (json_module.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                replace_file(Path(out), "".join(lines).encode())
            counts = {"records": len(rows), "predicted": good, "failed": len(rows) - good}
            say = sys.stdout if out else sys.stderr
            print(", ".join(f"{k} {v:,}" for k, v in counts.items()), file=say)
            if json:
                facts = {"model": loaded.name, "input": input, "views": views, "seed": seed}
                write_json(json, {**facts, "interrupted": bool(signal), "counts": counts})
    return exits.SIGNAL + signal if signal else exits.of(good, len(rows))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Lists of one value an atom as JSON text, which a cell can hold."""
    return {k: json_module.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
