"""``sciar oracle``: a network that judges the properties of generated molecules."""

from __future__ import annotations

import sys
from typing import Literal

from sciar.commands import exits
from sciar.errors import UsageError


def oracle(
    data: str,
    *,
    properties: str,
    out: str,
    half: Literal["first", "second", "all"] = "second",
    steps: int = 5000,
    batch_size: int = 32,
    lr: float = 1e-3,
    hidden: int = 64,
    layers: int = 4,
    cutoff: float = 8.0,
    seed: int = 0,
) -> int:
    """Train an oracle of properties (SchNet of torch-geometric) for sciar evaluate wanted.

    By EDM's protocol a conditional model and its oracle see different halves of the training data:
    a recipe takes the first with data.half, an oracle the second.

    Args:
        data: file or data set (its train split) of molecules with coordinates.
        properties: columns, such as gap,mu.
        out: folder of the oracle.
        half: half of the data, by the ids of its records.
        steps: of the optimiser.
        batch_size: molecules a step.
        lr: largest learning rate.
        hidden: width of the network.
        layers: interactions.
        cutoff: longest distance between atoms that see each other, in angstrom.
        seed: of weights, order and held-out molecules.
    """
    from dataclasses import replace

    from sciar.datasets.preparing import halved, source_path
    from sciar.datasets.readers import read_all
    from sciar.oracle.folder import save_oracle
    from sciar.oracle.network import Size
    from sciar.oracle.training import train_oracle

    names = [name.strip() for name in properties.split(",") if name.strip()]
    if not names:
        raise UsageError("--properties names no column")
    records, failures = read_all(source_path(data, "train"))
    records = records if half == "all" else halved(records, half)
    size = Size(hidden, layers, cutoff=cutoff)
    made = train_oracle(
        records, names, size=size, steps=steps, batch_size=batch_size, lr=lr, seed=seed,
        tell=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    facts = {"data": data, "half": f"{half} half" if half != "all" else "", **made.facts}
    save_oracle(out, replace(made, facts=facts))
    print(
        f"oracle of {', '.join(names)}: {made.facts['molecules']:,} molecules, "
        f"{made.facts['left_out']:,} left out, {len(failures):,} unreadable; written to {out}"
    )
    return exits.SOME_FAILED if failures else exits.DONE
