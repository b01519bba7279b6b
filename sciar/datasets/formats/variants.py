"""Variants of a wild type, as the tables of deep mutational scans name them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciar.errors import RecordError, UsageError

_SUBSTITUTION = re.compile(r"([A-Z])(\d+)([A-Z*])")


class Variants:
    """Sequences from ``A108D,G110S``, or from one letter for each mutated position.

    Args:
        meta: ``wild_type``, and either ``offset`` (position of the first residue) or
            ``mutated_positions_0based``.

    Raises:
        UsageError: one of them is missing.
    """

    def __init__(self, meta: Mapping[str, Any]) -> None:
        wild_type, places = meta.get("wild_type"), meta.get("mutated_positions_0based")
        if not isinstance(wild_type, str) or (places is None and "offset" not in meta):
            raise UsageError("wild_type and offset, or mutated_positions_0based, are needed")
        self.wild_type = wild_type
        self.places = None if places is None else [int(place) for place in places]
        self.offset = int(meta.get("offset", 0))

    @classmethod
    def beside(cls, table: Path) -> Variants:
        """Read ``meta.json`` in the folder of a table.

        Raises:
            UsageError: it is missing, unreadable or incomplete.
        """
        path = table.with_name("meta.json")
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            return cls(meta if isinstance(meta, dict) else {})
        except (OSError, ValueError, TypeError, UsageError) as error:
            raise UsageError(
                f"{table}: has variants but no sequence column, and {path.name} beside it does not "
                f"say what they are variants of ({error})"
            ) from error

    def sequence(self, variant: str) -> str:
        """The sequence of one variant.

        Raises:
            RecordError: unreadable, outside the wild type, or at odds with it.
        """
        letters = list(self.wild_type)
        if self.places is not None:
            if len(variant) != len(self.places):
                raise RecordError(
                    f"the variant {variant!r} does not have {len(self.places)} letters",
                    field="variant",
                )
            for place, letter in zip(self.places, variant, strict=True):
                letters[place] = letter
            return "".join(letters)
        for part in variant.split(","):
            found = _SUBSTITUTION.fullmatch(part.strip())
            if found is None:
                raise RecordError(f"cannot read the substitution {part!r}", field="variant")
            place = int(found[2]) - self.offset
            if not 0 <= place < len(letters):
                raise RecordError(f"{part} lies outside the wild type", field="variant")
            if self.wild_type[place] != found[1]:
                raise RecordError(
                    f"{part}: the wild type has {self.wild_type[place]} there", field="variant"
                )
            letters[place] = found[3]
        return "".join(letters)
