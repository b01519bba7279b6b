"""Batches of several groups of records in chosen shares, without replacement within a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciar.errors import UsageError


@dataclass(frozen=True, eq=False)
class Mixture:
    """Which records a pass over the data takes.

    A group of n records gets a share proportional to w n^alpha, w its weight: alpha 1 takes the
    groups as large as they are, 0 takes them alike (temperature sampling). Each group is gone
    through in random order, again and again over the passes, so that no record is taken twice
    before all others of its group have been.

    Attributes:
        groups: (N,) number of the group of each record, from 0.
        weights: (G,) weight of each group.
        alpha: exponent.
        cap: most times that a record is taken in one pass.
    """

    groups: np.ndarray
    weights: np.ndarray
    alpha: float = 0.5
    cap: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or self.cap < 1:
            raise UsageError(
                f"mixing lies between 0 and 1 and a record is taken at least once; got "
                f"{self.alpha} and {self.cap}"
            )
        if not (self.weights > 0).any():
            raise UsageError("every task has a sampling weight of zero")

    def quotas(self) -> np.ndarray:
        """(G,) records of each group in a pass; about N in all, less where the cap holds."""
        sizes = np.bincount(self.groups, minlength=len(self.weights)).astype(np.float64)
        wanted = self.weights * np.where(sizes > 0, sizes, 1.0) ** self.alpha * (sizes > 0)
        wanted *= len(self.groups) / wanted.sum()
        return np.minimum(np.maximum(np.round(wanted), wanted > 0), self.cap * sizes).astype(int)

    def draw(self, seed: int, epoch: int) -> np.ndarray:
        """Records of one pass, group after group; a function of seed and pass alone."""
        taken = []
        for group, quota in enumerate(self.quotas()):
            members = np.flatnonzero(self.groups == group)
            if not quota:
                continue
            first = epoch * quota
            cycles = range(first // len(members), (first + quota - 1) // len(members) + 1)
            stream = np.concatenate(
                [np.random.default_rng((seed, group, c)).permutation(members) for c in cycles]
            )
            start = first - cycles[0] * len(members)
            taken.append(stream[start : start + quota])
        return np.concatenate(taken)
