"""Batches by token budget: bucketed by length, packed, and exactly resumable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sciar.datasets.tokens import TokenCache
from sciar.tokenization.packing import Pack

_BUCKET = 32


def plan_batches(
    lengths: np.ndarray, budget: int, seed: int, epoch: int, *, shuffle: bool = True
) -> list[np.ndarray]:
    """Indices of each batch of one epoch.

    Shuffled records are sorted by length inside buckets of a few batches, cut where the token
    budget is reached, and the batches shuffled again. A record longer than the budget is a batch of
    its own.
    """
    rng = np.random.default_rng((seed, epoch))
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


class PackedLoader:
    """Iterates packs of a token cache; its state says which batch comes next.

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
        cache: TokenCache,
        budget: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
    ) -> None:
        self.cache, self.budget, self.seed = cache, budget, seed
        self.rank, self.world, self.shuffle = rank, world, shuffle
        self.epoch, self.batch = 0, 0
        self._plan: tuple[int, list[np.ndarray]] | None = None

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The plan of an epoch."""
        if self._plan is None or self._plan[0] != epoch:
            lengths = self.cache.lengths(self._copy(epoch))
            plan = plan_batches(lengths, self.budget, self.seed, epoch, shuffle=self.shuffle)
            # A batch with fewer records than processes would leave one of them without work.
            self._plan = (epoch, [b for b in plan if len(b) >= self.world])
        return self._plan[1]

    def _copy(self, epoch: int) -> int:
        return epoch % self.cache.copies

    def __len__(self) -> int:
        return len(self.batches(self.epoch if self.shuffle else 0))

    def __iter__(self) -> Iterator[Pack]:
        epoch = self.epoch if self.shuffle else 0
        plan = self.batches(epoch)
        start = self.batch if self.shuffle else 0
        for index in range(start, len(plan)):
            if self.shuffle:
                self.batch = index + 1
            records = plan[index][self.rank :: self.world]
            yield self.cache.pack(records, self._copy(epoch))
        if self.shuffle:
            self.epoch, self.batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved place."""
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
