"""Vectors of an encoder on disk, so that a protein that was read once is not read again.

The key of a sequence is the SHA-256 of the encoder's fingerprint, the number of blocks, the
precision, and the token ids. Vectors lie in shards, each a ``.npy`` file that is memory-mapped and
a list of its keys; a shard is written under a temporary name and renamed, so readers never see half
of one, and several processes may write into the same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import Esm2, buckets

_TYPES: dict[str, Any] = {"float16": np.float16, "float32": np.float32}
SHARD = 64 * 2**20
"""Bytes of vectors that are kept in memory before a shard is written."""


def fingerprint(encoder: Esm2) -> str:
    """32 hex digits over the sizes and weights of an encoder."""
    digest = hashlib.sha256(repr(sorted(asdict(encoder.config).items())).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().view(torch.uint8)
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()[:32]


class EmbeddingStore:
    """An encoder with a memory on disk.

    Args:
        folder: where shards lie; made if it is not there. Other encoders' vectors may lie there
            too.
        encoder: it runs in evaluation mode and without gradients.
        layers: keep what leaves this block (to train the ones above); by default, what leaves the
            final norm.
        precision: ``float16`` or ``float32`` on disk. Half precision keeps about three digits.
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
        if precision not in _TYPES:
            raise UsageError(f"precision {precision!r} is none of {', '.join(_TYPES)}")
        if layers is not None and not 0 <= layers <= encoder.config.layers:
            raise UsageError(f"the encoder has no block {layers}: 0 to {encoder.config.layers}")
        self.encoder, self.layers, self.precision = encoder.eval(), layers, precision
        self.budget, self.hits, self.misses = budget, 0, 0
        depth = "norm" if layers is None else str(layers)
        self._salt = f"{fingerprint(encoder)} {depth} {precision} ".encode()
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

    def key(self, ids: Tensor) -> str:
        """Key of a sequence of (N,) token ids."""
        plain = ids.detach().cpu().to(torch.int64).contiguous().numpy().tobytes()
        return hashlib.sha256(self._salt + plain).hexdigest()

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

    def vectors(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Vectors of sequences: known ones from disk, the others from the encoder.

        What comes out does not depend on where it comes from: fresh vectors are rounded as the disk
        rounds them.

        Args:
            sequences: (N_i,) token ids each.

        Returns:
            (N_i, D) float32 each, on the encoder's device, in the order of the input.
        """
        keys = [self.key(s) for s in sequences]
        missing = {k: s for k, s in zip(keys, sequences, strict=True) if not self._knows(k)}
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        self._encode(missing)
        device = self.encoder.embed.weight.device
        found = [torch.from_numpy(np.array(self._read(k), dtype=np.float32)) for k in keys]
        self._flush(at_least=SHARD)
        return [vector.to(device) for vector in found]

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

    @torch.no_grad()
    def _encode(self, missing: dict[str, Tensor]) -> None:
        keys, sequences = list(missing), list(missing.values())
        device = self.encoder.embed.weight.device
        for batch in buckets([len(s) for s in sequences], self.budget):
            sizes = [len(sequences[i]) for i in batch]
            lengths = torch.tensor(sizes, device=device)
            ids = torch.cat([sequences[i] for i in batch]).to(device)
            if self.layers is None:
                rows = self.encoder.packed(ids, lengths)
            else:
                rows = self.encoder.lower(ids, lengths, self.layers)
            for index, row in zip(batch, rows.cpu().split(sizes), strict=True):
                self._fresh[keys[index]] = row.numpy().astype(_TYPES[self.precision])

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
