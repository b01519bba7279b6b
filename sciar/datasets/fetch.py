"""Fetch a named data set from its official address into the cache folder.

Checksums that are known in advance are enforced. Where none is published the first fetch records
what it got in ``fetch.lock.json`` (trust on first use) and says so; later fetches, on this cache,
must match the record.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from sciar.datasets.download import ResumableDownloader
from sciar.datasets.registry import DataSet, Download, cache_folder, lookup
from sciar.errors import UsageError

Say = Callable[[str], None]


def fetch(
    name: str,
    *,
    folder: Path | None = None,
    progress: bool = True,
    say: Say = print,
    dataset: DataSet | None = None,
) -> Path:
    """Download all files of a set; finished ones are kept, unfinished ones continued.

    Args:
        name: name in the registry.
        folder: data folder to fill instead of the cache.
        progress: show progress bars.
        say: receives the remarks (what was fetched, what was trusted).
        dataset: an entry to use instead of the registry's.

    Returns:
        The folder of the set.

    Raises:
        UsageError: unknown set, no known address, no connection, wrong checksum, no space.
    """
    entry = dataset or lookup(name)
    if not entry.downloads:
        raise UsageError(
            f"no official address is known for {entry.name}; put its files into "
            f"$SCIAR_DATA/{entry.kind}/{entry.name}/"
        )
    root = folder or cache_folder()
    target = root / entry.kind / entry.name
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{target}: cannot be made ({error.strerror})") from error
    lock = _Lock(root / "fetch.lock.json")
    for download in entry.downloads:
        _fetch_file(entry, download, target, lock, progress, say)
    say(f"{entry.name} is in {target}")
    return target


def _fetch_file(
    entry: DataSet, download: Download, target: Path, lock: _Lock, progress: bool, say: Say
) -> None:
    import pooch

    key = f"{entry.kind}/{entry.name}/{download.file}"
    expected = download.sha256 or lock.get(key)
    downloader = ResumableDownloader(target / f"{download.file}.part", progress=progress)
    try:
        path = pooch.retrieve(
            download.url,
            known_hash=f"sha256:{expected}" if expected else None,
            fname=download.file,
            path=target,
            downloader=downloader,
        )
    except ValueError as error:  # pooch's checksum mismatch
        raise UsageError(
            f"{download.url}: the checksum is not {expected}; the file was thrown away. It changed "
            f"at the source or was damaged on the way: fetch again, or, if the change is known, "
            f"remove {key!r} from {lock.path}"
        ) from error
    if expected is None:
        digest = pooch.file_hash(path)
        lock.set(key, digest)
        say(
            f"{download.file}: no checksum is published; trusted on first use, sha256 {digest} "
            f"recorded in {lock.path}"
        )
    if download.file.endswith(".zip"):
        _unpack(Path(path), target)


def _unpack(archive: Path, target: Path) -> None:
    """Files of the archive, folders inside it dropped; complete files are left alone."""
    try:
        with zipfile.ZipFile(archive) as members:
            for info in members.infolist():
                file = target / Path(info.filename).name
                if info.is_dir() or (file.exists() and file.stat().st_size == info.file_size):
                    continue
                temporary = file.with_name(file.name + ".tmp")
                with members.open(info) as source, temporary.open("wb") as out:
                    while chunk := source.read(1 << 20):
                        out.write(chunk)
                os.replace(temporary, file)
    except zipfile.BadZipFile as error:
        raise UsageError(
            f"{archive}: not a zip file ({error}); delete it and fetch again"
        ) from error
    except OSError as error:
        raise UsageError(f"{archive}: cannot be unpacked ({error})") from error


class _Lock:
    """Checksums seen at the first fetch: a JSON object path -> sha256."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _read(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        try:
            return dict(json.loads(self.path.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{self.path}: damaged ({error}); delete it and fetch again"
            ) from error

    def get(self, key: str) -> str | None:
        return self._read().get(key)

    def set(self, key: str, digest: str) -> None:
        content = json.dumps({**self._read(), key: digest}, indent=2, sort_keys=True)
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text(content + "\n", "utf-8")
        os.replace(temporary, self.path)
