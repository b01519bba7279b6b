"""Vectors of an encoder on disk, so that a protein that was read once is not read again.

The key of a sequence is the SHA-256 of the encoder's fingerprint, the number of blocks, the
precision, and the token ids. Vectors lie in shards, each a ``.npy`` file that is memory-mapped and
a list of its keys; a shard is written under a temporary name and renamed, so readers never see half
of one, and several processes may write into the same folder.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import Esm2, buckets

_TYPES: dict[str, Any] = {"float16": np.float16, "float32": np.float32}
SHARD = 64 * 2**20
"""Bytes of vectors that are kept in memory before a shard is written."""


def fingerprint(config: Any, module: nn.Module) -> str:
    """32 hex digits over the sizes (a dataclass) and weights of an encoder."""
    digest = hashlib.sha256(repr(sorted(asdict(config).items())).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().view(torch.uint8)
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()[:32]


class VectorStore:
    """Vectors by key, in memory and on disk.

    Args:
        folder: where shards lie; made if it is not there. Other encoders' vectors may lie there
            too.
        salt: what the vectors hang on beside what was encoded: the encoder's fingerprint.
        precision: ``float16`` or ``float32`` on disk. Half precision keeps about three digits.

    Raises:
        UsageError: unknown precision, or a folder that cannot be made.
    """

    def __init__(self, folder: str | Path, salt: str, precision: str = "float16") -> None:
        if precision not in _TYPES:
            raise UsageError(f"precision {precision!r} is none of {', '.join(_TYPES)}")
        self.precision, self.hits, self.misses = precision, 0, 0
        self._salt = f"{salt} {precision} ".encode()
        self.folder = Path(folder) / hashlib.sha256(self._salt).hexdigest()[:24]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror or error})") from error
        self._places: dict[str, tuple[str, int, int]] = {}
        self._shards: dict[str, np.ndarray] = {}
        self._fresh: dict[str, np.ndarray] = {}
        self._listed: set[str] = set()
        self._number = 0
        self.refresh()
        atexit.register(_flush_at_exit, weakref.ref(self))

    def key(self, data: Any) -> str:
        """Key of the bytes that were encoded."""
        return hashlib.sha256(self._salt + data).hexdigest()

    def __len__(self) -> int:
        """Sequences that are known."""
        return len(self._places) + len(self._fresh)

    def refresh(self) -> None:
        """Look for shards that others have written."""
        for path in sorted(self.folder.glob("*.json")):
            if path.name in self._listed:
                continue
            self._listed.add(path.name)
            for key, first, last in json.loads(path.read_text(encoding="utf-8")):
                self._places.setdefault(key, (path.stem, first, last))

    def fetch(
        self, keys: Sequence[str], compute: Callable[[list[int]], Sequence[Tensor]]
    ) -> list[Tensor]:
        """Vectors by their keys, the unknown ones computed.

        What comes out does not depend on where it comes from: fresh vectors are rounded as the disk
        rounds them.

        Args:
            keys: of what is wanted.
            compute: indices into ``keys`` -> (N_i, D) vectors of each.

        Returns:
            (N_i, D) float32 each, on the CPU.
        """
        first = {k: i for i, k in reversed(list(enumerate(keys))) if not self._knows(k)}
        missing = sorted(first.values())
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        if missing:
            for i, rows in zip(missing, compute(missing), strict=True):
                plain = rows.detach().cpu().float().numpy()
                self._fresh[keys[i]] = plain.astype(_TYPES[self.precision])
        found = [torch.from_numpy(np.array(self._read(k), dtype=np.float32)) for k in keys]
        self._flush(at_least=SHARD)
        return found

    def flush(self) -> None:
        """Write what is still in memory."""
        self._flush(at_least=1)

    def _knows(self, key: str) -> bool:
        return key in self._places or key in self._fresh

    def _read(self, key: str) -> np.ndarray:
        if key in self._fresh:
            return self._fresh[key]
        shard, first, last = self._places[key]
        if shard not in self._shards:
            self._shards[shard] = np.load(self.folder / f"{shard}.npy", mmap_mode="r")
        return self._shards[shard][first:last]

    def _flush(self, at_least: int) -> None:
        if sum(v.nbytes for v in self._fresh.values()) < at_least:
            return
        ends = np.cumsum([len(v) for v in self._fresh.values()]).tolist()
        rows = [
            [key, end - len(v), end]
            for (key, v), end in zip(self._fresh.items(), ends, strict=True)
        ]
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
        shard = f"{digest}-{os.getpid()}-{self._number}"
        self._number += 1
        temporary = self.folder / f".{shard}.tmp"
        try:
            with temporary.open("wb") as stream:
                np.save(stream, np.concatenate(list(self._fresh.values())))
            os.replace(temporary, self.folder / f"{shard}.npy")
            # The list comes last: a shard without one is not read.
            temporary.write_text(json.dumps(rows), encoding="utf-8")
            os.replace(temporary, self.folder / f"{shard}.json")
        finally:
            temporary.unlink(missing_ok=True)
        self._listed.add(f"{shard}.json")
        self._places |= {key: (shard, first, last) for key, first, last in rows}
        self._fresh = {}


def _flush_at_exit(store: weakref.ref[VectorStore]) -> None:
    """A process that ends keeps what it has computed; its folder may be gone by then."""
    found = store()
    if found is not None and found.folder.is_dir():
        found.flush()


class EmbeddingStore(VectorStore):
    """An encoder of proteins with a memory on disk.

    Args:
        folder: where shards lie.
        encoder: it runs in evaluation mode and without gradients.
        layers: keep what leaves this block (to train the ones above); by default, what leaves the
            final norm.
        precision: ``float16`` or ``float32`` on disk.
        budget: most tokens that the encoder takes at once.

    Raises:
        UsageError: unknown precision, no such block, or a folder that cannot be made.
    """

    def __init__(
        self,
        folder: str | Path,
        encoder: Esm2,
        *,
        layers: int | None = None,
        precision: str = "float16",
        budget: int = 16_384,
    ) -> None:
        if layers is not None and not 0 <= layers <= encoder.config.layers:
            raise UsageError(f"the encoder has no block {layers}: 0 to {encoder.config.layers}")
        self.encoder, self.layers, self.budget = encoder.eval(), layers, budget
        depth = "norm" if layers is None else str(layers)
        super().__init__(folder, f"{fingerprint(encoder.config, encoder)} {depth}", precision)

    def key(self, data: Any) -> str:
        """Key of a sequence of (N,) token ids."""
        plain = data.detach().cpu().to(torch.int64).contiguous().numpy().tobytes()
        return super().key(plain)

    def vectors(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Vectors of sequences: known ones from disk, the others from the encoder.

        Args:
            sequences: (N_i,) token ids each.

        Returns:
            (N_i, D) float32 each, on the encoder's device, in the order of the input.
        """
        found = self.fetch(
            [self.key(s) for s in sequences], lambda missing: self._encode(sequences, missing)
        )
        device = self.encoder.embed.weight.device
        return [vector.to(device) for vector in found]

    @torch.no_grad()
    def _encode(self, sequences: Sequence[Tensor], missing: Sequence[int]) -> list[Tensor]:
        device = self.encoder.embed.weight.device
        made: dict[int, Tensor] = {}
        for batch in buckets([len(sequences[i]) for i in missing], self.budget):
            chosen = [missing[j] for j in batch]
            sizes = [len(sequences[i]) for i in chosen]
            lengths = torch.tensor(sizes, device=device)
            ids = torch.cat([sequences[i] for i in chosen]).to(device)
            if self.layers is None:
                rows = self.encoder.packed(ids, lengths)
            else:
                rows = self.encoder.lower(ids, lengths, self.layers)
            made |= dict(zip(chosen, rows.cpu().split(sizes), strict=True))
        return [made[i] for i in missing]
