"""Likelihood ranking: a selection step of its own, after the drawing and beside the checks.

Ranking prefers what the model finds likely and makes samples less diverse, so nothing is thrown
away here: every sample keeps its log-likelihood and its rank, and is marked as chosen or not.
Figures over the chosen ones stand beside those over all samples, never in their place
(Uni-3DAR, arXiv:2503.16278, reports chosen samples only).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from sciar.api.samples import Sample
from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.records import Structure
from sciar.tokenization.base import LayoutTokenizer

RankBy = Literal["atom", "total"]
RANK_BY = ("atom", "total")


@dataclass(frozen=True)
class Basis:
    """What the log-likelihood of a model's samples covers.

    Attributes:
        words: whether symbols are drawn.
        scored: slots whose head has a log-density.
        unscored: slots whose head has none; ranking cannot see them.
    """

    words: bool
    scored: tuple[str, ...]
    unscored: tuple[str, ...]

    def line(self) -> str:
        """One line for a reader."""
        parts = [*(["symbols"] if self.words else []), *self.scored]
        line = f"ranked by the log-likelihood of {', '.join(parts)}"
        if self.unscored:
            line += f"; {', '.join(self.unscored)} left out: the head has no log-density"
        return line


def basis_of(network: AutoregressiveModel, tokenizer: LayoutTokenizer) -> Basis:
    """What samples of a model can be ranked by.

    Raises:
        UsageError: nothing that the model draws has a likelihood.
    """
    segments = tokenizer.layout.segments
    drawn = {s.slot for s in segments if s.role == "generated" and s.kind == "slot"}
    fixed = {s.slot for s in segments if s.kind == "slot"}
    if any(s.mixed and s.role == "generated" for s in segments):
        drawn |= {slot.name for slot in tokenizer.vocabulary.slots} - fixed
    slots = [
        (slot.name, network.head(number).has_density)
        for number, slot in enumerate(tokenizer.vocabulary.slots, start=1)
        if slot.name in drawn or not segments
    ]
    words = not segments or any(s.role == "generated" and s.kind == "token" for s in segments)
    found = Basis(
        words,
        tuple(name for name, scored in slots if scored),
        tuple(name for name, scored in slots if not scored),
    )
    if not found.words and not found.scored:
        raise UsageError(
            "samples of this model cannot be ranked: it draws no symbols, and no head of its slots "
            f"({', '.join(found.unscored)}) has a log-density; leave out keep"
        )
    return found


def check_keep(keep: float, by: str = "atom") -> None:
    """Refuse a share outside (0, 1].

    Raises:
        UsageError: likewise an unknown rule.
    """
    if not 0 < keep <= 1:
        raise UsageError(f"keep is the share of samples to choose, in (0, 1]; got {keep}")
    if by not in RANK_BY:
        raise UsageError(f"rank_by {by!r} is none of {', '.join(RANK_BY)}")


def ranked(samples: Iterable[Sample], keep: float, by: RankBy = "atom") -> list[Sample]:
    """The same samples in order, each with its rank among those of its input, and the best chosen.

    Of n samples of one input the best ``floor(keep * n)`` are chosen, at least one; a sample
    without a structure has no rank and is never chosen. Equal likelihoods rank by index.

    Args:
        samples: of one run.
        keep: share of the samples of each input, in (0, 1].
        by: ``atom`` divides the log-likelihood by the number of atoms, without which small
            structures win; ``total`` does not.
    """
    check_keep(keep, by)
    everyone = list(samples)
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in everyone:
        groups[sample.input].append(sample)
    places: dict[int, tuple[int, bool]] = {}
    for group in groups.values():
        count = max(1, math.floor(keep * len(group) + 1e-9))
        able = [s for s in group if s.parsed and s.logp is not None]
        able.sort(key=lambda s: (-score(s, by), s.index))
        places |= {s.index: (place, place <= count) for place, s in enumerate(able, start=1)}
    return [_placed(s, places.get(s.index)) for s in everyone]


def score(sample: Sample, by: RankBy) -> float:
    """What a sample is ranked by; the least there is for a likelihood that is no number."""
    structure: Structure | None = sample.record if sample.record is not None else sample.rejected
    if structure is None or sample.logp is None or math.isnan(sample.logp):
        return -math.inf
    return sample.logp / len(structure) if by == "atom" else sample.logp


def _placed(sample: Sample, place: tuple[int, bool] | None) -> Sample:
    if place is None:
        return replace(sample, chosen=False)
    return replace(sample, rank=place[0], chosen=place[1])
