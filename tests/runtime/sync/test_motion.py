from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.features import depth_features
from cosmo_runtime.runtime.sync.motion import Curves
from cosmo_runtime.sensors.events import Sample
from tests.runtime.rigs import infos


def _motion(sensor: str, *data: np.ndarray) -> list[tuple[int, float]]:
    curves = Curves(infos(**{sensor: 10.0}))
    for number, array in enumerate(data):
        curves.add(Sample(sensor, 1000 + 100 * number, 1000 + 100 * number, array))
    return [tuple(moment) for moment in curves.moments[sensor]]


def test_an_imu_at_rest_moves_not_and_one_without_a_gyroscope_still_tells() -> None:
    rest = np.array([0, 0, 9.81, 0, 0, 0, np.nan, np.nan, np.nan], np.float32)
    turns = rest + np.array([0, 0, 0, 0, 2, 0, 0, 0, 0], np.float32)
    shaken = np.array([0, 0, 15.81, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan], np.float32)
    motions = _motion("imu", rest, turns, shaken, np.full(9, np.nan, np.float32))
    assert [stamp for stamp, _ in motions] == [1000, 1100, 1200]
    assert [motion for _, motion in motions] == pytest.approx([0, 2, 2], abs=1e-3)


def test_a_change_of_depth_belongs_to_the_middle_between_two_pictures() -> None:
    wall = np.full((135, 240), 4000, np.uint16)
    arm = wall.copy()
    arm[40:80, 100:120] = 2500
    (still, changed) = _motion("depth", wall, wall, arm)
    assert still == (1050, 0)
    assert changed[0] == 1150
    assert changed[1] > 0.001


def test_the_first_picture_of_a_camera_may_be_looked_at_alone() -> None:
    wall = np.full((135, 240), 4000, np.uint16)
    curves = Curves(infos(depth=10.0))
    for number, moments in (1, 0), (2, 1):
        curves.add(Sample("depth", 100 * number, 100 * number, wall))
        assert len(curves.moments["depth"]) == moments


def test_a_camera_tells_the_same_of_block_means_as_of_the_picture() -> None:
    pictures = np.full((3, 135, 240), 4000, np.uint16)
    pictures[1, 40:80, 100:120] = pictures[2, 30:70, 105:125] = 3400
    raw, blocks = _motion("depth", *pictures), _motion("depth", *depth_features(pictures, (18, 32), 0.001))
    assert raw == blocks
    finer = _motion("depth", *depth_features(pictures, (27, 48), 0.001))
    assert [motion for _, motion in finer] == pytest.approx([motion for _, motion in raw], rel=0.2)


def test_a_radar_tells_how_fast_its_fastest_points_are() -> None:
    points = np.zeros((7, 5), np.float32)
    points[:, 3] = [0, 0.1, -0.2, 0.3, -1, 1, 2]
    unknown = np.full((2, 5), np.nan, np.float32)
    motions = _motion("radar", points, points[:0], np.concatenate([points, unknown]), unknown)
    assert [motion for _, motion in motions] == pytest.approx([4.5, 0, 4.5, 0])


def test_a_kind_that_nobody_can_compare_is_left_out() -> None:
    assert Curves({"mat": infos(mat=5.0)["mat"]}).moments == {}
