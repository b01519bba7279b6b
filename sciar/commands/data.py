"""``sciar data``: named data sets, where they are, and how to fetch or make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def make(
    kind: str,
    folder: str,
    split: str = "",
    count: int = 1000,
    seed: int = 0,
    shard: int = 256,
    workers: int = 1,
    options: dict[str, Any] | None = None,
) -> int:
    """Make pictures or patterns with their programs; goes on where it was interrupted.

    Args:
        kind: dots, scenes, poses, haadf (micrographs) or pxrd (powder patterns).
        folder: where the shards go.
        split: distribution that is drawn from; default: the first of the kind, for training.
        count: how many pictures.
        seed: of all pictures; with its index it fixes each of them.
        shard: pictures in one file.
        workers: processes.
        options: of the maker, as --options.size 64.
    """
    from sciar.datasets.makers.registry import maker_of
    from sciar.datasets.makers.shards import Job
    from sciar.datasets.makers.shards import make as write

    maker = maker_of(kind, options or {})
    job = Job(maker, split or maker.splits[0], count, seed, shard)
    made = write(job, Path(folder), workers)
    print(f"{count} pictures in {job.shards} shards in {folder}; {made} shards made now")
    return exits.DONE
