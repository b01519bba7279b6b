"""Token caches: encoded data sets as memory-mapped arrays.

A cache is a folder named by the fingerprints of its data and its tokenizer, so a changed file or
tokenizer can never meet an old cache. Arrays are read through memory maps: a data set costs no more
memory than the batches in use.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Record
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.packing import Pack, pack_arrays
from sciar.tokenization.sequence import ARRAYS, TokenSequence

FORMAT = 2


@dataclass(frozen=True, eq=False)
class TokenCache:
    """N records, each encoded ``copies`` times with its own augmentation.

    Attributes:
        arrays: field of :class:`~sciar.tokenization.sequence.TokenSequence` -> all tokens, flat.
        offsets: (N * copies + 1,) start of each sequence; copy ``c`` of record ``i`` is sequence
            ``i * copies + c``.
        contexts: (N * copies,) length of each bidirectional prefix.
        ids: N record identifiers.
        copies: encodings of each record.
        skipped: records that could not be encoded: (id, reason).
    """

    arrays: dict[str, np.ndarray]
    offsets: np.ndarray
    contexts: np.ndarray
    ids: list[str]
    copies: int
    skipped: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self, copy: int = 0) -> np.ndarray:
        """(N,) tokens of each record."""
        return np.diff(self.offsets)[copy :: self.copies]

    def sequence(self, record: int, copy: int = 0) -> TokenSequence:
        """One encoded record."""
        i = record * self.copies + copy
        span = slice(self.offsets[i], self.offsets[i + 1])
        cut = {name: np.asarray(array[span]) for name, array in self.arrays.items()}
        return TokenSequence(**cut, context=int(self.contexts[i]))

    def pack(self, records: np.ndarray, copy: int = 0) -> Pack:
        """The given records as one pack; their index is their key."""
        rows = records * self.copies + copy
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        where = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        where = where + np.arange(lengths.sum())
        arrays = {name: array[where] for name, array in self.arrays.items()}
        return pack_arrays(arrays, lengths, np.asarray(self.contexts[rows]), records)


def cached(
    records: Sequence[Record],
    tokenizer: LayoutTokenizer,
    folder: Path | None,
    *,
    copies: int = 1,
    seed: int = 0,
) -> TokenCache:
    """Token cache of the records, made if it is not there yet.

    Args:
        records: what to encode; a record that cannot be encoded is skipped and listed.
        tokenizer: with its statistics fitted.
        folder: where caches lie; ``None`` keeps the arrays in memory.
        copies: augmented encodings of each record; with one copy nothing is augmented.
        seed: of the augmentation.

    Raises:
        UsageError: if no record can be encoded.
    """
    if folder is None:
        return _assemble(*_encode_all(records, tokenizer, copies, seed), copies)
    subjects = (Record(r.id, _hashed(tokenizer, r)) for r in records)
    name = f"{data_fingerprint(subjects)}-{tokenizer.fingerprint}-{copies}-{seed}-v{FORMAT}"
    target = folder / name
    if not (target / "meta.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(target, records, tokenizer, copies, seed)
    return load(target)


def load(target: Path) -> TokenCache:
    """Open a cache folder through memory maps."""
    meta = json.loads((target / "meta.json").read_text(encoding="utf-8"))
    arrays = {name: np.load(target / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return TokenCache(
        arrays=arrays,
        offsets=np.load(target / "offsets.npy"),
        contexts=np.load(target / "contexts.npy"),
        ids=meta["ids"],
        copies=meta["copies"],
        skipped=[tuple(pair) for pair in meta["skipped"]],
    )


def data_fingerprint(records: Iterable[Record]) -> str:
    """16 hex digits over ids and structures."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.id.encode())
        _update(digest, record.structure)
    return digest.hexdigest()[:16]


def _update(digest: Any, subject: Any) -> None:
    for value in vars(subject).values():
        if isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (tuple, list, str, int, float, dict)):
            digest.update(repr(value).encode())
        elif is_dataclass(value):
            _update(digest, value)


def _hashed(tokenizer: LayoutTokenizer, record: Record) -> Any:
    """What the tokenizer takes of a record; a record that it refuses counts by its structure."""
    try:
        return tokenizer.subject(record)
    except RecordError:
        return record.structure


def _encode_all(
    records: Sequence[Record], tokenizer: LayoutTokenizer, copies: int, seed: int
) -> tuple[list[TokenSequence], list[str], list[tuple[str, str]]]:
    sequences: list[TokenSequence] = []
    ids: list[str] = []
    skipped: list[tuple[str, str]] = []
    for index, record in enumerate(records):
        try:
            made = list(_encodings(record, index, tokenizer, copies, seed))
        except RecordError as error:
            skipped.append((record.id, str(error.located(source=record.source))))
            continue
        sequences += made
        ids.append(record.id)
    if not ids:
        raise _nothing_usable(len(records), skipped)
    return sequences, ids, skipped


def _encodings(
    record: Record, index: int, tokenizer: LayoutTokenizer, copies: int, seed: int
) -> Iterator[TokenSequence]:
    subject = tokenizer.subject(record)
    for copy in range(copies):
        augment = np.random.default_rng((seed, index, copy)) if copies > 1 else None
        yield tokenizer.encode(subject, augment=augment)


def _assemble(
    sequences: list[TokenSequence],
    ids: list[str],
    skipped: list[tuple[str, str]],
    copies: int,
) -> TokenCache:
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    return TokenCache(
        arrays={n: np.concatenate([getattr(s, n) for s in sequences]) for n in ARRAYS},
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        contexts=np.array([s.context for s in sequences], dtype=np.int64),
        ids=ids,
        copies=copies,
        skipped=skipped,
    )


def _write(
    target: Path, records: Sequence[Record], tokenizer: LayoutTokenizer, copies: int, seed: int
) -> None:
    """Encode and write in chunks, into a temporary folder that is then renamed."""
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        writer = _Writer(scratch)
        with writer:
            for index, record in enumerate(records):
                try:
                    made = list(_encodings(record, index, tokenizer, copies, seed))
                except RecordError as error:
                    reason = str(error.located(source=record.source))
                    writer.skipped.append((record.id, reason))
                else:
                    writer.add(record.id, made)
        writer.finish(len(records), copies)
        scratch.chmod(0o755)
        _publish(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, target: Path) -> None:
    """Rename; another process that made the same cache first has won."""
    if target.exists() and not (target / "meta.json").exists():
        shutil.rmtree(target)
    try:
        os.replace(scratch, target)
    except OSError:
        if not (target / "meta.json").exists():
            raise


class _Writer:
    """Streams sequences to raw files, then gives these their npy headers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.lengths: list[int] = []
        self.contexts: list[int] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __enter__(self) -> _Writer:
        self.streams = {name: (self.folder / f"{name}.raw").open("wb") for name in ARRAYS}
        return self

    def __exit__(self, *error: object) -> None:
        for stream in self.streams.values():
            stream.close()

    def add(self, id: str, sequences: list[TokenSequence]) -> None:
        """Append the encodings of one record."""
        self.ids.append(id)
        for sequence in sequences:
            self.lengths.append(len(sequence))
            self.contexts.append(sequence.context)
            for name, stream in self.streams.items():
                array = getattr(sequence, name).astype(ARRAYS[name], copy=False)
                self.shapes[name] = array.shape[1:]
                stream.write(array.tobytes())

    def finish(self, total: int, copies: int) -> None:
        """Write everything beside the streams."""
        if not self.ids:
            raise _nothing_usable(total, self.skipped)
        lengths = np.array(self.lengths, dtype=np.int64)
        for name, shape in self.shapes.items():
            _to_npy(self.folder, name, (int(lengths.sum()), *shape))
        np.save(self.folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
        np.save(self.folder / "contexts.npy", np.array(self.contexts, dtype=np.int64))
        meta = {"ids": self.ids, "copies": copies, "skipped": self.skipped, "format": FORMAT}
        (self.folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _nothing_usable(total: int, skipped: Sequence[tuple[str, str]]) -> UsageError:
    why = f"; the first: {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
    return UsageError(f"none of {total} records can be encoded{why}")


def _to_npy(folder: Path, name: str, shape: tuple[int, ...]) -> None:
    """Give a raw stream of numbers its npy header."""
    raw = folder / f"{name}.raw"
    out = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", ARRAYS[name], shape)
    if out.size:
        out[...] = np.fromfile(raw, dtype=ARRAYS[name]).reshape(shape)
    out.flush()
    raw.unlink()
