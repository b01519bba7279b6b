"""``sciar tokenize``: the tokens of structures, and the atoms they stand for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.commands import exits
from sciar.commands.files import write_json
from sciar.errors import RecordError
from sciar.records import Record, kind_of

if TYPE_CHECKING:
    from sciar.records import Structure
    from sciar.tokenization.base import LayoutTokenizer


def tokenize(file: str, model: str = "", format: str = "", limit: int = 1, json: str = "") -> int:
    """Show the tokens of structures: their numbers with units, and the atoms they stand for.

    Args:
        file: file or folder of structures.
        model: model whose tokenizer is used; default: the standard one for the structure.
        format: of the file where its name does not tell; default: as the model's training data
            were read.
        limit: structures shown, 0 for all.
        json: file for the tokens.
    """
    from itertools import islice

    from sciar.datasets.readers import read

    tokenizer, known = _of_model(model) if model else (None, None)
    rows: list[dict[str, Any]] = []
    bad = 0
    kind = tokenizer.reads if tokenizer else None
    items = read(Path(file), format=format or known, kind=kind)
    for item in islice(items, limit or None):
        try:
            if not isinstance(item, Record):
                raise item.error
            chosen = tokenizer or _standard(item.structure)
            rows.append({"id": item.id, "tokens": token_rows(chosen, chosen.example(item))})
        except RecordError as error:
            located = error.located(source=file, record=item.id)
            rows.append({"id": item.id, "error": str(located)})
            bad += 1
            print(f"sciar: error: {located}", file=sys.stderr)
        else:
            _show(rows[-1])
    if json:
        write_json(json, rows)
    return exits.of(len(rows) - bad, len(rows))


def token_rows(tokenizer: LayoutTokenizer, structure: Structure) -> list[dict[str, Any]]:
    """One row a token: place, name, id, what it describes, its atom in the input, its numbers.

    Raises:
        RecordError: the tokenizer cannot express the structure.
    """
    sequence = tokenizer.encode(structure)
    atoms = tokenizer.atoms_of(structure, sequence)
    vocabulary = tokenizer.vocabulary
    units = {s.slot: s.unit for s in tokenizer.part_for(structure).layout.segments if s.slot}
    rows = []
    for place, number in enumerate(sequence.ids.tolist()):
        label = int(sequence.labels[place])
        kind = int(sequence.kinds[place])
        row: dict[str, Any] = {"place": place, "token": vocabulary.names[number], "id": number}
        row["describes"] = vocabulary.names[label] if label >= 0 else None
        row["atom"] = atoms[place]
        if kind:
            slot = vocabulary.slots[kind - 1]
            row |= {
                "values": sequence.values[place, : slot.width].tolist(),
                "unit": units.get(slot.name, ""),
            }
        rows.append(row)
    return rows


def _of_model(name: str) -> tuple[LayoutTokenizer, str | None]:
    """Its tokenizer, and how its training data were read, if their names did not tell."""
    from sciar import api

    loaded = api.load(name)
    return loaded.tokenizer, loaded.info.get("format")


def _standard(structure: Structure) -> LayoutTokenizer:
    """The default tokenizer of a kind of structure, large enough for this one."""
    from sciar.tokenization.crystal import CrystalTokenizer
    from sciar.tokenization.molecule import MoleculeTokenizer

    standard = {"crystals": CrystalTokenizer, "molecules": MoleculeTokenizer}
    kind = kind_of(structure)
    if kind not in standard:
        raise RecordError(f"{kind} have no standard tokenizer; name a model with --model")
    return standard[kind](max_atoms=len(structure))


def _show(row: dict[str, Any]) -> None:
    print(f"{row['id']}: {len(row['tokens'])} tokens")
    print(f"{'place':>5}  {'token':<12} {'id':>4}  {'describes':<10} {'atom':>5}  values")
    for token in row["tokens"]:
        values = " ".join(f"{v:9.4f}" for v in token.get("values", ()))
        unit = f"  ({token['unit']})" if values else ""
        atom = "" if token["atom"] is None else token["atom"]
        describes = token["describes"] or ""
        print(
            f"{token['place']:>5}  {token['token']:<12} {token['id']:>4}  {describes:<10} "
            f"{atom:>5}  {values}{unit}"
        )
