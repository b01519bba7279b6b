"""The ray caster against marching along rays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sciar.datasets.makers.raycast import SHAPES, Body, Camera, hit, linear, owners, render
from sciar.errors import UsageError

EYE = np.eye(3)


def inside(body: Body, points: np.ndarray) -> np.ndarray:
    """Whether points lie in a body, by its definition."""
    p = (points - body.center) @ body.rotation.T
    if body.shape == "cube":
        return (np.abs(p) <= body.extent).all(-1)
    if body.shape == "sphere":
        return (p**2).sum(-1) <= body.extent[0] ** 2
    return ((p[..., :2] ** 2).sum(-1) <= body.extent[0] ** 2) & (
        np.abs(p[..., 2]) <= body.extent[2]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_hits_against_marching(shape: str) -> None:
    rng = np.random.default_rng(0)
    turn = np.asarray(Rotation.from_rotvec([0.5, -0.8, 0.3]).as_matrix())
    body = Body(shape, np.array([0.3, -0.2, 0.5]), np.array([0.5, 0.4, 0.7]), turn, np.ones(3))
    if shape != "cube":
        body = Body(shape, body.center, np.array([0.5, 0.5, 0.7]), turn, np.ones(3))
    origins = rng.normal(size=(60, 3))
    origins = body.center + 3 * origins / np.linalg.norm(origins, axis=1, keepdims=True)
    aims = body.center + rng.normal(size=(60, 3)) * 0.5 - origins
    directions = aims / np.linalg.norm(aims, axis=1, keepdims=True)
    t, normal = hit(body, origins, directions)
    steps = np.linspace(0, 6, 6001)
    points = origins[:, None] + steps[:, None] * directions[:, None]
    within = inside(body, points)
    marched = np.where(within.any(1), steps[within.argmax(1)], np.inf)
    found = np.isfinite(t)
    assert 5 < found.sum() < 60
    # grazing rays may pass between two steps
    assert (found != np.isfinite(marched)).sum() <= 1
    both = found & np.isfinite(marched)
    np.testing.assert_allclose(t[both], marched[both], atol=2e-3)
    surface = origins[found] + t[found, None] * directions[found]
    np.testing.assert_allclose(np.linalg.norm(normal[found], axis=1), 1.0, atol=1e-9)
    assert ((normal[found] * directions[found]).sum(1) < 0).all(), "normals look at the viewer"
    assert inside(body, surface - 1e-3 * normal[found]).all()
    assert not inside(body, surface + 1e-3 * normal[found]).any()


def test_a_ball_in_front_of_the_camera() -> None:
    """Its outline is the circle that geometry says; who is nearer hides the other."""
    camera = Camera(np.array([0.0, -10.0, 1.0]), np.array([0.0, 0.0, 1.0]), angle=40.0)
    ball = Body("sphere", np.array([0.0, 0.0, 1.0]), np.full(3, 1.0), EYE, np.ones(3), owner=3)
    seen = owners([ball], camera, 64, 96)
    area = np.pi * (np.tan(np.arcsin(0.1)) / np.tan(np.radians(20)) * 32) ** 2
    assert (seen == 3).sum() == pytest.approx(area, rel=0.05)
    rows, columns = np.nonzero(seen == 3)
    assert rows.mean() == pytest.approx(31.5, abs=0.01)
    assert columns.mean() == pytest.approx(47.5, abs=0.01)
    front = Body("cube", np.array([0.0, -3.0, 1.0]), np.full(3, 1.0), EYE, np.ones(3), owner=7)
    assert set(np.unique(owners([ball, front], camera, 64, 96))) == {-1, 7}
    np.testing.assert_allclose(camera.seen(np.array([[1.0, 0.0, 0.0]])), [[1.0, 1.0, 10.0]])


def test_light_and_shadow() -> None:
    camera = Camera(np.array([0.0, -8.0, 6.0]), np.zeros(3))
    red = Body("cube", np.array([0.0, 0.0, 0.5]), np.full(3, 0.5), EYE, linear((173, 35, 35)))
    lamp = [np.array([-6.0, 0.0, 6.0])]
    image, seen = render([red], camera, lamp, 48, 48, samples=1)
    empty, _ = render([], camera, lamp, 48, 48, samples=1)
    assert image.dtype == np.uint8 and image.shape == (48, 48, 3)
    pixels = image[seen == 0].astype(int)
    assert (pixels[:, 0] > pixels[:, 1]).all(), "red is red"
    darker = (image.astype(int).sum(-1) < 0.8 * empty.astype(int).sum(-1)) & (seen < 0)
    columns = np.nonzero(darker)[1]
    assert len(columns) > 20 and columns.mean() > 24, "the shadow falls away from the lamp"


def test_unknown_shapes() -> None:
    with pytest.raises(UsageError, match="'cone' is none of sphere"):
        Body("cone", np.zeros(3), np.ones(3), EYE, np.ones(3))
