"""``sciar annotate``: what a model says about the proteins of a file."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.commands import exits
from sciar.commands.files import write_json
from sciar.commands.interrupts import Interrupts

if TYPE_CHECKING:
    from sciar.jobs.run import Job, Outcome


def annotate(
    input: str,
    *,
    model: str,
    out: str,
    tasks: str = "",
    resume: bool = False,
    shard_size: int = 1000,
    batch_tokens: int = 16384,
    format: str = "",
    sequence_column: str = "",
    partner_column: str = "",
    id_column: str = "",
    chain: str = "",
    autoregressive: bool = False,
    ray: str = "",
    ray_workers: int | None = None,
    json: str = "",
    device: str = "auto",
) -> int:
    """Answer questions about every protein of a file.

    One row for every record and task, in order: id, task, status, value, confidence, message. A
    bad record gives rows with its error and never stops the rest. Rows are written to Parquet
    files in a folder; a job that was interrupted, or killed, goes on with --resume and gives the
    same bytes. Exit codes: 0 all answered, 3 some failed, 1 none, 2 wrong usage; after Ctrl-C or
    SIGTERM, which finish the batch, 130 or 143.

    Args:
        input: FASTA, CSV, JSON lines, PDB or mmCIF, each also .gz, Parquet, or a folder of
            structures.
        model: name of an installed model (see sciar models), or a model folder.
        out: folder for the rows; new, empty, or that of this very job.
        tasks: names of tasks of the model, separated by commas; default: all but auxiliary ones.
        resume: go on with the job in the folder; starts it if the folder is new.
        shard_size: records in one file of rows.
        batch_tokens: residues in a batch, times tasks; halved by itself when memory runs out.
            Changes no row.
        format: of the input, where neither name nor content tells: fasta, csv, parquet, jsonl,
            pdb or mmcif.
        sequence_column: column of the sequence, if it has no usual name.
        partner_column: column of the second sequence of a pair.
        id_column: column of the identifier.
        chain: chain of structure files; default: all protein chains, one record each.
        autoregressive: write answers with one token a residue one by one, not all at once.
        ray: work on a Ray cluster: auto, HOST:6379, ray://HOST:10001, or local to start one here.
        ray_workers: how many workers; default: one a GPU, or a CPU where there are none.
        json: file for settings and counts.
        device: auto, cpu, cuda or cuda:1.
    """
    from sciar.jobs.proteins import Annotate, protein_source
    from sciar.jobs.run import Job
    from sciar.jobs.worker import Recipe

    columns = {"sequence": sequence_column, "partner": partner_column, "id": id_column}
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    options = {"model": model, "tasks": names, "device": device, "autoregressive": autoregressive}
    job = Job(
        name="annotate",
        source=protein_source(input, format=format, chain=chain, **columns),
        recipe=Recipe(Annotate, options),
        out=Path(out),
        shard_size=shard_size,
        batch_tokens=batch_tokens,
    )
    with Interrupts() as interrupts:
        with interrupts.hold() as held:
            outcome = run_job(job, resume, held, ray, ray_workers)
            signal = 0 if outcome.complete else held()
        with interrupts.shield_quietly():
            return finish(job, outcome, signal, json)


def run_job(
    job: Job, resume: bool, stop: Callable[[], int], ray: str, workers: int | None
) -> Outcome:
    """Run a job here or on a cluster, with a bar; repeated ids are told once."""
    from sciar.datasets.readers import DuplicateIdWarning
    from sciar.jobs.progress import Bar
    from sciar.jobs.run import run

    cluster: Callable[..., Any] | None = None
    if ray:
        from sciar.jobs.cluster import RayExecutor

        cluster = partial(RayExecutor, job=job, address=ray, stop=stop, workers=workers)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", DuplicateIdWarning)
        outcome = run(job, resume=resume, stop=stop, progress=Bar("record"), cluster=cluster)
    for one in raised:
        if issubclass(one.category, DuplicateIdWarning):
            print(f"sciar: note: {one.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return outcome


def finish(job: Job, outcome: Outcome, signal: int, json: str) -> int:
    """Print the counts of a job, write them to ``json``, and return the exit code."""
    if signal or not outcome.complete:
        print(f"interrupted: {outcome.records:,} records are done; --resume goes on from there")
    failed = outcome.rows - outcome.good
    print(
        f"records {outcome.records:,}, without any answer {outcome.bad:,}; "
        f"rows {outcome.rows:,}, answered {outcome.good:,}, failed {failed:,}"
    )
    for id, task, message in outcome.examples:
        print(f"  {id}, {task}: {message}")
    for name in outcome.remade:
        print(f"{name} was missing or changed, and was made again")
    print(f"written to {job.out}")
    if json:
        per_task = {
            task: {"answered": outcome.records - failed, "failed": failed}
            for task, failed in outcome.failed.items()
        }
        content = {
            "job": job.name,
            "input": str(getattr(job.source, "path", "")),
            "options": dict(job.recipe.options),
            "complete": outcome.complete,
            "records": outcome.records,
            "bad_records": outcome.bad,
            "rows": outcome.rows,
            "answered": outcome.good,
            "failed": failed,
            "tasks": per_task,
            "shards_kept": outcome.kept,
            "shards_made_again": outcome.remade,
            "seconds": round(outcome.seconds, 2),
        }
        write_json(json, content)
    if signal:
        return exits.SIGNAL + signal
    return exits.of(outcome.good, outcome.rows)
