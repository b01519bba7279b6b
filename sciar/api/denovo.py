"""Scores of structures made from nothing."""

from __future__ import annotations

from typing import Any

from sciar.api.inputs import Collection, usable
from sciar.api.results import Evaluation, Options
from sciar.errors import UsageError

_OF_KEPT = {"atom_stability": "atom_stability_of_kept"}


def denovo_crystals(
    pool: Collection,
    truth: Collection | None,
    train: Collection | None,
    dataset: str | None,
    options: Options,
) -> Evaluation:
    """Validity, uniqueness, novelty; coverage and distributions against the reference."""
    from sciar.evaluation import evaluate_denovo_crystals
    from sciar.evaluation.coverage import CUTOFFS

    if truth is None and train is None:
        raise UsageError("de novo crystals are scored against a reference set: give reference")
    references = usable(truth.structures) if truth is not None else []
    extra: dict[str, Any] = {"cutoffs": dataset} if dataset in CUTOFFS else {}
    result = evaluate_denovo_crystals(
        pool.structures,
        references,
        ids=_ids(pool),
        train=None if train is None else usable(train.structures),
        sample=1000 if references else 0,
        **extra,
        **options.work,
    )
    notes = [] if train is not None else ["Novelty needs the training structures: give --train."]
    return Evaluation("denovo", result.summary(), result.to_dicts(), dataset=dataset, notes=notes)


def denovo_molecules(
    pool: Collection,
    truth: Collection | None,
    train: Collection | None,
    dataset: str | None,
    options: Options,
    filtered: bool = False,
) -> Evaluation:
    """Stability, validity, uniqueness, novelty; the reference data by the same rules beside.

    ``filtered``: samples are missing because a check refused them, so a figure that leaves missing
    ones out is named as one of the kept ones.
    """
    from sciar.evaluation import evaluate_molecules

    work = {**options.work, "posebusters": options.posebusters, "rule": options.bonds}
    known = None if train is None else usable(train.structures)
    result = evaluate_molecules(pool.structures, ids=_ids(pool), train=known, **work)
    summary = result.summary()
    if filtered:
        summary = {_OF_KEPT.get(name, name): value for name, value in summary.items()}
    beside = {}
    if truth is not None:
        beside["reference data"] = evaluate_molecules(truth.structures, **work).summary()
    notes = [] if train is not None else ["Novelty needs the training molecules: give --train."]
    if filtered:
        notes.append(
            "The atoms of samples that were not kept are unknown, so atom stability is over the "
            "kept ones only: sciar generate --raw."
        )
    return Evaluation("denovo", summary, result.to_dicts(), beside, dataset, None, notes)


def _ids(pool: Collection) -> list[str]:
    return [item.id if item.id is not None else str(i) for i, item in enumerate(pool.items)]
