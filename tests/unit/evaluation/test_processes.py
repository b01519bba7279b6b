"""The process pool: order, errors, time limits, crashes."""

from __future__ import annotations

import math
import operator
import os
import time

import pytest

from sciar.errors import UsageError
from sciar.evaluation.processes import ProcessMap


@pytest.mark.parametrize(("jobs", "timeout"), [(1, None), (1, 30.0), (2, 30.0), (2, None)])
def test_values_and_errors_stay_in_order(jobs: int, timeout: float | None) -> None:
    items = [float(i) if i % 7 else -1.0 for i in range(50)]
    with ProcessMap(math.sqrt, jobs=jobs, timeout=timeout) as pool:
        outcomes = pool.map(items, progress=False)
    for item, outcome in zip(items, outcomes, strict=True):
        if item < 0:
            assert outcome.value is None
            assert outcome.error is not None and outcome.error.startswith("ValueError")
        else:
            assert outcome.value == math.sqrt(item)
            assert outcome.error is None
        assert not outcome.timed_out


def test_a_hanging_item_is_killed_alone() -> None:
    # time.sleep(600) hangs its worker; those before and after it in the same chunk are answered,
    # long before their time is up even on a busy machine
    items = [0.0, 0.01, 600.0, 0.0, 0.02, 600.0, 0.0]
    started = time.monotonic()
    with ProcessMap(time.sleep, jobs=1, timeout=3.0) as pool:
        outcomes = pool.map(items, progress=False)
    assert [o.timed_out for o in outcomes] == [item > 1 for item in items]
    assert all(o.error is None for o in outcomes)
    assert time.monotonic() - started < 60


def test_a_crashing_worker_is_an_error_of_its_item() -> None:
    with ProcessMap(_exit_unless_zero(), jobs=1, timeout=30.0) as pool:
        outcomes = pool.map([7, 7], progress=False)
    assert [o.error for o in outcomes] == ["the worker process ended with exit code 7"] * 2
    assert not any(o.timed_out for o in outcomes)


def _exit_unless_zero() -> object:
    return os._exit


def test_pools_are_reusable_and_leave_no_process() -> None:
    with ProcessMap(operator.neg, jobs=2, timeout=10.0) as pool:
        assert [o.value for o in pool.map([1, 2], progress=False)] == [-1, -2]
        assert [o.value for o in pool.map([], progress=False)] == []
        assert [o.value for o in pool.map([3], progress=False)] == [-3]
        children = [w._process for w in pool._workers if w._process is not None]
        assert len(children) == 2 and all(c.poll() is None for c in children)
    assert all(c.poll() is not None for c in children)


@pytest.mark.parametrize("bad", [{"jobs": 0}, {"timeout": 0.0}, {"timeout": float("nan")}])
def test_bad_settings_are_usage_errors(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        ProcessMap(math.sqrt, **bad)  # type: ignore[arg-type]
