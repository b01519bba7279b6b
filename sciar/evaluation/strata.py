"""Groups of references: those whose composition or prototype was seen in training, and the others.

Memorised prototypes and new ones are different questions, and one figure over both answers neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciar.evaluation.inputs import reduced_composition
from sciar.evaluation.prototypes import prototypes
from sciar.records import Crystal

KNOWN, NEW, UNCLEAR = "in training", "absent from training", "without symmetry"


def composition_strata(truths: Sequence[Crystal], train: Sequence[Crystal]) -> list[str]:
    """Whether the reduced composition of each reference occurs in the training structures."""
    seen = {reduced_composition(crystal) for crystal in train}
    return [KNOWN if reduced_composition(crystal) in seen else NEW for crystal in truths]


def prototype_strata(truths: Sequence[Crystal], train: Sequence[Crystal], **work: Any) -> list[str]:
    """Whether the prototype of each reference occurs in the training structures.

    Args:
        truths, train: crystals.
        work: ``jobs``, ``timeout`` and ``progress``.
    """
    labels = prototypes([*truths, *train], **work)
    seen = set(labels[len(truths) :])
    own = labels[: len(truths)]
    return [UNCLEAR if label is None else KNOWN if label in seen else NEW for label in own]


def strata_of(
    truths: Sequence[Crystal], train: Sequence[Crystal], **work: Any
) -> dict[str, list[str]]:
    """Both divisions, by name."""
    return {
        "composition": composition_strata(truths, train),
        "prototype": prototype_strata(truths, train, **work),
    }
