"""Powder patterns from files: formats, units by name, real measurements."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from sciar.datasets.formats.pattern import read_patterns
from sciar.datasets.readers import RecordFailure
from sciar.errors import UsageError
from sciar.records import Crystal, PowderPattern
from sciar.tokenization.diffraction import PatternGrid, peaks_of

ANGLES = np.linspace(5, 80, 40)
COUNTS = 100 + 50 * np.cos(ANGLES)


def table(separator: str, header: str = "") -> str:
    rows = (f"{a:.4f}{separator}{c:.4f}" for a, c in zip(ANGLES, COUNTS, strict=True))
    return header + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xy", table(" ")),
        ("a.xye", "\n".join(f"{a:.4f} {c:.4f} 1.0" for a, c in zip(ANGLES, COUNTS, strict=True))),
        ("a.csv", table(",", "2theta,intensity\n")),
        ("a.csv", table("; ", "2-Theta (deg); Counts\n")),
        ("a.txt", table("\t", "# two-theta\tcounts\n# Wavelength: 1.5406\n")),
        ("a.dat", table("   ", "' tth   I\n")),
    ],
)
def test_two_columns_of_any_make(name: str, text: str, tmp_path: Path) -> None:
    for packed in (False, True):
        path = tmp_path / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        (found,) = read_patterns(path)
        assert isinstance(found, PowderPattern) and found.id == "a"
        np.testing.assert_allclose(found.two_theta, ANGLES, atol=1e-3)
        np.testing.assert_allclose(found.intensity, COUNTS, atol=1e-3)
        assert found.wavelength == (1.5406 if "Wavelength" in text else None)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("q (1/A),intensity\n", "a momentum transfer"),
        ("# d, I\n", "a lattice spacing"),
        ("theta,counts\n", "half of 2-theta"),
        ("# 2theta (rad), I\n", "radians"),
    ],
)
def test_other_quantities_are_refused_by_name(header: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text(table(",", header))
    (found,) = read_patterns(path)
    assert isinstance(found, RecordFailure)
    told = str(found.error)
    assert message in told and "run.csv" in told and "record run" in told


def test_json_lines_keep_bad_records_in_place(tmp_path: Path) -> None:
    good = {"two_theta": ANGLES.tolist(), "intensity": COUNTS.tolist()}
    rows = [
        {"id": "a", **good, "wavelength": 0.7107},
        {"id": "b", "q": [1, 2], "intensity": [1, 2]},
        {"id": "c", **good, "unit": "rad"},
        {"id": "d", **good, "intensity": ["high"]},
        {"id": "e", "two_theta": [200, 300], "intensity": [1, 2]},
        {"id": "f", **good, "wavelength": "Cu"},
        good,
    ]
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\nnonsense\n")
    found = list(read_patterns(path))
    good_ones = [f.id for f in found if isinstance(f, PowderPattern)]
    assert good_ones == ["a", "many_6"] and len(found) == 8
    told = [str(f.error) for f in found if isinstance(f, RecordFailure)]
    wanted = ("no two_theta", "'rad'", "list of numbers", "180 degrees", "'Cu'", "no JSON")
    for line, part, name in zip(told, wanted, "bcdef", strict=False):
        assert part in line and f"record {name}" in line and "many.jsonl" in line


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_patterns(tmp_path / "none.xy")
    empty = tmp_path / "empty.xy"
    empty.write_text("")
    with pytest.raises(UsageError, match="empty"):
        read_patterns(empty)
    words = tmp_path / "words.xy"
    words.write_text("no numbers here\n")
    (found,) = read_patterns(words)
    assert isinstance(found, RecordFailure) and "no line holds" in str(found.error)


def test_agreement_is_one_with_the_right_crystal_and_only_where_it_was_measured() -> None:
    grid = PatternGrid(10, 80, 256)
    right, wrong = (peaks_of(elpasolite(a), grid) for a in (11.25, 10.4))
    assert grid.agreement(right, right) == pytest.approx(1)
    assert grid.agreement(wrong, right) < 0.5
    angles = np.arange(5, 60, 0.02)
    counts = 20 + angles / 10  # background, which rises
    for angle, height in zip(right.two_theta, right.intensity, strict=True):
        counts = counts + 30 * height * np.exp(-(((angles - angle) / 0.12) ** 2))
    profile = PowderPattern("p", angles, counts)
    assert grid.agreement(profile, right) > 0.95 > 0.5 > grid.agreement(profile, wrong)
    inside = grid.angles < 60
    seen = np.corrcoef(grid.measured(profile)[inside], grid.profile(right)[inside])[0, 1]
    assert grid.agreement(profile, right) == pytest.approx(seen, abs=1e-3)
    assert grid.agreement(PowderPattern("q", [79.9], [1.0], peaks=True), right) < 0.3


@pytest.mark.shared
def test_real_measurements_are_read_and_recognised(shared_data: Path) -> None:
    """All shared thin-film patterns, and Cs2AgBiBr6 against its published structure.

    Fm-3m, a = 11.25 angstrom (McClure et al., Chem. Mater. 28, 1348 (2016)); Br at x = 0.25.
    """
    path = shared_data / "xrd" / "perovskite_thinfilm" / "records.jsonl.gz"
    found = [p for p in read_patterns(path) if isinstance(p, PowderPattern)]
    assert len(found) == 81
    grid = PatternGrid(10, 55, 256)
    read = {p.id: grid.measured(p) for p in found}
    assert all(np.isfinite(v).all() and v.max() == pytest.approx(1) for v in read.values())
    computed = grid.profile(peaks_of(elpasolite(11.25), grid))
    wrong = grid.profile(peaks_of(elpasolite(10.4), grid))
    own = [v for name, v in read.items() if name.startswith("CsAgBiBr")]
    assert own
    right = [np.corrcoef(v, computed)[0, 1] for v in own]
    off = [np.corrcoef(v, wrong)[0, 1] for v in own]
    assert np.median(right) > np.median(off) + 0.2


def elpasolite(edge: float) -> Crystal:
    """Cs2AgBiBr6 in its cubic cell."""
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    parts = {
        "Cs": [[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
        "Ag": [[0.5, 0.5, 0.5]],
        "Bi": [[0, 0, 0]],
        "Br": [[0.25, 0, 0], [0.75, 0, 0], [0, 0.25, 0], [0, 0.75, 0], [0, 0, 0.25], [0, 0, 0.75]],
    }
    species, frac = [], []
    for symbol, sites in parts.items():
        for site in sites:
            for shift in face:
                species.append(symbol)
                frac.append((np.array(site) + shift) % 1)
    return Crystal(np.eye(3) * edge, tuple(species), np.array(frac))
