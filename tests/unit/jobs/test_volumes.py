"""Segmentation by blocks: as in memory, whatever the order and however often interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from volume_models import segmenter_folder

from sciar.api.segment import Segmenter, best, scores_by_threshold, segment
from sciar.cli import main
from sciar.datasets.tubes import tubes
from sciar.datasets.volume_sources import open_source
from sciar.errors import UsageError
from sciar.evaluation.contingency import Contingency
from sciar.evaluation.segmentation import segmentation_scores
from sciar.jobs import volume_plan
from sciar.jobs.progress import Silent
from sciar.jobs.volume_plan import JOBS, VolumePlan, digest_of
from sciar.jobs.volume_store import AFFINITIES, FRAGMENTS, SEGMENTATION, array
from sciar.jobs.volumes import segment_volume
from sciar.segmentation.blocks import Blocks
from sciar.segmentation.graph import Edges

pytest.importorskip("skimage")
zarr = pytest.importorskip("zarr")

SHAPE = (7, 20, 24)
BLOCK = (7, 10, 8)
COUNT = 6


class Counted(Silent):
    """Counts blocks, so that a run can be stopped after some of them."""

    blocks = 0

    def add(self, records: int, bad: int) -> None:
        self.blocks += records


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    raw, labels = tubes(SHAPE, seed=1, spacing=8)
    np.savez(folder / "v.npz", raw=raw, labels=labels, voxel_nm=np.array([20.0, 10.0, 10.0]))
    segmenter_folder(folder / "model")
    return folder


def plan_of(files: Path, model: Segmenter | None = None, **changes: object) -> VolumePlan:
    source = open_source(str(files / "v.npz"))
    loaded = model or Segmenter(files / "model", "cpu")
    plan = VolumePlan(
        path=str(files / "v.npz"), dataset="raw", shape=SHAPE, voxel=source.raw.voxel,
        digest=digest_of(source.raw), span=(source.span.low, source.span.high),
        model=str(files / "model"), sha256=loaded.sha256, window=loaded.window, block=BLOCK,
        step=(2, 4, 6), halo=(2, 4, 4), flat=False, boundary=0.5, smooth=0.5, threshold=0.45,
    )  # fmt: skip
    return replace(plan, **changes)


@pytest.fixture(scope="module")
def whole(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out.zarr"
    done = segment_volume(plan_of(files), out)
    assert done.complete and done.good == COUNT and done.bad == 0
    return out


def contents(out: Path) -> dict[str, bytes]:
    """Every byte of the store."""
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_as_in_memory(files: Path, whole: Path) -> None:
    model, plan = Segmenter(files / "model", "cpu"), plan_of(files)
    volume, span = plan.open()
    found = segment(
        span(volume[:, :, :]), plan.voxel, model, plan.blocks, plan.windows, plan.watershed, 0.45
    )
    for name, expected in (
        (AFFINITIES, found.affinities),
        (FRAGMENTS, found.fragments),
        (SEGMENTATION, found.segments),
    ):  # fmt: skip
        np.testing.assert_array_equal(array(whole, name, "r")[:], expected, err_msg=name)
    # The graph put together from blocks is that of the whole volume.
    direct = Edges.of(found.affinities, found.fragments)
    np.testing.assert_array_equal(found.edges.pairs, direct.pairs)
    np.testing.assert_array_equal(found.edges.total, direct.total)
    np.testing.assert_array_equal(found.ids, np.unique(found.fragments))
    assert found.affinities.min() > 0 and found.segments.min() > 0
    assert 1 < found.segments.max() < len(found.ids)
    assert len(np.unique(found.segments)) == found.segments.max()


def test_affinities_do_not_hang_on_the_blocks(files: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "other.zarr"
    segment_volume(plan_of(files, block=(4, 20, 24)), out)
    np.testing.assert_array_equal(array(out, AFFINITIES, "r")[:], array(whole, AFFINITIES, "r")[:])


@pytest.mark.parametrize("each", [4])
def test_stopped_again_and_again(files: Path, whole: Path, tmp_path: Path, each: int) -> None:
    out, runs, plan = tmp_path / "out.zarr", 0, plan_of(files)
    while True:
        seen = Counted()
        done = segment_volume(
            plan, out, resume=True, progress=lambda _, s=seen: s,
            stop=lambda s=seen: s.blocks >= each,
        )  # fmt: skip
        runs += 1
        if done.complete:
            break
        assert runs < 30
    assert runs > 4
    assert contents(out) == contents(whole)
    before = contents(out)
    again = segment_volume(plan, out, resume=True)
    assert again.complete and contents(out) == before


def test_a_half_written_block_is_written_again(files: Path, whole: Path, tmp_path: Path) -> None:
    """As after a kill: arrays are there, rows are not."""
    out, plan = tmp_path / "out.zarr", plan_of(files)
    segment_volume(plan, out)
    array(out, FRAGMENTS)[:, :10] = 7
    for name in ("fragments", "edges", "relabel"):
        folder = out / JOBS / f"{name}-{plan.fingerprint(name)}"
        for path in folder.iterdir():
            path.unlink()
    segment_volume(plan, out, resume=True)
    assert contents(out) == contents(whole)


def test_blocks_in_any_order(
    files: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blocks, "order", lambda self: list(range(len(self)))[::-1])
    out = tmp_path / "out.zarr"
    segment_volume(plan_of(files), out)
    for name in (AFFINITIES, FRAGMENTS, SEGMENTATION):
        np.testing.assert_array_equal(array(out, name, "r")[:], array(whole, name, "r")[:])


def test_a_setting_redoes_what_hangs_on_it(files: Path, whole: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "out.zarr", plan_of(files)
    segment_volume(plan, out)
    other = replace(plan, threshold=0.0)
    done = segment_volume(other, out, resume=True)
    kept = {stage: outcome.kept for stage, outcome in done.stages.items()}
    assert kept["predict"] == kept["edges"] == COUNT and kept["merge"] == kept["relabel"] == 0
    assert array(out, SEGMENTATION, "r")[:].max() == len(np.unique(array(out, FRAGMENTS, "r")[:]))
    back = segment_volume(plan, out, resume=True)
    assert back.stages["relabel"].kept == 0
    assert contents(out) == contents(whole)


def test_another_volume_is_refused(files: Path, whole: Path, tmp_path: Path) -> None:
    plan = plan_of(files)
    with pytest.raises(UsageError, match="--resume"):
        segment_volume(plan, whole)
    with pytest.raises(UsageError, match=r"digest is .* choose another --out"):
        segment_volume(replace(plan, digest="0" * 16), whole, resume=True)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="other files"):
        segment_volume(plan, tmp_path, resume=True)
    raw, _ = tubes(SHAPE, seed=2, spacing=8)
    np.savez(tmp_path / "v.npz", raw=raw, voxel_nm=np.array([20.0, 10.0, 10.0]))
    assert digest_of(open_source(str(tmp_path / "v.npz")).raw) != plan.digest


def test_the_store_is_an_ome_zarr(whole: Path) -> None:
    root = zarr.open_group(str(whole), mode="r")
    (image,) = root.attrs["multiscales"]
    assert [a["unit"] for a in image["axes"]] == ["nanometer"] * 3
    (level,) = image["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [20.0, 10.0, 10.0]}]
    assert root[level["path"]].shape == SHAPE and root[level["path"]].dtype == np.uint64
    assert open_source(str(whole), dataset="segmentation").raw.voxel == (20, 10, 10)


def test_a_damaged_block_costs_its_neighbours_and_no_more(files: Path, tmp_path: Path) -> None:
    raw = np.load(files / "v.npz")["raw"]
    store = tmp_path / "in.zarr"
    root = zarr.open_group(str(store), mode="w", zarr_format=2)
    data = root.create_array("raw", shape=SHAPE, chunks=(7, 10, 6), dtype="uint8")
    data[:] = raw
    data.attrs["resolution"] = [20.0, 10.0, 10.0]
    (store / "raw" / "0.1.3").write_bytes(b"broken")
    volume = open_source(str(files / "v.npz"))
    plan = plan_of(files, path=str(store), span=(volume.span.low, volume.span.high))
    out = tmp_path / "out.zarr"
    done = segment_volume(plan, out)
    assert (
        done.complete and 0 < done.bad < COUNT and done.good == COUNT - done.stages["predict"].bad
    )
    id, _, message = done.stages["predict"].examples[0]
    assert "cannot be read" in message
    z, y, x = map(int, id.split(","))
    found = array(out, SEGMENTATION, "r")
    assert not found[z : z + 7, y : y + 10, x : x + 8].any()
    assert found[:, :10, :8].all(), "far from it everything is segmented"


def test_thresholds_are_scored_as_if_each_were_run(files: Path, whole: Path) -> None:
    labels = np.load(files / "v.npz")["labels"]
    fragments = array(whole, FRAGMENTS, "r")[:]
    edges = Edges.of(array(whole, AFFINITIES, "r")[:], fragments)
    table = Contingency.of(labels, fragments)
    swept = scores_by_threshold(table, edges, np.unique(fragments), [0.2, 0.45, 0.6])
    expected = segmentation_scores(Contingency.of(labels, array(whole, SEGMENTATION, "r")[:]))
    assert {k: v for k, v in swept[1].items() if k != "threshold"} == pytest.approx(expected)
    assert best(swept)["voi"] == min(s["voi"] for s in swept)


def test_the_command(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, facts = tmp_path / "out.zarr", tmp_path / "facts.json"
    words = [
        "segment", str(files / "v.npz"), "--model", str(files / "model"), "--out", str(out),
        "--block", "[7, 10, 8]", "--labels", str(files / "v.npz"), "--sweep",
        "--report", str(tmp_path / "report"), "--json", str(facts), "--device", "cpu",
    ]  # fmt: skip
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "6 blocks of 7 x 10 x 8" in told and "memory of each worker" in told
    assert "threshold 0.4: VOI" in told and "lowest variation of information" in told
    content = json.loads(facts.read_text())
    assert content["segmented"] == COUNT and len(content["sweep"]) == 19
    assert content["best"]["voi"] <= content["scores"]["voi"] + 1e-9
    pictures = sorted((tmp_path / "report").glob("*.png"))
    assert len(pictures) == 3
    assert main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--threshold", "0.7"]) == 0
    short = [*words[:6], "--voxel", "[1, 1]"]
    assert main(short) == 2
    wrong = [*words[:6], "--labels", str(tmp_path / "l.npz")]
    np.savez(tmp_path / "l.npz", labels=np.zeros((2, 2, 2), np.uint8))
    assert main(wrong) == 2
    assert "labels of shape (2, 2, 2)" in capsys.readouterr().err


def test_other_models_do_not_segment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (4, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "v.npz", raw=raw)
    words = ["segment", str(tmp_path / "v.npz"), "--model", "perov5-csp", "--out", "x.zarr"]
    assert main(words) == 2
    assert "no voxel size" in capsys.readouterr().err
    assert main([*words, "--voxel", "[10, 10, 10]"]) == 2
    assert "does not segment volumes" in capsys.readouterr().err


def test_memory_follows_the_block_not_the_volume() -> None:
    small, large = (Blocks(s, (64, 256, 256), (16, 16, 16)) for s in ((64, 512, 512), (9999,) * 3))
    window = (16, 64, 64)
    for stage, size in small.memory(window).items():
        assert size <= large.memory(window)[stage] < 2**30
    assert set(small.memory(window)) <= set(volume_plan.STAGES)
    # Eight neighbours first, then the next eight.
    near = [np.unravel_index(i, large.counts) for i in large.order()[:8]]
    assert {tuple(map(int, n)) for n in near} == set(np.ndindex(2, 2, 2))
    assert sorted(small.order()) == list(range(len(small)))
