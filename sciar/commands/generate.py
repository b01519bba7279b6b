"""``sciar generate``: structures from a trained model."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sciar.commands import exits
from sciar.commands.files import write_json, write_page
from sciar.commands.interrupts import Interrupted, Interrupts
from sciar.errors import UsageError

if TYPE_CHECKING:
    from sciar.api import Model, Sample
    from sciar.api.candidates import Candidate
    from sciar.api.model import Samples
    from sciar.commands.output import Put
    from sciar.datasets.readers import RecordFailure
    from sciar.evaluation.report import Section
    from sciar.records import Record


def generate(
    model: str,
    composition: str = "",
    elements: str = "",
    max_atoms: int | None = None,
    smiles: str = "",
    smiles_file: str = "",
    input: str = "",
    pxrd: str = "",
    kind: str = "",
    conditions: dict[str, Any] | None = None,
    condition: list[str] | None = None,
    conditions_file: str = "",
    guidance: float | None = None,
    strict_range: bool = False,
    n: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    steps: int | None = None,
    temperature: float | None = None,
    temperatures: dict[str, float] | None = None,
    top_p: float | None = None,
    retries: int | None = None,
    at_once: bool | None = None,
    logp: bool = False,
    raw: bool = False,
    keep: float | None = None,
    rank_by: Literal["atom", "total"] = "atom",
    known: str = "",
    rank: Literal["", "likelihood", "energy", "both"] = "",
    potential: str = "",
    potential_options: dict[str, Any] | None = None,
    relax: int = 200,
    out: str = "",
    report: str = "",
    json: str = "",
    device: str = "auto",
) -> int:
    """Generate structures with a trained model.

    Every sample keeps the id of its input ({id}_0, {id}_1, ...) and has a status; one that failed
    is reported and never stops the rest. Exit codes: 0 all there, 3 some failed, 1 none, 2 wrong
    usage; after Ctrl-C or SIGTERM what is finished is kept, and the code is 130 or 143.

    Args:
        model: name of an installed model (see sciar models), or a model folder.
        composition: exact content of the cell, such as "Na4 Cl4".
        elements: exactly these elements occur, such as Li,Fe,P,O, for models that choose the
            composition themselves.
        max_atoms: largest structure wanted.
        smiles: molecule whose conformers are wanted.
        smiles_file: file with a SMILES and an optional name on each line.
        input: file with records; their compositions or SMILES are taken, and their ids kept.
        pxrd: file with powder patterns (2-theta in degrees and intensity; .xy, .csv, .jsonl), for a
            model that is guided by them; goes with --composition. Records of --input bring
            patterns computed from their own structures; "none" leaves the patterns out.
        kind: crystals or molecules, for a model that makes both.
        conditions: what else the model takes (sciar models NAME lists it), as JSON or one at a
            time, such as --conditions.max_atoms 9.
        condition: a property of the structures and its value, such as --condition gap=0.3; several
            with commas or by repeating the option. sciar models NAME lists names and ranges.
        conditions_file: CSV file of which each row asks for something: columns are named like the
            conditions, an empty cell asks for nothing, and a column id names the samples.
        guidance: how much such properties are stressed: 0 leaves them out, 1 (default) is the model
            as it was trained, 2 is a usual choice.
        strict_range: refuse properties outside the range of the training data, in place of a
            warning.
        n: samples of each.
        seed: fixes the samples, whatever the batch size.
        batch_size: sequences in the making at once.
        steps: function evaluations of the coordinate sampler.
        temperature: of the symbols; 0 takes the most likely.
        temperatures: of symbols that are announced under a label, such as
            --temperatures '{"<level-0>": 0.3}' for the elements of an octree.
        top_p: nucleus of the symbols.
        retries: how often a failed structure is drawn again.
        at_once: draw symbols whose places are all known in one pass, for models trained for it.
        logp: also compute the log-density of the coordinates.
        raw: also write the structures that a check rejected, each with its status, and draw
            nothing again: what figures over all samples are taken from.
        keep: rank the samples of each input by log-likelihood and mark this share of them, the
            best, as chosen (0.1: every tenth). All are written, each with its log-likelihood and
            rank; sciar evaluate then prints the figures of all and of the chosen ones apart.
        rank_by: log-likelihood divided by the number of atoms, or total, which favours small
            structures.
        known: known structures for a model that takes templates: a file, a folder, a data set (its
            split train); "training" stands for those that go with the model, commas join several.
            Records that are no use are listed. --conditions.templates says how many templates (0:
            none) or which ids, --conditions.exclude true leaves out those of the same composition.
        rank: crystals without duplicates, best first: by likelihood, by energy, or by both places
            added. All samples are written, each with its places under every ranking.
        potential: for energies: chgnet (an extra package), or the import path of an ASE calculator
            such as ase.calculators.emt.EMT. Default, where energies are needed: chgnet.
        potential_options: arguments of the calculator, as JSON.
        relax: steps of the relaxation at most; 0 takes energies of the samples as they are.
        out: file or folder to write; .cif .extxyz .xyz .vasp .sdf .smi .jsonl .csv, .gz behind it
            compresses; a name without extension is a folder. Default: JSON lines on the terminal.
        report: HTML page with pictures and counts.
        json: file for settings, counts and one row for each sample, failed ones included.
        device: auto, cpu, cuda or cuda:1.
    """
    from sciar import api
    from sciar.api.candidates import check_rank, ranked_candidates
    from sciar.api.ranking import check_keep, ranked
    from sciar.commands import candidates as shown
    from sciar.commands.output import open_output
    from sciar.commands.patterns import with_patterns
    from sciar.commands.wanted import with_properties, with_rows
    from sciar.datasets.writers import check_format

    loaded = api.load(model, device_of(device))
    if raw and retries:
        raise UsageError("raw samples are drawn once: leave out --retries or --raw")
    if rank and (keep is not None or raw):
        raise UsageError("--rank orders all samples by itself: leave out --keep and --raw")
    ranking = shown.rank_options(rank, potential, potential_options, relax)
    if rank:
        check_rank(loaded, rank, ranking)
    if keep is not None:
        check_keep(keep, rank_by)
        print(loaded.rank_basis().line(), file=sys.stderr)
    given = with_properties(conditions, condition or [])
    shown.know(loaded, known)
    composition, wanted = with_patterns(pxrd, composition, given)
    if conditions_file:
        wanted = with_rows(conditions_file, wanted)
    samples = loaded.stream(
        composition=composition or None,
        elements=elements or None,
        max_atoms=max_atoms,
        smiles=smiles or None,
        records=_records(smiles_file, input),
        kind=kind or None,
        conditions=wanted,
        n=n,
        seed=seed,
        batch_size=batch_size,
        steps=steps,
        temperature=temperature,
        temperatures=temperatures,
        top_p=top_p,
        retries=0 if raw else retries,
        at_once=at_once,
        guidance=guidance,
        strict_range=strict_range,
        logp=logp or keep is not None or bool(rank),
    )
    if out:
        check_format(out, samples.kinds, raw or keep is not None or bool(rank))
    shown.announce(samples)
    found: list[Candidate] = []
    start = time.monotonic()
    with Interrupts() as interrupts:
        facts: dict[str, Any] = {"model": loaded.name, "requested": samples.requested}
        facts["selection"] = "raw" if raw else "kept"
        with open_output(out, facts, samples.kinds[0], raw) as put:
            if keep is None and not rank:
                done, signal = _collect(samples, put, interrupts)
            else:
                done, signal = _collect(samples, lambda sample: None, interrupts)
                if rank:
                    with interrupts.hold() as stopped:
                        found = ranked_candidates(
                            loaded, done, rank, ranking, lambda: bool(signal or stopped())
                        )
                        signal = signal or stopped()
                    done = shown.samples_of(found, rank)
                    print(shown.summary(found), file=sys.stderr)
                with interrupts.shield_quietly():
                    if keep is not None:
                        done = ranked(done, keep, rank_by)
                    for sample in done:
                        put(sample)
        with interrupts.shield_quietly():
            pages = shown.sections(samples, found, rank) if found else None
            return _finish(
                loaded,
                samples,
                done,
                signal,
                time.monotonic() - start,
                (out, report, json),
                raw,
                pages,
            )


def device_of(name: str) -> str:
    """The device that a user's word means."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _records(smiles_file: str, input: str) -> Iterator[Record | RecordFailure] | None:
    from sciar.datasets.readers import read

    if smiles_file and input:
        raise UsageError("give only one of --smiles-file and --input")
    if smiles_file:
        return read(smiles_file, format="smiles")
    return read(input) if input else None


def _collect(samples: Samples, put: Put, interrupts: Interrupts) -> tuple[list[Sample], int]:
    """Write samples as they come; on a signal, keep those that are finished.

    Returns:
        The samples in the order of their indices, and the signal, 0 for none.
    """
    from tqdm import tqdm

    from sciar.commands.output import in_order

    done: list[Sample] = []
    take, flush = in_order(put, samples.order())
    interval = 0.2 if sys.stderr.isatty() else 30.0
    bar = tqdm(total=len(samples), unit="structure", file=sys.stderr, mininterval=interval)
    signal = 0
    with bar:
        try:
            for sample in samples:
                with interrupts.shield():
                    done.append(sample)
                    take(sample)
                    bar.update()
        except Interrupted as stop:
            signal = stop.signal
            with interrupts.shield_quietly():
                flush()
    return sorted(done, key=lambda sample: sample.index), signal


def _finish(
    model: Model,
    samples: Samples,
    done: list[Sample],
    signal: int,
    seconds: float,
    targets: tuple[str, str, str],
    raw: bool,
    pages: Sequence[Section] | None = None,
) -> int:
    """Counts, report and exit code; ``pages`` of the report stand in place of its gallery."""
    from sciar.commands.counts import Counts

    out, report, json = targets
    counts = Counts.of(done, samples.requested)
    say = sys.stdout if out else sys.stderr
    if signal:
        print(f"interrupted: {counts.kept:,} finished structures are kept", file=say)
    print(counts.line(), file=say)
    if any(sample.chosen is not None for sample in done):
        chosen = sum(bool(sample.chosen) for sample in done)
        print(f"chosen by likelihood: {chosen:,} of {len(done):,}", file=say)
    if out:
        print(f"written to {out}", file=say)
    if raw and out:
        print(f"{counts.parsed - counts.kept:,} rejected structures are written too", file=say)
    facts = {"model": model.name, "seed": samples.settings.seed, "seconds": round(seconds, 2)}
    facts["selection"] = "raw" if raw else "kept"
    if json:
        rows = [sample.facts() for sample in done]
        settings = vars(samples.settings) | {"payload": vars(samples.settings.payload)}
        write_json(
            json,
            {**facts, "interrupted": bool(signal), "settings": settings,
             "counts": counts.to_dict(), "samples": rows},
        )  # fmt: skip
    if report:
        facts["command"] = shlex.join(["sciar", *sys.argv[1:]])
        _page(report, model, done, counts.table(), facts, raw, pages)
        print(f"report in {report}", file=say)
    if signal:
        return exits.SIGNAL + signal
    return exits.of(counts.kept, max(counts.requested, counts.kept))


def _page(
    path: str,
    model: Model,
    done: list[Sample],
    counts: Any,
    facts: dict[str, Any],
    raw: bool,
    pages: Sequence[Section] | None,
) -> Path:
    from sciar.evaluation.sections import Shown, gallery

    if pages is not None:
        return write_page(path, f"Generated by {model.name}", [counts, *pages], provenance=facts)
    shown = [
        Shown(s.id, s.record or (s.rejected if raw else None), s.status, s.message, _card_facts(s))
        for s in done
    ]
    sections = [counts, gallery("Structures", shown)]
    return write_page(path, f"Generated by {model.name}", sections, provenance=facts)


def _card_facts(sample: Sample) -> dict[str, str]:
    facts = {} if sample.logp is None else {"log p": f"{sample.logp:.2f}"}
    if sample.rank is not None:
        facts["rank"] = f"{sample.rank}{', chosen' if sample.chosen else ''}"
    return facts
