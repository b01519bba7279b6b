"""Writes sciar/evaluation/data/oxidation_states.json.

The facts are the oxidation states of SMACT's 2014 list (the one that CDVAE, DiffCSP and FlowMM
used through ``smact.Element.oxidation_states`` of smact 2.x), the Pauling electronegativities and
the list of metals of the same package. Run it with smact installed:

    python scripts/make_oxidation_table.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import smact
from pymatgen.core import Element

TARGET = Path(__file__).parents[1] / "sciar" / "evaluation" / "data" / "oxidation_states.json"


def entry(symbol: str) -> dict[str, Any] | None:
    """States, electronegativity and metal flag of one element, ``None`` if smact has no data."""
    try:
        element = smact.Element(symbol)
    except KeyError:
        return None
    chi = element.pauling_eneg
    return {
        "states": sorted(element.oxidation_states_smact14 or []),
        "electronegativity": float(chi) if chi is not None else None,
        "metal": symbol in smact.metals,
    }


def main() -> None:
    """Collect all elements and replace the file in one step."""
    symbols = [Element.from_Z(z).symbol for z in range(1, 119)]
    rows = {s: e for s in symbols if (e := entry(s)) is not None}
    source = (
        f"smact {smact.__version__}: oxidation_states (2014 list), Pauling electronegativities, "
        "metals; written by scripts/make_oxidation_table.py"
    )
    lines = [f"  {json.dumps(s)}: {json.dumps(e)}" for s, e in rows.items()]
    text = f'{{"source": {json.dumps(source)},\n "elements": {{\n' + ",\n".join(lines) + "\n}}\n"
    json.loads(text)
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, TARGET)


if __name__ == "__main__":
    main()
