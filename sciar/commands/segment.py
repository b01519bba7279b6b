"""``sciar segment``: the objects of a volume of microscopy, which may be larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.commands import exits
from sciar.commands.files import write_json
from sciar.commands.interrupts import Interrupts

if TYPE_CHECKING:
    from sciar.datasets.volumes import Volume
    from sciar.jobs.volume_plan import VolumePlan
    from sciar.jobs.volumes import Segmented

_OVERLAYS, _SIDE = 3, 512


def segment(
    volume: str,
    *,
    model: str,
    out: str,
    threshold: float | None = None,
    resume: bool = False,
    voxel: tuple[float, float, float] | None = None,
    dataset: str = "",
    block: tuple[int, int, int] = (64, 256, 256),
    halo: tuple[int, int, int] = (16, 16, 16),
    overlap: float = 0.5,
    flat: bool | None = None,
    boundary: float = 0.5,
    smooth: float = 1.0,
    labels: str = "",
    label_dataset: str = "",
    sweep: bool = False,
    report: str = "",
    ray: str = "",
    ray_workers: int | None = None,
    json: str = "",
    device: str = "auto",
) -> int:
    """Segment a volume block by block into an OME-Zarr.

    Says first how many blocks there are and how much memory each stage takes. A run that was
    interrupted, or killed, goes on with --resume and gives the same bytes. Blocks that cannot be
    read have no segments. Exit codes: 0 all blocks, 3 some failed, 1 none, 2 wrong usage; after
    Ctrl-C or SIGTERM, which finish the block, 130 or 143.

    Args:
        volume: NPZ, TIFF, HDF5 or Zarr file; or a named set such as fib25:test.
        model: name of an installed model (see sciar models), or a model folder.
        out: store to write, such as out.zarr; new, or that of this volume and model.
        threshold: regions are merged while 1 - mean affinity is below it; default: the model's.
        resume: go on with the store; starts it if it is new. With other settings, the stages that
            hang on them are done anew.
        voxel: size of a voxel along z, y, x in nm, as --voxel "[50, 4, 4]", if the file does not
            say it.
        dataset: array in the file; default: raw, or the only one.
        block: voxels of a block along z, y, x; bounds the memory.
        halo: voxels around a block that its fragments see.
        overlap: share of a window that the next one sees again.
        flat: cut fragments section by section; default: if sections are thicker than two pixels.
        boundary: mean affinity below which a voxel is boundary.
        smooth: smoothing of the distance to boundaries, voxels; more gives fewer fragments.
        labels: file or named set with the true objects, to score against.
        label_dataset: array of the labels in that file; default: labels.
        sweep: with labels, also score the thresholds 0.05, 0.1, ... 0.95.
        report: folder for pictures of three sections.
        ray: work on a Ray cluster that shares the files: auto, HOST:6379, ray://HOST:10001, local.
        ray_workers: how many workers; default: one a GPU, or a CPU where there are none.
        json: file for settings, counts and scores.
        device: auto, cpu, cuda or cuda:1.
    """
    from sciar.jobs.volume_store import library
    from sciar.jobs.volumes import segment_volume

    library()
    reference = _reference(labels, label_dataset, voxel) if labels else None
    plan = _plan(
        volume, model, voxel, dataset, threshold, block, halo, overlap, flat, boundary, smooth
    )
    if reference is not None and reference.shape != plan.shape:
        from sciar.errors import UsageError

        raise UsageError(
            f"{reference.source}: labels of shape {reference.shape} for a volume of {plan.shape}"
        )
    _say_plan(plan)
    target = Path(out)
    with Interrupts() as interrupts:
        with interrupts.hold() as held:
            done = segment_volume(
                plan,
                target,
                resume=resume,
                stop=held,
                progress=_progress,
                ray=ray,
                ray_workers=ray_workers,
                device=device,
            )
            signal = 0 if done.complete else held()
        facts = _say_done(done, plan)
        if done.complete and done.good:
            if reference is not None:
                facts |= _scores(plan, target, reference, sweep)
            if report:
                _pictures(plan, target, reference, Path(report))
        print(f"written to {out}")
        if json:
            write_json(json, {"volume": volume, "model": model, "out": out, **facts})
    if signal:
        return exits.SIGNAL + signal
    return exits.of(done.good, len(plan.blocks))


def _plan(
    volume: str,
    model: str,
    voxel: tuple[float, float, float] | None,
    dataset: str,
    threshold: float | None,
    block: tuple[int, int, int],
    halo: tuple[int, int, int],
    overlap: float,
    flat: bool | None,
    boundary: float,
    smooth: float,
) -> VolumePlan:
    from sciar.api.segment import Segmenter
    from sciar.datasets.volume_sources import open_source
    from sciar.errors import UsageError
    from sciar.jobs.volume_plan import VolumePlan, digest_of

    if not 0 <= overlap < 1:
        raise UsageError(f"--overlap {overlap} must lie in [0, 1)")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold {threshold} must lie in [0, 1]")
    source = open_source(volume, "test", voxel=voxel, dataset=dataset or None)
    loaded = Segmenter(model, "cpu")
    raw, window = source.raw, loaded.window
    if raw.path is None:
        raise UsageError(f"{volume}: artificial tissue is no file; save it as NPZ first")
    z, y, x = (min(b, n) for b, n in zip(block, raw.shape, strict=True))
    sz, sy, sx = (max(1, round(n * (1 - overlap))) for n in window)
    thick = raw.voxel[0] > 2 * raw.voxel[2] if flat is None else flat
    return VolumePlan(
        path=str(Path(raw.path).resolve()),
        dataset=raw.dataset,
        shape=(raw.shape[0], raw.shape[1], raw.shape[2]),
        voxel=raw.voxel,
        digest=digest_of(raw),
        span=(source.span.low, source.span.high),
        model=str(Path(model).resolve()) if Path(model).exists() else model,
        sha256=loaded.sha256,
        window=window,
        block=(z, y, x),
        step=(sz, sy, sx),
        halo=(0 if thick else halo[0], halo[1], halo[2]),
        flat=thick,
        boundary=boundary,
        smooth=smooth,
        threshold=loaded.threshold if threshold is None else threshold,
    )


def _reference(name: str, dataset: str, voxel: tuple[float, float, float] | None) -> Volume:
    """The volume of labels; its voxels are compared by number, so their size hardly matters."""
    from sciar.datasets.volume_sources import open_labels

    return open_labels(name, "test", voxel or (1.0, 1.0, 1.0), dataset or None)


def _say_plan(plan: VolumePlan) -> None:
    blocks = plan.blocks
    fragments = "by section" if plan.flat else "in 3-D"
    print(
        f"{_sizes(plan.shape)} voxels of {_sizes(plan.voxel)} nm: {len(blocks):,} "
        f"block{'s' if len(blocks) > 1 else ''} of {_sizes(plan.block)}, windows of "
        f"{_sizes(plan.window)} every {_sizes(plan.step)}, fragments {fragments}, threshold "
        f"{plan.threshold:g}"
    )
    stages = ", ".join(
        f"{stage} {size / 2**20:,.0f} MB" for stage, size in blocks.memory(plan.window).items()
    )
    print(f"memory of each worker beside Python and the network (0.5 GB): {stages}")
    print(
        "memory of the graph: about 120 bytes an edge; at 0.03 edges a voxel, as in serial "
        "sections, 3.6 GB for a gigavoxel"
    )


def _sizes(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{n:g}" for n in numbers)


def _progress(stage: str) -> Any:
    from sciar.jobs.progress import Bar

    return Bar(f"block {stage}")


def _say_done(done: Segmented, plan: VolumePlan) -> dict[str, Any]:
    blocks = len(plan.blocks)
    if not done.complete and not done.bad:
        print("interrupted: --resume goes on from here")
    print(f"blocks {blocks:,}, segmented {done.good:,}, failed {done.bad:,}")
    for stage, outcome in done.stages.items():
        for id, _, message in outcome.examples:
            print(f"  {stage}, block at {id}: {message}")
    return {
        "complete": done.complete,
        "blocks": blocks,
        "segmented": done.good,
        "failed": done.bad,
        "threshold": plan.threshold,
        "seconds": {stage: round(o.seconds, 2) for stage, o in done.stages.items()},
    }


def _scores(plan: VolumePlan, out: Path, reference: Volume, sweep: bool) -> dict[str, Any]:
    """Scores against labels, block by block; 0 is no label."""
    from sciar.api.segment import best, scores_by_threshold
    from sciar.evaluation.contingency import Contingency
    from sciar.evaluation.segmentation import segmentation_scores
    from sciar.jobs.volume_stages import graph_of
    from sciar.jobs.volume_store import FRAGMENTS, SEGMENTATION, array

    found = array(out, SEGMENTATION, "r")
    table = Contingency.of_volumes(reference, found, plan.block)
    scores = segmentation_scores(table)
    _say_scores(plan.threshold, scores)
    facts: dict[str, Any] = {"scores": scores}
    if sweep:
        fragments = Contingency.of_volumes(reference, array(out, FRAGMENTS, "r"), plan.block)
        swept = scores_by_threshold(fragments, *graph_of(out, plan))
        chosen = best(swept)
        print("of the thresholds swept, the lowest variation of information:")
        _say_scores(chosen["threshold"], chosen)
        facts |= {"sweep": swept, "best": chosen}
    return facts


def _say_scores(threshold: float, scores: dict[str, Any]) -> None:
    def shown(key: str) -> str:
        return "none" if scores[key] is None else f"{scores[key]:.4f}"

    print(
        f"threshold {threshold:g}: VOI {shown('voi')} (split {shown('voi_split')}, merge "
        f"{shown('voi_merge')}), adapted Rand error {shown('adapted_rand')}; "
        f"{scores['voxels']:,} voxels, {scores['objects']:,} objects, {scores['segments']:,} "
        "segments"
    )


def _pictures(plan: VolumePlan, out: Path, reference: Volume | None, folder: Path) -> None:
    from sciar.evaluation.overlays import write_overlays
    from sciar.jobs.volume_store import AFFINITIES, SEGMENTATION, array

    volume, span = plan.open()
    z, y, x = plan.shape
    sections = sorted({z * (2 * i + 1) // (2 * _OVERLAYS) for i in range(_OVERLAYS)})
    window = (slice(0, min(y, _SIDE)), slice(0, min(x, _SIDE)))
    paths = write_overlays(
        folder, volume, span, array(out, AFFINITIES, "r"), array(out, SEGMENTATION, "r"),
        sections, window, reference,
    )  # fmt: skip
    print(f"{len(paths)} pictures in {folder}: image, affinities, segments"
          f"{', labels' if reference is not None else ''}")  # fmt: skip
