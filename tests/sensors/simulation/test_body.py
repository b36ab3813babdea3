from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHANNELS,
    FLEX,
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    HEADING,
    LEFT,
    LIFT,
    PELVIS,
    PLANTED,
    RIGHT,
    SHANK,
    THIGH,
    UPPER_ARM,
    Body,
    X,
    Y,
    channel,
)


@pytest.fixture
def body() -> Body:
    return Body(1.75)


def upright(n: int = 1) -> np.ndarray:
    motion = np.zeros((n, CHANNELS))
    motion[:, PLANTED] = 1
    return motion


def test_stands_as_tall_as_it_is_with_its_soles_on_the_floor(body: Body) -> None:
    capsules = body.frames(upright()).capsules[0]
    assert (capsules[..., 2] - body.radii[:, None]).min() == pytest.approx(0, abs=0.01)
    assert (capsules[..., 2] + body.radii[:, None]).max() == pytest.approx(1.75, abs=0.05)


def test_bones_keep_their_lengths_in_any_pose(body: Body) -> None:
    motion = np.random.default_rng(0).normal(size=(50, CHANNELS))
    positions = body.frames(motion).positions
    for upper, lower, length in [
        (FOREARM, HAND, body.forearm_m),
        (THIGH, SHANK, body.thigh_m),
        (SHANK, FOOT, body.shank_m),
    ]:
        for side in (LEFT, RIGHT):
            bone = np.linalg.norm(positions[:, lower[side]] - positions[:, upper[side]], axis=1)
            np.testing.assert_allclose(bone, length)


def test_joints_bend_the_way_they_do(body: Body) -> None:
    def moved(part: int, joint: int, axis: int) -> np.ndarray:
        motion = upright()
        motion[0, channel(joint, axis)] = 0.5
        return body.frames(motion).positions[0, part] - body.frames(upright()).positions[0, part]

    for side, outward in ((LEFT, -1), (RIGHT, 1)):
        assert moved(HAND[side], UPPER_ARM[side], FLEX)[1] > 0.1  # arm ahead
        assert moved(HAND[side], FOREARM[side], FLEX)[1] > 0.1
        assert moved(HAND[side], UPPER_ARM[side], ABDUCT)[0] * outward > 0.1
    assert moved(HEAD, PELVIS, FLEX)[1] > 0.1  # trunk ahead
    knee = body.frames(upright() + _only(SHANK[LEFT], 0.8)).positions[0]
    assert knee[FOOT[LEFT], 1] < knee[SHANK[LEFT], 1] - 0.1  # heel back


def _only(joint: int, angle: float) -> np.ndarray:
    motion = np.zeros(CHANNELS)
    motion[channel(joint, FLEX)] = angle
    return motion


def test_planted_feet_stay_where_they_are_while_the_body_squats(body: Body) -> None:
    motion = upright(20)
    motion[:, [X, Y, HEADING]] = 0.4, 2.5, 2.0
    bend = np.linspace(0, 1.5, 20)
    for side in (LEFT, RIGHT):
        motion[:, channel(THIGH[side], FLEX)] = bend
        motion[:, channel(SHANK[side], FLEX)] = bend * 1.2
    positions = body.frames(motion).positions
    np.testing.assert_allclose(positions[:, list(FOOT), :2].mean(axis=1), np.tile([0.4, 2.5], (20, 1)), atol=1e-9)
    assert positions[-1, PELVIS, 2] < positions[0, PELVIS, 2] - 0.2


def test_lies_on_the_floor_when_toppled_and_flies_when_lifted(body: Body) -> None:
    lying, flying = upright(), upright()
    lying[0, channel(PELVIS, FLEX)] = np.pi / 2
    flying[0, LIFT] = 0.3
    low = body.frames(lying).capsules[0]
    assert -0.03 < (low[..., 2] - body.radii[:, None]).min() < 0.06
    assert low[..., 2].max() < 0.5
    assert (body.frames(flying).capsules[0, ..., 2] - body.radii[:, None]).min() == pytest.approx(0.3, abs=0.01)
