"""``sciar evaluate``: metrics of generated structures, whoever made them."""

from __future__ import annotations

import shlex
import sys
from typing import Literal

from sciar.commands import exits
from sciar.commands.files import write_json, write_page
from sciar.errors import UsageError


def evaluate(
    kind: Literal["crystals", "molecules", "properties", "wanted"],
    generated: str,
    reference: str = "",
    format: str = "",
    divide: str = "",
    oracle: str = "",
    train: str = "",
    task: Literal["auto", "csp", "conformer", "denovo"] = "auto",
    dataset: str = "",
    selection: Literal["auto", "raw", "kept"] = "auto",
    requested: int | None = None,
    k: int | None = None,
    jobs: int = 1,
    timeout: float = 60.0,
    bootstrap: int = 1000,
    seed: int = 0,
    threshold: float | None = None,
    bonds: Literal["qm9", "drugs"] = "qm9",
    metre: bool = False,
    polymorphs: bool = False,
    strata: bool = False,
    exclude: bool = False,
    posebusters: bool = False,
    json: str = "",
    report: str = "",
) -> int:
    """Score structures against a reference set, every rate with its counts.

    If the ids of the generated structures belong to the reference (mp-1_0, mp-1_1 to mp-1),
    predictions are compared with their references: match rate and RMSE for crystals, coverage and
    matching for conformers. Else they are scored as made from nothing.

    Args:
        kind: crystals, molecules, properties (a file of sciar predict against the labels of the
            reference, joined by id), or wanted (the properties that samples of sciar generate were
            asked for against what was obtained).
        generated: file or folder of structures, or file of predictions.
        reference: file, folder or name of a data set (its test split).
        format: of the reference of properties where its name does not tell, such as calpha.
        divide: of properties: score only the test part of a reference that a recipe divides so,
            such as scaffold (data.divide, with its seed 0).
        oracle: folder of sciar oracle, which judges wanted properties that do not follow from a
            structure.
        train: file or data set (train split) for novelty and for the template baseline; default:
            the train split of a reference given by name.
        task: what to measure; auto decides by the ids.
        dataset: data set behind the reference file, for published figures of the same protocol.
        selection: raw scores samples that a check of the generator rejected too (files of sciar
            generate --raw), kept counts them as failed; auto is what the file says.
        requested: samples asked for, if the file does not say; those without a record count as
            failed: not valid, not stable, not matched.
        k: samples used of each reference; default: as many as there are.
        jobs: worker processes.
        timeout: seconds for one comparison; those that take longer are counted apart.
        bootstrap: resamples of the 95 % intervals.
        seed: of the bootstrap.
        threshold: RMSD in angstrom below which a conformer is covered; default 0.5, that of
            GEOM-QM9 (GEOM-Drugs: 1.25).
        bonds: rule of bond orders from distances for molecules made from nothing; drugs makes all
            bonds single, as EDM does for GEOM-Drugs.
        metre: also match every reference against all predictions (METRe).
        polymorphs: also match predictions against every known structure of their composition, of
            the reference and the training structures.
        strata: also score references apart whose composition, or prototype, is in the training
            structures and those where it is absent.
        exclude: the template baseline uses no structure of a reference's own composition.
        posebusters: also run the PoseBusters tests.
        json: file for the metrics and the verdict on each record.
        report: HTML page with tables and pictures.
    """
    from sciar import api
    from sciar.api.inputs import collect

    if (format or divide) and kind != "properties":
        raise UsageError("--format and --divide are for the labels of properties")
    if kind == "properties":
        return _properties(generated, reference, (format, divide), bootstrap, seed, json)
    if kind == "wanted":
        return _wanted(generated, oracle, (reference, train), bootstrap, seed, json)
    if oracle:
        raise UsageError("--oracle judges wanted properties: sciar evaluate wanted")
    single: Literal["crystal", "molecule"] = "crystal" if kind == "crystals" else "molecule"
    pool = collect(generated, single)
    found = api.evaluate(
        kind,
        pool.items,
        reference or None,
        train=train or None,
        task=task,
        dataset=dataset or None,
        selection=selection,
        requested=requested,
        k=k,
        jobs=jobs,
        timeout=timeout,
        bootstrap=bootstrap,
        seed=seed,
        threshold=threshold,
        bonds=bonds,
        metre=metre,
        polymorphs=polymorphs,
        strata=strata,
        exclude=exclude,
        posebusters=posebusters,
        progress=True,
    )
    print(found.table())
    if json:
        write_json(json, {"generated": generated, "reference": reference, **found.to_dict()})
    if report:
        from sciar.evaluation.sections import Shown, gallery

        shown = [
            Shown(item.id or "", item.rejected, "rejected")
            if item.rejected is not None
            else Shown(item.id or "", item.structure)
            for item in pool.items
        ]
        sections = [*found.sections(), gallery("Structures", shown)]
        command = shlex.join(["sciar", *sys.argv[1:]])
        write_page(report, f"Evaluation of {generated}", sections, provenance={"command": command})
        print(f"\nreport in {report}")
    read = sum(x.structure is not None or x.rejected is not None for x in pool.items)
    return exits.of(read, len(pool.items))


def _properties(
    predicted: str, reference: str, how: tuple[str, str], bootstrap: int, seed: int, json: str
) -> int:
    from sciar.api.property_scores import evaluate_properties
    from sciar.api.results import Options

    if not reference:
        raise UsageError("predictions are scored against labels: give --reference")
    found = evaluate_properties(
        predicted,
        reference,
        Options(bootstrap=bootstrap, seed=seed),
        how[0] or None,
        how[1] or None,
    )
    print(found.table())
    if json:
        write_json(json, {"predicted": predicted, "reference": reference, **found.to_dict()})
    return exits.of(sum(row.get("status") == "ok" for row in found.rows), len(found.rows))


def _wanted(
    generated: str, oracle: str, beside: tuple[str, str], bootstrap: int, seed: int, json: str
) -> int:
    from sciar.api.results import Options
    from sciar.api.wanted import evaluate_wanted

    reference, train = beside
    options = Options(bootstrap=bootstrap, seed=seed)
    found = evaluate_wanted(generated, oracle or None, reference or None, train or None, options)
    print(found.table())
    if json:
        write_json(json, {"generated": generated, "oracle": oracle, **found.to_dict()})
    judged = [
        all(row[k] is not None for k in row if k.startswith("obtained_")) for row in found.rows
    ]
    return exits.of(sum(judged), len(judged))
