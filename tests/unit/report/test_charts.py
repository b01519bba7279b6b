"""Charts: round ticks that enclose the data, marks where the data are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.charts import _log_ticks, _ticks, bar_chart, histogram, line_chart
from sciar.evaluation.report import checked_svg

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_enclose(low: float, span: float) -> None:
    ticks = _ticks(low, low + span)
    assert 2 <= len(ticks) <= 9
    step = ticks[1] - ticks[0]
    slack = 1e-6 * step + 1e-9 * abs(low)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6))
def test_logarithmic_ticks_enclose(low: float, factor: float) -> None:
    ticks = _log_ticks(low, low * factor)
    assert ticks[0] <= low * 1.001
    assert ticks[-1] >= low * factor * 0.999
    assert ticks == sorted(ticks)


def test_points_keep_their_order_and_values() -> None:
    svg = line_chart(
        {"a": [(50, 3.0), (5, 1.0), (10, 2.0), (20, float("nan"))]},
        title="t", x_label="x", y_label="y", log_x=True,
    )  # fmt: skip
    checked_svg(svg)
    path = re.search(r'points="([^"]+)"', svg)
    assert path is not None
    places = [tuple(map(float, point.split(","))) for point in path[1].split()]
    assert len(places) == 3
    assert [p[0] for p in places] == sorted(p[0] for p in places)
    assert [p[1] for p in places] == sorted((p[1] for p in places), reverse=True)
    # on a logarithmic axis, 5 -> 10 is as wide as 2.5 -> 5: log(2) against log(5)
    first, second = places[1][0] - places[0][0], places[2][0] - places[1][0]
    assert second / first == pytest.approx(2.3219, rel=1e-2)


def test_bars_start_at_zero() -> None:
    svg = bar_chart({"plain": 10.0, "cached": 20.0}, title="t")
    checked_svg(svg)
    heights = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', svg)]
    assert heights[1] / heights[0] == pytest.approx(2, rel=1e-2)


def test_histograms_count_what_is_finite() -> None:
    svg = histogram({"ours": [1.0, 2.0, float("inf")], "none": []}, title="t", x_label="x", bins=4)
    checked_svg(svg)
    assert "ours (2)" in svg
    assert "none" not in svg


def test_flat_data_have_an_axis() -> None:
    checked_svg(line_chart({"a": [(1, 5.0)]}, title="t", x_label="x", y_label="y", log_y=True))
    checked_svg(bar_chart({"a": 0.0}, title="t"))


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(UsageError, match="no finite point"):
        line_chart({"a": [(1, float("nan"))]}, title="t", x_label="x", y_label="y")
    with pytest.raises(UsageError, match="above zero"):
        line_chart({"a": [(0, 1)]}, title="t", x_label="x", y_label="y", log_x=True)
    with pytest.raises(UsageError, match="finite"):
        bar_chart({}, title="t")
    with pytest.raises(UsageError, match="no finite value"):
        histogram({"a": [float("nan")]}, title="t", x_label="x")
