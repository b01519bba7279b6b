"""Members of a list of rising rank, chosen one by one by their probability of belonging to it.

An ordered list has no arg-max for each member: the most likely next token may be the end although
each of many members is nearly certain. At a prefix whose last rank is r the chance that member k
belongs to the list, given that none between r and k does, is

    h_k = q(k) / (q(end) + sum of q(j) over j >= k)

with q the distribution of the next token. Walking upwards and taking every k with h_k >= threshold
costs one step for each member taken; the chances of all others come free.
"""

from __future__ import annotations

import numpy as np


def hazards(members: np.ndarray, end: float) -> np.ndarray:
    """(K,) chance of each member to be the next of the list if those before it are not.

    Args:
        members: (K,) probabilities of the members that may follow, by rank.
        end: probability that the list ends.
    """
    rest = members[::-1].cumsum()[::-1] + end
    return np.divide(members, rest, out=np.zeros_like(members), where=rest > 0)


def take_next(
    order: np.ndarray, log_p: np.ndarray, threshold: float
) -> tuple[int, np.ndarray, np.ndarray]:
    """The next token of a list.

    Args:
        order: (K,) ids of the members that may follow, by rank.
        log_p: (V,) log-probabilities of the allowed tokens, -inf elsewhere.
        threshold: least chance with which a member is taken.

    Returns:
        The token, and ids and chances of the members that this step decides about: those passed
        over, and the one taken.
    """
    p = np.exp(log_p.astype(np.float64))
    ends = p.copy()
    ends[order] = 0.0
    chance = hazards(p[order], float(ends.sum()))
    taken = np.flatnonzero(chance >= threshold)
    if len(taken):
        stop = int(taken[0]) + 1
        return int(order[stop - 1]), order[:stop], chance[:stop]
    closing = np.full_like(log_p, -np.inf)
    others = np.flatnonzero(np.isfinite(log_p))
    others = others[~np.isin(others, order)]
    if not len(others):  # nothing may end the list here: the most likely member goes on
        best = int(order[np.argmax(chance)])
        stop = int(np.argmax(chance)) + 1
        return best, order[:stop], chance[:stop]
    closing[others] = log_p[others]
    return int(np.argmax(closing)), order, chance
