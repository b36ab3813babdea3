from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.sensors.simulation.motion import Camera
from cosmo_runtime.sensors.simulation.raycast import Box, DepthCamera

CAMERA = Camera(160, 120, 100.0, 100.0, 79.5, 59.5, 15.0, 0.001)
ROOM = Box((0, 1.75, 1.25), (2.0, 2.25, 1.25))  # back wall at y = 4
HALL = Box((0, 1.75, 1.1), (20, 2.25, 20))  # only its back wall is in view
EYE_M = 1.1


def image(
    capsules: list,
    radii: list,
    furniture: tuple = (),
    seed: int = 0,
    camera: Camera = CAMERA,
    room: Box = ROOM,
) -> np.ndarray:
    eye = DepthCamera(camera, EYE_M, room, list(furniture), seed=1)
    return eye.image(np.array(capsules, float).reshape(-1, 2, 3), np.array(radii), np.random.default_rng(seed))


def depth_m(picture: np.ndarray, where: tuple) -> float:
    """Median of what was measured there."""
    part = picture[where]
    return float(np.median(part[part > 0])) * 0.001


def test_the_empty_room_has_its_walls_floor_and_ceiling_where_they_are() -> None:
    picture = image([], [])
    assert picture.dtype == np.uint16
    assert picture.shape == (120, 160)
    assert depth_m(picture, np.s_[50:70, 70:90]) == pytest.approx(4, abs=0.02)
    assert depth_m(picture, np.s_[60:61, :]) <= 4.02
    assert depth_m(picture, np.s_[119:120, 70:90]) == pytest.approx(EYE_M * 100 / 59.5, abs=0.03)  # floor
    assert depth_m(picture, np.s_[0:1, 70:90]) == pytest.approx(1.4 * 100 / 59.5, abs=0.03)  # ceiling


def test_a_capsule_is_as_near_as_its_surface_and_as_large_as_it_looks() -> None:
    picture = image([[0.5, 2, 0.8], [0.5, 2, 1.4]], [0.2], room=HALL)
    row, column = 59, round(79.5 + 100 * 0.5 / 2)
    assert depth_m(picture, np.s_[row - 2 : row + 3, column - 1 : column + 2]) == pytest.approx(1.81, abs=0.02)
    near = (picture > 1500) & (picture < 2300)
    assert near[row].sum() == pytest.approx(2 * 0.2 * 100 / 1.95, abs=4)
    top, bottom = np.flatnonzero(near[:, column])[[0, -1]]
    assert (bottom - top) * 2.0 / 100 == pytest.approx(0.6 + 2 * 0.2, abs=0.1)


def test_a_ball_is_a_capsule_of_no_length() -> None:
    picture = image([[0, 2, 1.1], [0, 2, 1.1]], [0.3], room=HALL)
    assert depth_m(picture, np.s_[58:62, 78:82]) == pytest.approx(1.7, abs=0.02)
    near = (picture > 1500) & (picture < 2200)
    assert near.sum() == pytest.approx(np.pi * (0.3 * 100 / 2) ** 2, rel=0.15)


def test_a_capsule_that_points_at_the_camera_shows_its_round_end_whichever_way_it_was_given() -> None:
    near, far = [0, 1.5, 1.1], [0, 3, 1.1]
    for ends in ([near, far], [far, near]):
        assert depth_m(image(ends, [0.2], room=HALL), np.s_[58:62, 78:82]) == pytest.approx(1.3, abs=0.02)


def test_a_capsule_reaches_to_the_edges_of_the_image() -> None:
    picture = image([[-5, 2, 1.1], [5, 2, 1.1]], [0.3], room=HALL)
    for column in (slice(0, 3), slice(157, 160)):
        assert depth_m(picture, np.s_[58:62, column]) == pytest.approx(1.7, abs=0.03)


def test_the_nearer_of_two_is_seen_and_furniture_hides_too() -> None:
    far, near = [[0, 3, 0.5], [0, 3, 2.0]], [[0, 2, 0.5], [0, 2, 2.0]]
    for order in ([far, near], [near, far]):
        assert depth_m(image(order, [0.2, 0.2]), np.s_[55:65, 78:82]) == pytest.approx(1.8, abs=0.02)
    box = Box((0, 1.5, 1.1), (0.3, 0.2, 0.3))
    assert depth_m(image([far], [0.2], (box,)), np.s_[55:65, 78:82]) == pytest.approx(1.3, abs=0.02)
    turned = Box((0, 1.5, 1.1), (0.3, 0.2, 0.3), yaw=np.pi / 2)
    assert depth_m(image([far], [0.2], (turned,)), np.s_[55:65, 78:82]) == pytest.approx(1.2, abs=0.02)


def test_what_is_behind_the_camera_or_out_of_view_is_not_drawn() -> None:
    for where in ([0, -2, 1], [30, 2, 1], [0, 2, 60]):
        np.testing.assert_array_equal(image([[where, where]], [0.2]), image([], []))


def test_noise_grows_with_the_square_of_the_distance() -> None:
    eye = DepthCamera(CAMERA, EYE_M, ROOM, [Box((-1, 1.2, 1.1), (0.8, 0.2, 0.4))], seed=1)
    pictures = np.array(
        [eye.image(np.empty((0, 2, 3)), np.empty(0), np.random.default_rng(k)) for k in range(60)], float
    )
    pictures[pictures == 0] = np.nan
    near, far = np.nanstd(pictures[:, 50:70, 20:50]), np.nanstd(pictures[:, 50:70, 90:110])
    assert far == pytest.approx(0.0038 * 16 * 1000, rel=0.2)
    assert far / near == pytest.approx(16, rel=0.2)


def test_the_second_imager_misses_a_strip_left_of_what_is_near() -> None:
    camera = Camera(480, 360, 300.0, 300.0, 239.5, 179.5, 15.0, 0.001)
    picture = image([[0, 1, 0.6], [0, 1, 1.6]], [0.15], camera=camera)
    body = np.flatnonzero((picture[180] > 700) & (picture[180] < 1200))
    strip = picture[150:210, body[0] - 9 : body[0] - 2]
    other = picture[150:210, body[-1] + 3 : body[-1] + 10]
    assert (strip == 0).mean() > 0.9
    assert (other == 0).mean() < 0.1


def test_edges_are_ragged_and_surfaces_nearly_whole() -> None:
    picture = image([[0.0, 2, 0.8], [0.0, 2, 1.4]], [0.3], room=HALL)
    assert (picture[45:75, 72:88] == 0).mean() < 0.02
    assert 0 < (picture[:, 110:] == 0).mean() < 0.02
    right = picture[45:75, 80:].astype(int)
    last_of_body = [int(np.flatnonzero((row > 0) & (row < 2300))[-1]) for row in right]
    assert len(set(last_of_body)) > 1


def test_noise_is_of_its_generator_alone() -> None:
    capsule = [[[0, 2, 1], [0, 2, 1.2]]]
    np.testing.assert_array_equal(image(capsule, [0.2], seed=5), image(capsule, [0.2], seed=5))
    assert not np.array_equal(image(capsule, [0.2], seed=5), image(capsule, [0.2], seed=6))
