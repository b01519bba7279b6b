"""Decoded programs against true ones: which calls are found, how far off, with what words.

The protocol: calls of one name are matched one to one by the Hungarian algorithm on the distance of
their places; a pair counts as found if it is within a gate. Precision, recall and F1 count what is
not matched as wrong. The mean distance is over all pairs of min(n, m) calls, scene by scene, as
published evaluations of CLEVR scenes take it; it does not see what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from sciar.errors import UsageError
from sciar.evaluation.statistics import rate
from sciar.records import Call, Program


@dataclass(frozen=True)
class Protocol:
    """What is compared.

    Attributes:
        call: name of the calls.
        place: names of the arguments that together are a place, such as ``("loc",)`` or
            ``("x", "y")``.
        words: arguments whose values must agree.
        gates: distances within which a pair counts as found.
    """

    call: str = "add"
    place: tuple[str, ...] = ("loc",)
    words: tuple[str, ...] = ()
    gates: tuple[float, ...] = (0.25, 0.5)

    def places(self, calls: Sequence[Call]) -> np.ndarray:
        """(n, D) places of calls.

        Raises:
            UsageError: a call has no such numbers.
        """
        rows = []
        for call in calls:
            row: list[float] = []
            for key in self.place:
                value = call.arguments.get(key)
                if not isinstance(value, tuple):
                    raise UsageError(f"{call.name}() has no place {key}")
                row += value
            rows.append(row)
        return np.array(rows, dtype=float).reshape(len(rows), -1) if rows else np.zeros((0, 1))


def match(true: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices into (n, D) true and (m, D) found places, and the distances, of min(n, m) pairs."""
    if not len(true) or not len(found):
        none = np.zeros(0, dtype=int)
        return none, none, np.zeros(0)
    distance = np.linalg.norm(true[:, None] - found, axis=-1)
    i, j = linear_sum_assignment(distance)
    return i, j, distance[i, j]


def score(
    true: Sequence[Program],
    found: Sequence[Program | None],
    protocol: Protocol,
    *,
    resamples: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures over all scenes, with counts.

    Args:
        true: programs of the scenes.
        found: decoded ones; ``None`` where nothing was decoded, which counts as empty.
        protocol: what is compared.
        resamples: of the bootstrap intervals over scenes; 0: none.
        seed: of the resampling.

    Raises:
        UsageError: other numbers of programs.
    """
    if len(true) != len(found):
        raise UsageError(f"{len(found)} programs for {len(true)} scenes")
    totals = np.zeros(2, dtype=int)
    hits = dict.fromkeys(protocol.gates, 0)
    agree = {gate: dict.fromkeys(protocol.words, 0) for gate in protocol.gates}
    means: list[float] = []
    counts: list[bool] = []
    for scene, answer in zip(true, found, strict=True):
        own = [call for call in scene.calls if call.name == protocol.call]
        theirs = [c for c in (answer.calls if answer else ()) if c.name == protocol.call]
        totals += len(own), len(theirs)
        counts.append(len(own) == len(theirs))
        i, j, distance = match(protocol.places(own), protocol.places(theirs))
        if len(distance):
            means.append(float(distance.mean()))
        for gate in protocol.gates:
            near = distance <= gate
            hits[gate] += int(near.sum())
            for a, b in zip(i[near], j[near], strict=True):
                for key in protocol.words:
                    same = own[a].arguments.get(key) == theirs[b].arguments.get(key)
                    agree[gate][key] += int(same)
    n, m = totals.tolist()
    boot: dict[str, Any] = {"resamples": resamples, "seed": seed}
    result: dict[str, Any] = {
        "decoded": rate(np.array([p is not None for p in found]), **boot),
        "exact_count": rate(np.array(counts), **boot),
        "distance": {
            "mean": float(np.mean(means)) if means else None,
            "count": len(means),
            "of": len(true),
        },
    }
    for gate in protocol.gates:
        k = hits[gate]
        result[f"within_{gate:g}"] = {
            "precision": _share(k, m),
            "recall": _share(k, n),
            "f1": _share(2 * k, n + m),
            # Of all true calls: one that was not found has no right word.
            **{key: _share(agree[gate][key], n) for key in protocol.words},
        }
    return result


def _share(count: int, of: int) -> dict[str, Any]:
    return {"count": count, "of": of, "rate": count / of if of else None}
