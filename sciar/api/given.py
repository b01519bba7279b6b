"""Scores where the answer is known: crystals of given compositions, conformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciar.api.inputs import Collection, Item, usable, with_graph
from sciar.api.results import Evaluation, Options
from sciar.errors import UsageError

NO_BASELINE = (
    "No baseline stands beside these figures: give the training structures (--train) for template "
    "substitution."
)


def score_csp(
    groups: Sequence[Sequence[Any]],
    truth: Collection,
    train: Collection | None,
    dataset: str | None,
    options: Options,
) -> Evaluation:
    """Match rate and RMSE, and those of template substitution from the training structures."""
    from sciar.evaluation import TemplateBaseline, evaluate_csp
    from sciar.evaluation.inputs import as_reference

    groups, items, notes = _readable(groups, truth)
    names = [item.id or str(i) for i, item in enumerate(items)]
    references = [as_reference(i.structure, n) for i, n in zip(items, names, strict=True)]
    work = {**options.work, "ids": names}
    result = evaluate_csp(groups, references, k=options.k, metre=options.metre, **work)
    beside = {}
    if train is None:
        notes.append(NO_BASELINE)
    else:
        template = TemplateBaseline(usable(train.structures))
        guesses = [[template.predict(c.composition)] for c in references]
        label = "template substitution (learning-free, 1 guess each)"
        beside[label] = evaluate_csp(guesses, references, k=1, **work).summary()
    found = Evaluation("csp", result.summary(), result.to_dicts(), beside, dataset, result.k, notes)
    if found.published():
        notes.append(
            f"Published figures are over the whole official test split; ours are over "
            f"{len(references):,} references."
        )
    return found


def score_conformers(
    groups: Sequence[Sequence[Any]],
    truth: Collection,
    train: Collection | None,
    dataset: str | None,
    options: Options,
) -> Evaluation:
    """COV and MAT, and those of RDKit's ETKDG with as many conformers."""
    from sciar.evaluation import etkdg_baseline, evaluate_conformers

    groups, items, notes = _readable(groups, truth)
    names = [item.id or str(i) for i, item in enumerate(items)]
    references = [with_graph(item.structure) for item in items]
    bare = [n for n, s in zip(names, references, strict=True) if s is None]
    if bare:
        raise UsageError(
            f"{len(bare)} reference molecules have no usable bonds, the first is {bare[0]!r}; give "
            "an SDF file, or leave them out"
        )
    size = options.k or max((len(group) for group in groups), default=1) or 1
    padded = [_first(group, size) for group in groups]
    work = {**options.work, "ids": names}
    lists = [[reference] for reference in references]
    if options.threshold is not None:
        work["threshold"] = options.threshold
    result = evaluate_conformers(padded, lists, **work)
    mols = [s if not hasattr(s, "to_rdkit") else s.to_rdkit() for s in references]
    run = {name: options.work[name] for name in ("jobs", "timeout", "progress")}
    baseline = etkdg_baseline(mols, size, options.seed, **run)
    beside = {f"ETKDG ({size} each)": evaluate_conformers(baseline, lists, **work).summary()}
    return Evaluation(
        "conformer", result.summary(), result.to_dicts(), beside, dataset, size, notes
    )


def _first(group: Sequence[Any], size: int) -> list[Any]:
    """The first ``size`` conformers; those that are missing failed."""
    kept = [with_graph(s) for s in group[:size]]
    return kept + [None] * (size - len(kept))


def _readable(
    groups: Sequence[Sequence[Any]], truth: Collection
) -> tuple[list[Sequence[Any]], list[Item], list[str]]:
    """Groups and references without the references that could not be read, and notes on both."""
    kept = [
        (group, item)
        for group, item in zip(groups, truth.items, strict=True)
        if item.structure is not None
    ]
    notes = []
    if len(kept) < len(truth.items):
        notes.append(
            f"{len(truth.items) - len(kept):,} of {len(truth.items):,} reference records cannot be "
            "read and are left out."
        )
    if not kept:
        raise UsageError("no reference structure can be read")
    empty = sum(not group for group, _ in kept)
    if empty:
        notes.append(f"{empty:,} of {len(kept):,} references have no prediction: not matched.")
    return [group for group, _ in kept], [item for _, item in kept], notes
