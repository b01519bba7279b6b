"""Local frames and torus differences."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from sciar.nn.geometry import local_frames, placed_frames, to_global, to_local, wrap

COORDINATE = st.floats(-8, 8, allow_nan=False, width=32)
POINTS = hnp.arrays(np.float64, (5, 4, 3), elements=COORDINATE)
VALID = hnp.arrays(np.bool_, (5, 4))


def prefix_valid(valid: np.ndarray) -> torch.Tensor:
    """References fill up from the front."""
    return torch.from_numpy(np.sort(valid, axis=1)[:, ::-1].copy())


def degenerate(points: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(N,) first and second reference coincide, so that no first axis exists."""
    return valid[:, 1] & ((points[:, 0] - points[:, 1]).norm(dim=-1) < 1e-3)


@given(POINTS, VALID)
def test_frames_are_right_handed_and_orthonormal(points: np.ndarray, flags: np.ndarray) -> None:
    x, valid = torch.from_numpy(points), prefix_valid(flags)
    origin, axes = local_frames(x, valid)
    good = ~degenerate(x, valid)
    eye = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    torch.testing.assert_close((axes @ axes.transpose(1, 2))[good], eye[good], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        torch.linalg.det(axes)[good], torch.ones(5, dtype=torch.float64)[good], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(origin, torch.where(valid[:, :1], x[:, 0], 0.0))


@given(POINTS, VALID)
def test_local_and_global_are_inverses(points: np.ndarray, flags: np.ndarray) -> None:
    x, valid = torch.from_numpy(points), prefix_valid(flags)
    frame = local_frames(x, valid)
    good = ~degenerate(x, valid)
    torch.testing.assert_close(to_global(to_local(x, *frame), *frame)[good], x[good])
    torch.testing.assert_close(to_global(to_local(x[:, 3], *frame), *frame)[good], x[good, 3])


@given(st.integers(0, 10_000))
def test_frames_turn_with_their_references(seed: int) -> None:
    """With three references that span a plane, local coordinates do not see a rigid motion."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(6, 3, 3)) * 3
    target = rng.normal(size=(6, 3))
    turn = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
    shift = torch.from_numpy(rng.normal(size=3) * 5)
    x, y = torch.from_numpy(points), torch.from_numpy(target)
    valid = torch.ones(6, 3, dtype=torch.bool)
    edge, ray = x[:, 0] - x[:, 1], x[:, 2] - x[:, 0]
    sine = torch.linalg.cross(edge, ray).norm(dim=-1) / edge.norm(dim=-1) / ray.norm(dim=-1)
    spans = sine > 0.21
    before = to_local(y, *local_frames(x, valid))
    after = to_local(y @ turn.T + shift, *local_frames(x @ turn.T + shift, valid))
    torch.testing.assert_close(after[spans], before[spans], atol=1e-6, rtol=1e-6)


def test_collinear_references_are_passed_over() -> None:
    """The plane comes from the first reference off the axis, else from the global axes."""
    line = torch.tensor([[1.0, 0, 0], [0, 0, 0], [2, 0, 0], [1, 1, 0]], dtype=torch.float64)
    valid = torch.ones(1, 4, dtype=torch.bool)
    _, axes = local_frames(line[None], valid)
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(axes[0], expected)
    _, flipped = local_frames(torch.cat([line[:3], -line[3:]])[None], valid)
    torch.testing.assert_close(flipped[0, 2], -expected[2])
    _, only_line = local_frames(line[None, :3], valid[:, :3])
    torch.testing.assert_close(only_line[0], expected)


def test_first_axis_along_global_y_uses_z() -> None:
    points = torch.tensor([[[0.0, 1, 0], [0, 0, 0]]], dtype=torch.float64)
    _, axes = local_frames(points, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(axes[0, 0], torch.tensor([0.0, 1, 0], dtype=torch.float64))
    torch.testing.assert_close(axes[0] @ axes[0].T, torch.eye(3, dtype=torch.float64))


def test_no_references_give_the_global_frame() -> None:
    origin, axes = local_frames(torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool))
    assert not origin.any()
    assert torch.equal(axes, torch.eye(3).expand(2, 3, 3))


@given(hnp.arrays(np.float64, 7, elements=st.floats(-50, 50)))
def test_wrap_takes_the_nearest_image(values: np.ndarray) -> None:
    wrapped = wrap(torch.from_numpy(values)).numpy()
    assert (wrapped >= -0.5).all() and (wrapped < 0.5 + 1e-12).all()
    turns = values - wrapped
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-9)


def test_frames_of_places_are_rotations_wherever_the_exact_points_are() -> None:
    """Far away, at the place itself, too few, none: always a proper rotation."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(60, 4, 3, generator=generator)
    place = torch.randn(60, 3, generator=generator)
    points[20:40, 0] = place[20:40]
    exact = torch.rand(60, 4, generator=generator) < 0.5
    exact[20:30] = torch.tensor([True, False, False, False])
    exact[:3] = False
    origin, axes = placed_frames(points, exact, place)
    eye = torch.eye(3).expand(60, 3, 3)
    torch.testing.assert_close(axes @ axes.transpose(1, 2), eye, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(60), atol=1e-4, rtol=1e-4)
    for i in range(60):
        away = (points[i] - place[i]).norm(dim=-1).masked_fill(~exact[i], torch.inf)
        nearest = points[i, int(away.argmin())] if exact[i].any() else place[i]
        torch.testing.assert_close(origin[i], nearest)
