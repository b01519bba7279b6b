"""``sciar invert``: programs that describe images or measurements."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.commands import exits
from sciar.commands.files import replace_file, write_json, write_page
from sciar.commands.interrupts import Interrupted, Interrupts
from sciar.errors import RecordError, UsageError

if TYPE_CHECKING:
    from sciar.api import Model
    from sciar.api.inversion import Inversion
    from sciar.jobs.run import Job

TEXT = (".json", ".jsonl", ".txt")


def invert(
    input: str,
    *,
    model: str,
    out: str = "",
    samples: int = 1,
    verify: bool = False,
    refine: int = 20,
    level: float = 0.9,
    temperature: float = 1.0,
    seed: int = 0,
    fit: bool = False,
    batch_size: int = 32,
    resume: bool = False,
    shard_size: int = 1000,
    report: str = "",
    json: str = "",
    device: str = "auto",
) -> int:
    """Describe images or powder patterns by programs with numbers.

    Each number comes with an interval. An image or a pattern that cannot be read is reported and
    never stops the rest. Without an extension, --out is a folder of Parquet files, one row for each
    observation and task (program, calls, residual); such a job goes on with --resume and gives
    the same bytes. Exit codes: 0 all there, 3 some failed, 1 none, 2 wrong usage; after Ctrl-C or
    SIGTERM what is finished is kept, and the code is 130 or 143.

    Args:
        input: image (.png .tif .jpg .bmp .npy), stack of images (.npz), file of powder patterns
            (2-theta in degrees and intensity; .xy .csv .jsonl), or a folder of such files; which
            of both is read is up to the model.
        model: name of an installed model (see sciar models), or a model folder.
        out: .json or .jsonl (calls, intervals, residuals), .txt (programs), or, for programs about
            matter, .cif .extxyz .xyz .vasp; without an extension a folder for a job. Default: JSON
            lines on the terminal.
        samples: programs that are decoded of each, the likeliest and random ones; needs --verify.
        verify: draw or simulate each program, keep the one that is nearest to the observation,
            refine its numbers, and report the residual.
        refine: most evaluations of the refinement; 0 only chooses.
        level: probability inside the intervals.
        temperature: of the random programs.
        seed: with the name of an observation it fixes its programs.
        fit: pad, resize and convert images of other sizes and modes to what the model reads, which
            else are refused.
        batch_size: programs in the making at once; it never changes them.
        resume: go on with the job in the folder.
        shard_size: observations in one file of a job.
        report: HTML page with the observations and what was decoded.
        json: file for settings and counts.
        device: auto, cpu, cuda or cuda:1.
    """
    options: dict[str, Any] = {
        "samples": samples,
        "verify": verify,
        "refine": refine,
        "level": level,
        "temperature": temperature,
        "seed": seed,
        "batch_size": batch_size,
    }
    if out and not Path(out).suffix:
        if report:
            raise UsageError("a job writes no report: give --out a file, or leave --report out")
        return _as_job(input, out, model, {**options, "fit": fit}, device, resume, shard_size, json)
    if resume:
        raise UsageError("--resume goes on with a job: give --out a folder")
    return _here(input, out, model, options, fit, (report, json), device)


def _as_job(
    input: str,
    out: str,
    model: str,
    options: dict[str, Any],
    device: str,
    resume: bool,
    shard_size: int,
    json: str,
) -> int:
    from sciar import api
    from sciar.commands.annotate import finish, run_job
    from sciar.jobs.inversion import Invert, frame_name, observation_source
    from sciar.jobs.run import Job
    from sciar.jobs.worker import Recipe

    kind = frame_name(api.load(model).tokenizer, model)
    job: Job = Job(
        name="invert",
        source=observation_source(input, kind),
        recipe=Recipe(Invert, {"model": model, "device": device, **options}),
        out=Path(out),
        shard_size=shard_size,
    )
    with Interrupts() as interrupts:
        with interrupts.hold() as held:
            outcome = run_job(job, resume, held, "", None)
            signal = 0 if outcome.complete else held()
        with interrupts.shield_quietly():
            return finish(job, outcome, signal, json)


def _here(
    input: str,
    out: str,
    model: str,
    options: dict[str, Any],
    fit: bool,
    targets: tuple[str, str],
    device: str,
) -> int:
    from tqdm import tqdm

    from sciar import api
    from sciar.commands.generate import device_of
    from sciar.datasets.observations import read_observations
    from sciar.datasets.writers import check_format
    from sciar.jobs.inversion import frame_name
    from sciar.tokenization.programs.structures import makes

    loaded = api.load(model, device_of(device))
    kind = frame_name(loaded.tokenizer, loaded.name)
    suffix = Path(out.lower().removesuffix(".gz")).suffix
    if out and suffix not in TEXT:
        language: Any = getattr(loaded.tokenizer, "language", None)
        described = makes(language)
        if not described:
            raise UsageError(
                f"{out}: programs of {language.name} describe no structures; give .json or .txt"
            )
        check_format(out, (described,))
    seen: dict[str, Any] = {}
    found = loaded.invert(_seen(read_observations(input, kind), loaded, fit, seen), **options)
    done: list[Inversion] = []
    signal, start = 0, time.monotonic()
    with Interrupts() as interrupts:
        try:
            for one in tqdm(found, unit="observation", file=sys.stderr, mininterval=1.0):
                with interrupts.shield():
                    done.append(one)
                    if not out:
                        print(json_module.dumps(one.to_dict(), ensure_ascii=False), flush=True)
        except Interrupted as stop:
            signal = stop.signal
        with interrupts.shield_quietly():
            seconds = time.monotonic() - start
            good = _write(out, suffix, done) if out else sum(one.ok for one in done)
            return _finish(loaded, input, (out, *targets), done, seen, good, signal, seconds)


def _seen(
    items: Iterator[Any], loaded: Model, fit: bool, seen: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Id and data of each observation; what a report shows is kept."""
    from sciar.datasets.readers import RecordFailure
    from sciar.jobs.inversion import prepared

    for item in items:
        if isinstance(item, RecordFailure):
            yield item.id, item.error
            continue
        data = prepared(item, loaded.tokenizer, fit)
        if len(seen) < 48:
            seen[item.id] = data
        yield item.id, data.located(source=item.source) if isinstance(data, RecordError) else data


def _write(out: str, suffix: str, done: list[Inversion]) -> int:
    """Write a file; returns how many observations are in it."""
    if suffix == ".json":
        write_json(out, [one.to_dict() for one in done])
    elif suffix == ".jsonl":
        lines = (json_module.dumps(one.to_dict(), ensure_ascii=False) + "\n" for one in done)
        replace_file(Path(out), "".join(lines).encode())
    elif suffix == ".txt":
        texts = (f"# {one.id}\n{one.text}" for one in done if one.ok)
        replace_file(Path(out), "\n".join(texts).encode())
    else:
        return _structures(out, done)
    return sum(one.ok for one in done)


def _structures(out: str, done: list[Inversion]) -> int:
    from sciar.datasets.writers import open_writer
    from sciar.records import Record

    count = 0
    with open_writer(out) as writer:
        for i, one in enumerate(done):
            if not one.ok:
                continue
            try:
                properties = {} if one.residual is None else {"residual": one.residual}
                writer.add(Record(one.id, one.structure, properties, index=i))
                count += 1
            except RecordError as error:
                print(f"  {one.id}: {error.reason}", file=sys.stderr)
    return count


def _finish(
    loaded: Model,
    input: str,
    targets: tuple[str, str, str],
    done: list[Inversion],
    seen: dict[str, Any],
    good: int,
    signal: int,
    seconds: float,
) -> int:
    out, report, json = targets
    counts = {"observations": len(done), "described": good, "failed": len(done) - good}
    say = sys.stdout if out else sys.stderr
    print(", ".join(f"{k} {v:,}" for k, v in counts.items()), file=say)
    for one in [d for d in done if not d.ok][:5]:
        print(f"  {one.message}", file=say)
    if out:
        print(f"written to {out}", file=say)
    facts = {"model": loaded.name, "input": input, "seconds": round(seconds, 2)}
    if json:
        write_json(json, {**facts, "interrupted": bool(signal), "counts": counts})
    if report:
        write_page(
            report,
            f"Decoded by {loaded.name}",
            [_gallery(loaded, done, seen)],
            provenance={k: str(v) for k, v in facts.items()},
        )
        print(f"report in {report}", file=say)
    return exits.SIGNAL + signal if signal else exits.of(good, len(done))


def _gallery(loaded: Model, done: list[Inversion], seen: dict[str, Any]) -> Any:
    """Observations as the model read them, with what was decoded drawn over or beside them."""
    from sciar.api.verification import Verifier
    from sciar.errors import ModelError
    from sciar.evaluation.report import Card, Gallery

    tokenizer: Any = loaded.tokenizer
    try:
        maker = Verifier.of(loaded.info, tokenizer).maker
    except ModelError:
        maker = None
    cards = []
    for one in done[:24]:
        picture = more = ""
        if one.ok:
            data = tokenizer.frame.read(seen[one.id])
            picture, more = _drawings(data, one, maker)
        facts = {"program": one.text.strip()}
        if one.residual is not None:
            facts["residual"] = f"{one.residual:.4g} (before refinement {one.unrefined:.4g})"
        cards.append(Card(one.id, one.id, picture, one.status, one.message, facts, more))
    note = f"{sum(d.ok for d in done):,} of {len(done):,} observations were described."
    return Gallery("Observations", cards, note + f" Shown: the first {len(cards):,}.")


def _drawings(data: Any, one: Inversion, maker: Any) -> tuple[str, str]:
    from sciar.evaluation.rasters import image_svg, profile_svg

    if data.ndim == 1:
        return profile_svg(data), _redrawn(one, maker, profile_svg)
    return image_svg(data, _marks(one)), _redrawn(one, maker, image_svg)


def _redrawn(one: Inversion, maker: Any, draw: Any) -> str:
    """What the program shows; empty where nothing can draw it."""
    if maker is None:
        return ""
    try:
        return str(draw(maker.redraw(one.program)))
    except (RecordError, UsageError):
        return ""  # a cell alone, or a program that shows nothing: the card stays without


def _marks(one: Inversion) -> Any:
    """(n, 2) places in the unit square that the program names, or ``None``."""
    assert one.program is not None
    fov = 1.0
    places = []
    for call in one.program.calls:
        given: Any = call.arguments
        fov = given["fov"][0] if "fov" in given else fov
        if "xy" in given:
            places.append([v / fov for v in given["xy"]])
    return places or None
