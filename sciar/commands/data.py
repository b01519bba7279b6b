"""``sciar data``: named data sets, where they are, and how to fetch them."""

from __future__ import annotations

from pathlib import Path

from sciar.commands import exits
from sciar.commands.files import write_json


def data(json: str = "") -> int:
    """List the data sets that SciAR knows, and where they are on this machine.

    Args:
        json: file for the table.
    """
    from sciar.datasets.registry import catalogue

    rows = []
    for row in catalogue():
        entry, splits = row.dataset, ", ".join(row.splits)
        where = splits or ("sciar data fetch " + entry.name if row.fetchable else "not here")
        print(f"{entry.name:<25} {entry.kind:<10} {where:<28} {entry.what}")
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "what": entry.what,
                "licence": entry.licence,
                "splits": list(row.splits),
                "folder": None if row.folder is None else str(row.folder),
                "fetchable": row.fetchable,
            }
        )
    if json:
        write_json(json, rows)
    return exits.DONE


def fetch(name: str, folder: str = "") -> int:
    """Download a data set from its official source: checksum, resumable.

    Args:
        name: name of the set, see sciar data.
        folder: data folder to fill; default: the cache, where every command looks.
    """
    from sciar.datasets.fetch import fetch as download

    download(name, folder=Path(folder) if folder else None)
    return exits.DONE
