"""Scores where the answer is known: crystals of given compositions, conformers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sciar.api.inputs import Collection, Item, usable, with_graph
from sciar.api.results import Evaluation, Options
from sciar.errors import UsageError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

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
    ranked: Mapping[str, Sequence[Sequence[Any]]] | None = None,
) -> Evaluation:
    """Match rate and RMSE, and those of template substitution from the training structures.

    ``ranked`` holds for each label the one prediction of each record of the truth.
    """
    from sciar.evaluation import TemplateBaseline, evaluate_csp
    from sciar.evaluation.inputs import as_reference

    groups, items, notes = _readable(groups, truth)
    names = [item.id or str(i) for i, item in enumerate(items)]
    references = [as_reference(i.structure, n) for i, n in zip(items, names, strict=True)]
    work = {**options.work, "ids": names}
    seen = None if train is None else usable(train.structures)
    work |= _more_of_csp(references, seen, options)
    result = evaluate_csp(groups, references, k=options.k, metre=options.metre, **work)
    beside = {}
    for label, firsts in (ranked or {}).items():
        first, _, _ = _readable(firsts, truth)
        beside[label] = evaluate_csp(first, references, k=1, **work).summary()
    if seen is None:
        notes.append(NO_BASELINE)
    else:
        template = TemplateBaseline(seen)
        for count in sorted({1, result.k}):
            guesses = [
                template.guesses(c.composition, count, exclude=options.exclude) for c in references
            ]
            each = "1 guess" if count == 1 else f"{count} guesses"
            label = f"template substitution (learning-free, {each} each)"
            beside[label] = evaluate_csp(guesses, references, k=count, **work).summary()
    found = Evaluation("csp", result.summary(), result.to_dicts(), beside, dataset, result.k, notes)
    if found.published():
        notes.append(
            f"Published figures are over the whole official test split; ours are over "
            f"{len(references):,} references."
        )
    return found


def _more_of_csp(
    references: Sequence[Any], seen: Sequence[Any] | None, options: Options
) -> dict[str, Any]:
    """What the user asked for beyond the usual figures.

    Raises:
        UsageError: it needs the training structures, and there are none.
    """
    from sciar.evaluation.inputs import as_crystal
    from sciar.evaluation.strata import strata_of

    crystals = [c for c in map(as_crystal, seen or ()) if c is not None]
    more: dict[str, Any] = {"known": crystals} if options.polymorphs else {}
    if options.strata:
        if seen is None:
            raise UsageError("strata are those of the training structures: give train")
        work = {name: options.work[name] for name in ("jobs", "timeout", "progress")}
        more["strata"] = strata_of(references, crystals, **work)
    return more


def score_conformers(
    groups: Sequence[Sequence[Any]],
    truth: Collection,
    train: Collection | None,
    dataset: str | None,
    options: Options,
) -> Evaluation:
    """COV and MAT, and those of RDKit's ETKDG with as many conformers.

    Reference records of the same molecule are its conformers: they, and everything that was
    generated for any of them, are compared as one group, as the protocol of COV and MAT wants.
    """
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
    mols = [s if not hasattr(s, "to_rdkit") else s.to_rdkit() for s in references]
    same = same_molecules(mols)
    if len(same) < len(mols):
        notes.append(
            f"The {len(mols):,} reference records are conformers of {len(same):,} molecules: those "
            "of one molecule are compared together."
        )
    lists = [[references[i] for i in places] for places in same]
    pooled = [[s for i in places for s in groups[i]] for places in same]
    each = zip(pooled, same, strict=True)
    size = options.k or max((math.ceil(len(g) / len(p)) for g, p in each), default=1) or 1
    sizes = [size * len(places) for places in same]
    padded = [_first(group, count) for group, count in zip(pooled, sizes, strict=True)]
    work = {**options.work, "ids": [names[places[0]] for places in same]}
    if options.threshold is not None:
        work["threshold"] = options.threshold
    result = evaluate_conformers(padded, lists, **work)
    run = {name: options.work[name] for name in ("jobs", "timeout", "progress")}
    baseline = etkdg_baseline([mols[p[0]] for p in same], sizes, options.seed, **run)
    name = f"ETKDG ({size} each)" if len(same) == len(mols) else f"ETKDG ({size} a reference)"
    beside = {name: evaluate_conformers(baseline, lists, **work).summary()}
    return Evaluation(
        "conformer", result.summary(), result.to_dicts(), beside, dataset, size, notes
    )


def same_molecules(mols: Sequence[Mol]) -> list[list[int]]:
    """Places of the conformers of each molecule, by the SMILES of its graph, in order.

    Stereo is that of the coordinates: isomers are no conformers of each other.
    """
    from rdkit import Chem

    found: dict[str, list[int]] = {}
    for place, mol in enumerate(mols):
        bare = Chem.Mol(mol)
        if bare.GetNumConformers():
            Chem.AssignStereochemistryFrom3D(bare)
        found.setdefault(Chem.MolToSmiles(Chem.RemoveHs(bare)), []).append(place)
    return list(found.values())


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
