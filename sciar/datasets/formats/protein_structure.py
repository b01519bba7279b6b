"""Sequences from PDB and mmCIF files: the residues that have coordinates, chain by chain."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sciar.datasets.formats.entry import Entry
from sciar.datasets.formats.text import decode, open_bytes
from sciar.errors import RecordError
from sciar.records import Protein


def read(path: Path, *, mmcif: bool, chain: str = "") -> Iterator[Entry]:
    """One entry per protein chain of the first model, or the chain that is asked for.

    Modified residues count as their parents (MSE as M), unknown ones as X; residues without
    coordinates are not seen. The chain names of mmCIF are those of the authors.
    """
    with open_bytes(path) as stream:
        raw = stream.read()
    try:
        found = _sequences(decode(raw), mmcif)
    except RecordError as error:
        yield Entry.failed(error)
        return
    if not found:
        yield Entry.failed(RecordError("there is no protein chain in this file"))
    elif chain and chain not in found:
        known = ", ".join(found)
        yield Entry.failed(
            RecordError(f"there is no protein chain {chain!r}; found: {known}", field="chain")
        )
    else:
        stem = Path(path.name.removesuffix(".gz")).stem
        for name in [chain] if chain else found:
            yield Entry(f"{stem}_{name}", partial(_build, found[name], name))


def first_model(text: str, mmcif: bool) -> Iterable[Any]:
    """Biopython's chains of the first model of a file; none if it holds no model.

    Raises:
        RecordError: Biopython cannot read the file.
    """
    from Bio.PDB import MMCIFParser, PDBParser

    parser = MMCIFParser(QUIET=True) if mmcif else PDBParser(QUIET=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models = list(parser.get_structure("file", io.StringIO(text)))
    except Exception as error:  # the parsers raise whatever a damaged file makes them raise
        kind = "mmCIF" if mmcif else "PDB"
        raise RecordError(f"cannot be read as a {kind} file: {error!r}") from error
    return models[0] if models else ()


def _sequences(text: str, mmcif: bool) -> dict[str, str]:
    """Chain name -> sequence, for the chains that hold amino acids.

    Raises:
        RecordError: Biopython cannot read the file.
    """
    from Bio.Data.PDBData import protein_letters_3to1_extended as letters

    found = {}
    for chain in first_model(text, mmcif):
        residues = [(r.resname.strip(), r.id[0]) for r in chain if "CA" in r]
        known = [(name, kind) for name, kind in residues if name in letters or kind == " "]
        if any(name in letters for name, _ in known):
            found[chain.id] = "".join(letters.get(name, "X") for name, _ in known)
    return found


def _build(sequence: str, chain: str) -> tuple[Protein, dict[str, Any]]:
    return Protein.from_text(sequence), {"chain": chain}
