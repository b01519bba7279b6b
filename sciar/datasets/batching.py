"""Batches by token budget: bucketed by length, packed, and exactly resumable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from sciar.datasets.mixture import Mixture
from sciar.errors import UsageError

_BUCKET = 32


def plan_batches(
    lengths: np.ndarray,
    budget: int,
    seed: int,
    epoch: int,
    *,
    shuffle: bool = True,
    chosen: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Indices of each batch of one epoch.

    Shuffled records are sorted by length inside buckets of a few batches, cut where the token
    budget is reached, and the batches shuffled again. A record longer than the budget is a batch of
    its own. ``chosen`` are the records of this epoch, where it is not all of them once.
    """
    rng = np.random.default_rng((seed, epoch))
    if chosen is not None:
        order = rng.permutation(chosen)
    else:
        order = rng.permutation(len(lengths)) if shuffle else np.argsort(lengths, kind="stable")
    if shuffle:
        mean = max(float(lengths.mean()), 1.0)
        size = max(1, int(_BUCKET * budget / mean))
        buckets = [order[i : i + size] for i in range(0, len(order), size)]
        order = np.concatenate([b[np.argsort(lengths[b], kind="stable")] for b in buckets])
    batches: list[np.ndarray] = []
    start, total = 0, 0
    for i, record in enumerate(order):
        if total and total + lengths[record] > budget:
            batches.append(order[start:i])
            start, total = i, 0
        total += int(lengths[record])
    batches.append(order[start:])
    if shuffle:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


class Packed(Protocol):
    """Encoded records that a loader can hand out as packs."""

    @property
    def copies(self) -> int:
        """Encodings of each record."""
        ...

    def __len__(self) -> int: ...

    def lengths(self, copy: int = 0) -> np.ndarray:
        """(N,) tokens of each record."""
        ...

    def pack(self, records: np.ndarray, copy: int = 0) -> Any:
        """The given records as one pack."""
        ...


class PackedLoader:
    """Iterates packs of a token cache; its state says which batch comes next.

    A training loader is a stream that runs through one shuffled pass over the data after the other.
    Each iteration hands out as many batches as the first pass has, from where the last one ended:
    passes differ by a batch or two, while a trainer wants epochs of one length.

    Args:
        cache: encoded records.
        budget: tokens a batch, over all processes.
        seed: of the shuffling.
        rank: this process.
        world: number of processes; each gets every ``world``-th record of a batch.
        shuffle: whether to shuffle; validation does not.
    """

    def __init__(
        self,
        cache: Packed,
        budget: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
    ) -> None:
        self.cache, self.budget, self.seed = cache, budget, seed
        self.rank, self.world, self.shuffle = rank, world, shuffle
        self.epoch, self.batch = 0, 0
        self._mixture: Mixture | None = None
        self._measure()

    def mix(self, mixture: Mixture) -> None:
        """Take groups of records in chosen shares, from the beginning."""
        self._mixture = mixture
        self._measure()

    def _measure(self) -> None:
        self._plan: tuple[int, list[np.ndarray]] | None = None
        self._length = len(self.batches(0))
        if not self._length:
            raise UsageError(f"{len(self.cache)} records are too few for {self.world} processes")

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The plan of one pass over the data."""
        if self._plan is None or self._plan[0] != epoch:
            lengths = self.cache.lengths(self._copy(epoch))
            chosen = None if self._mixture is None else self._mixture.draw(self.seed, epoch)
            plan = plan_batches(
                lengths, self.budget, self.seed, epoch, shuffle=self.shuffle, chosen=chosen
            )
            # A batch with fewer records than processes would leave one of them without work.
            self._plan = (epoch, [b for b in plan if len(b) >= self.world])
        return self._plan[1]

    def _copy(self, epoch: int) -> int:
        return epoch % self.cache.copies

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        if not self.shuffle:
            yield from (self._pack(0, batch) for batch in range(len(self)))
            return
        for _ in range(len(self)):
            epoch, batch = self.epoch, self.batch
            # The state is that after this batch, because whoever saves it has trained on the batch.
            last = batch + 1 >= len(self.batches(epoch))
            self.epoch, self.batch = (epoch + 1, 0) if last else (epoch, batch + 1)
            yield self._pack(epoch, batch)

    def _pack(self, epoch: int, batch: int) -> Any:
        records = self.batches(epoch)[batch][self.rank :: self.world]
        return self.cache.pack(records, self._copy(epoch))

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved place.

        Raises:
            UsageError: if that place does not exist: the data or the batch size have changed.
        """
        epoch, batch = int(state["epoch"]), int(state["batch"])
        if batch >= len(self.batches(epoch)):
            raise UsageError(
                f"the checkpoint stopped before batch {batch} of a pass over the data, this has "
                f"{len(self.batches(epoch))}: use the data and batch_tokens of the first run"
            )
        self.epoch, self.batch = epoch, batch
