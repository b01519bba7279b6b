"""``sciar models``: which models are installed."""

from __future__ import annotations

import sys

from sciar import zoo
from sciar.commands import exits
from sciar.commands.files import write_json
from sciar.errors import ModelError


def models(name: str = "", json: str = "") -> int:
    """List the installed models, or show the card of one.

    Args:
        name: model whose card is shown, with its metrics and their counts, and with the properties
            that it may be asked for.
        json: file for the table.
    """
    if name:
        folder = zoo.find(name)
        card = folder / "card.md"
        print(card.read_text(encoding="utf-8") if card.exists() else "this model has no card")
        for line in zoo.describe(folder).properties:
            print(line)
        return exits.DONE
    rows, bad = [], 0
    for folder in zoo.paths().values():
        try:
            rows.append(zoo.describe(folder).row())
        except ModelError as error:
            print(f"sciar: error: {error}", file=sys.stderr)
            bad += 1
    if json:
        write_json(json, rows)
    if not rows and not bad:
        print("no model is installed; train one with sciar fit, and use its folder as MODEL")
    for row in rows:
        atoms = f"up to {row['max_atoms']} atoms" if row["max_atoms"] else ""
        parameters = f"{row['parameters']:,} parameters" if row["parameters"] else ""
        what = ", ".join(x for x in (row["tokenizer"], row["task"], atoms, parameters) if x)
        print(f"{row['name']:<28} {row['megabytes']:6.1f} MB  {what}")
        if row["data"]:
            print(f"{'':<28} {'':>9}  {row['data']}")
    return exits.SOME_FAILED if bad else exits.DONE
