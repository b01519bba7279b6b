"""``sciar data make``: pictures with their programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciar.cli import main
from sciar.datasets.makers.shards import read_pictures


def test_made_once_and_then_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "make", "dots", str(tmp_path / "d"), "--split", "uniform", "--count", "5"]
    words += ["--seed", "3", "--shard", "2", "--options.size", "16", "--options.radius", "2"]
    assert main(words) == 0
    assert "5 pictures in 3 shards" in capsys.readouterr().out
    pictures = list(read_pictures(tmp_path / "d"))
    assert len(pictures) == 5 and pictures[0].image.shape == (16, 16, 3)
    assert main(words) == 0
    assert "0 shards made now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stars"], "known are dots, scenes, poses, haadf, pxrd"),
        (["dots", "--split", "test"], "not 'test'"),
        (["dots", "--options.hue", "3"], "no option 'hue'; it takes size"),
        (["dots", "--options.size", "wide"], "size='wide'"),
        (["scenes", "--count", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_made(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "make", words[0], str(tmp_path / "x"), *words[1:]]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_list_and_fetch_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0 and "sample-" in capsys.readouterr().out
    assert main(["data", "fetch", "nonesuch"]) == 2
    assert "unknown data set" in capsys.readouterr().err
