"""``evaluate``: one call that finds the right metrics, with the classical baseline beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from sciar.api.denovo import denovo_crystals, denovo_molecules
from sciar.api.given import score_conformers, score_csp
from sciar.api.inputs import Collection, collect, grouped, nested, origin, places
from sciar.api.ranked_rows import ranked_groups
from sciar.api.results import Evaluation, Options
from sciar.api.selection import CHOSEN, Tally, chosen_part, padded, settle
from sciar.datasets.registry import resolve
from sciar.errors import UsageError

KINDS = ("crystals", "molecules")
TASKS = ("auto", "csp", "denovo", "conformer")
Kinds = Literal["crystals", "molecules"]


def evaluate(
    kind: Kinds,
    generated: Any,
    reference: Any = None,
    *,
    train: Any = None,
    task: str = "auto",
    dataset: str | None = None,
    **options: Any,
) -> Evaluation:
    """Score structures of any origin.

    Args:
        kind: ``crystals`` or ``molecules``.
        generated: path, or samples, records, pymatgen structures, RDKit molecules, ``None`` for a
            failed one; or a list of such lists, one for each reference.
        reference: path, data set name (its test split), or as above.
        train: training structures, likewise (train split): for novelty, and for the template
            baseline of crystals. Default: the train split of a reference set given by name.
        task: ``csp`` (crystals of given compositions), ``conformer`` (coordinates of given
            molecules), ``denovo``; ``auto`` takes the first two where the ids of ``generated``
            belong to ids of ``reference``.
        dataset: name of the data set behind ``reference``, for the published figures beside.
        options: ``k`` (samples used of each reference), ``jobs``, ``timeout`` (seconds),
            ``bootstrap``, ``seed``, ``progress``, ``metre``, ``polymorphs`` (match on any known
            polymorph too), ``strata`` (compositions and prototypes in and absent from training
            apart), ``exclude`` (no template of a reference's own composition), ``posebusters``,
            ``threshold`` (angstrom, of coverage), ``bonds`` (``qm9`` or ``drugs``, see
            :func:`sciar.evaluation.evaluate_molecules`), ``selection`` (``raw`` scores rejected
            samples too, ``kept`` does not, ``auto`` is what a file says) and ``requested`` (samples
            asked for; those without a record failed).

    Raises:
        UsageError: wrong arguments, or nothing to evaluate.
        RecordError: an unusable reference.
    """
    if kind not in KINDS:
        raise UsageError(f"evaluate takes 'crystals' or 'molecules', not {kind!r}")
    if task not in TASKS:
        raise UsageError(f"task {task!r} is none of {', '.join(TASKS)}")
    try:
        chosen = Options(**options)
    except TypeError as error:
        raise UsageError(f"unknown option of evaluate: {error}") from error
    single: Literal["crystal", "molecule"] = "crystal" if kind == "crystals" else "molecule"
    truth = None if reference is None else collect(reference, single)
    if train is None and truth is not None and truth.dataset is not None:
        train = _training_part(reference)
    seen = None if train is None else collect(train, single, "train")
    name = dataset or (truth.dataset if truth is not None else None)
    groups = generated if nested(generated) else None
    pool = None if groups is not None else collect(generated, single)
    tally, notes = Tally(""), list[str]()
    if pool is not None:
        pool, tally, notes = settle(pool, chosen.selection, chosen.requested)
    elif chosen.requested is not None:
        raise UsageError("requested counts one flat list of samples, not a list for each reference")
    task = _task(kind, task, pool, truth)
    if task == "denovo" and pool is None:
        raise UsageError("de novo structures are one flat list")
    if task != "denovo" and truth is None:
        raise UsageError(f"{task} needs the reference structures: give reference")

    def scored(items: Collection | None, tally: Tally) -> Evaluation:
        if task == "denovo":
            assert items is not None
            items = padded(items, tally) if tally.selection != CHOSEN else items
            if kind == "crystals":
                return denovo_crystals(items, truth, seen, name, chosen)
            filtered = tally.selection in ("kept", CHOSEN) and None in items.structures
            return denovo_molecules(items, truth, seen, name, chosen, filtered)
        assert truth is not None
        lists = groups if items is None else _aligned(items, truth)
        assert lists is not None
        if task == "conformer":
            return score_conformers(lists, truth, seen, name, chosen)
        ranked = {} if items is None else ranked_groups(items, truth)
        return score_csp(lists, truth, seen, name, chosen, ranked)

    best = None if pool is None else chosen_part(pool, tally)
    found = scored(pool, tally)
    found = replace(found, samples=tally, notes=[*found.notes, *notes])
    if best is None:
        return found
    part, counts = best
    return replace(found, chosen=replace(scored(part, counts), samples=counts))


def _training_part(reference: str) -> str | None:
    """The name itself if its training split is on this machine."""
    try:
        resolve(reference, "train")
    except UsageError:
        return None
    return reference


def _task(kind: str, task: str, pool: Collection | None, truth: Collection | None) -> str:
    """What to measure; decided by ids if the user does not say."""
    given = "csp" if kind == "crystals" else "conformer"
    if task not in ("auto", "denovo", given):
        raise UsageError(f"{kind} have the tasks {given} and denovo, not {task}")
    if task != "auto":
        return task
    if pool is None:
        return given
    if truth is None:
        return "denovo"
    known = places(truth.items)
    made = [item for item in pool.items if item.structure is not None]
    matched = sum(origin(item, known) is not None for item in made)
    if 0 < matched < len(made):
        raise UsageError(
            f"{matched} of {len(made)} generated structures have an id of the reference, the "
            f"others have none; say what to measure: task {given} or denovo"
        )
    return given if matched else "denovo"


def _aligned(pool: Collection, truth: Collection) -> list[list[Any]]:
    """Structures of each reference: by id, or by place if nothing has an id."""
    if all(item.id is None for item in pool.items) and len(pool.items) == len(truth.items):
        return [[item.structure] for item in pool.items]
    groups, strangers = grouped(pool.items, truth.items)
    if strangers:
        raise UsageError(
            f"{len(strangers)} generated structures belong to no reference, the first is "
            f"{strangers[0]!r}; ids are those of the reference, or those with _0, _1, ... behind"
        )
    return groups
