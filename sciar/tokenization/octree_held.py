"""Points that are attached to others: how many each holds as words, and where they are as slots.

Shape letters: N holders in the order of their slots, M attached points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sciar.tokenization.layout import SlotSpec, Words
from sciar.tokenization.near import NEIGHBOURS, nearest, squares
from sciar.tokenization.vocabulary import Vocabulary

ATTACHED, HELD = "<attached>", "<holds-"
AROUND = 4
"""Other holders that an attached point refers to; those before it on its own are the rest."""
OWN, SIBLING = 2, 3
"""Relations of an attached point to its holder, and to those before it there; 0: other holders."""


def held_names(most: int) -> tuple[str, ...]:
    """Words for 0 up to ``most`` attached points."""
    return tuple(f"{HELD}{k}>" for k in range(most + 1))


def held_count(name: str) -> int:
    """Inverse of :func:`held_names`."""
    return int(name[len(HELD) : -1])


def holders(points: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """(M,) which of (N, 3) sites each of (M, 3) points is nearest to; the first of equals."""
    return np.asarray(squares(points, sites).argmin(1))


def held_words(
    labels: Sequence[str], sites: np.ndarray, counts: Sequence[int] | np.ndarray
) -> Words:
    """The words of (N,) counts: each announces its holder and how many points are left."""
    counts = np.asarray(counts, dtype=np.int64)
    left = counts.sum() - counts.cumsum() + counts
    places = tuple(map(tuple, sites.tolist()))
    return Words(
        tokens=tuple(f"{HELD}{k}>" for k in counts.tolist()),
        anchors=tuple(left.tolist()),
        labels=tuple(labels),
        places=places,
        positions=places,
        references=_around(sites, NEIGHBOURS),
    )


def attached_specs(
    label: str, sites: np.ndarray, counts: Sequence[int] | np.ndarray
) -> tuple[SlotSpec, ...]:
    """The slots that (N,) counts ask for, from the sites of their holders.

    The anchor counts those that are left on the same holder. A slot refers to its holder, to the
    nearest others, and to those before it on its holder; together they make its local frame.
    """
    n, specs = len(sites), list[SlotSpec]()
    # Between the slots of holders and the first attached one stands a count for each holder.
    near = [tuple(j - n for j in row) for row in _around(sites, AROUND)]
    for i, count in enumerate(np.asarray(counts).tolist()):
        first = len(specs)
        for k in range(count):
            before = tuple(range(first, first + k))[-(NEIGHBOURS - 1 - len(near[i])) :]
            specs.append(
                SlotSpec(
                    label=label,
                    anchor=count - k,
                    references=(i - 2 * n, *near[i], *before),
                    relations=(OWN, *(0,) * len(near[i]), *(SIBLING,) * len(before)),
                    place=tuple(sites[i].tolist()),
                )
            )
    return tuple(specs)


class HeldGrammar:
    """A :class:`~sciar.tokenization.cursor.PlacedGrammar` of counts that add up to a total.

    Args:
        vocabulary: of the model.
        labels: N labels of the holders.
        sites: (N, 3) where they are.
        total: points to attach.
    """

    def __init__(
        self, vocabulary: Vocabulary, labels: Sequence[str], sites: np.ndarray, total: int
    ) -> None:
        self.size, self.first = len(vocabulary), vocabulary.id(held_names(0)[0])
        self.labels, self.left, self.at = list(labels), total, 0
        self.near = _around(sites, NEIGHBOURS)
        self.places = [tuple(row) for row in sites.tolist()]
        self.position: tuple[float, ...] = ()

    def coming(self) -> SlotSpec:
        """The holder that is asked, and how many points are left."""
        at = min(self.at, len(self.places) - 1)
        return SlotSpec(self.labels[at], self.left, self.near[at], place=self.places[at])

    def group(self) -> list[SlotSpec]:
        """One word at a time."""
        return [self.coming()]

    def allowed(self) -> tuple[np.ndarray, bool]:
        """The last holder takes all that are left."""
        mask = np.zeros(self.size, dtype=bool)
        rest = len(self.places) - self.at
        if rest:
            mask[self.first + (self.left if rest == 1 else 0) : self.first + self.left + 1] = True
        return mask, not rest

    def push(self, token: int) -> None:
        """Take one count."""
        self.position = self.places[self.at]
        self.left -= token - self.first
        self.at += 1


def _around(sites: np.ndarray, most: int) -> tuple[tuple[int, ...], ...]:
    """Up to ``most`` other holders nearest to each, for a segment right after their slots."""
    n = len(sites)
    others = nearest(squares(sites, sites), ~np.eye(n, dtype=bool), most)
    return tuple(tuple(j - n for j in row) for row in others)
