"""Gestures without a name: what people also do with their arms in front of a camera."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from cosmo_runtime.sensors.simulation.activities.pose import arm, lean, leg, standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import CHEST, LEFT, PELVIS, RIGHT, TURN, channel

# An arm's angles in the order of ``pose.arm``: flex, abduct, elbow, turn, roll.
_HANGING = np.array([0.05, 0.12, 0.2, 0.0, 0.0])
_LEAST, _MOST = np.array([-0.4, -0.4, 0.1, -1.2, -0.8]), np.array([2.3, 1.0, 2.1, 1.0, 0.8])


def gesture(scene: Scene) -> Move:
    """Any gesture of one arm or both, through a few poses or round and round, the body following now and then."""
    times, arms = _paths(scene)
    body = _followed(scene, times)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        forward, knees, twist, step = body(t.clip(times[0], times[-1])).T
        lean(motion, 0.5 * forward, 0.5 * forward)
        for side in (LEFT, RIGHT):
            ahead = step if side == scene.side else -0.5 * step
            leg(motion, side, hip=0.04 + 0.9 * knees + ahead, knee=0.05 + 1.3 * knees + 0.6 * np.abs(step))
            arm(motion, side, *arms[side](t.clip(times[0], times[-1])).T)
        motion[:, channel(CHEST, TURN)] += twist
        motion[:, channel(PELVIS, TURN)] += 0.4 * twist
        return motion

    return move


def _paths(scene: Scene) -> Tuple[np.ndarray, Dict[int, Callable[[np.ndarray], np.ndarray]]]:
    """The times of a gesture, and each arm's angles as functions of time: (n, 5)."""
    rng = scene.rng
    grid = np.linspace(0, scene.seconds, max(8, int(50 * scene.seconds)))
    both, alike, round_and_round = rng.random() < 0.35, rng.random() < 0.6, rng.random() < 0.3
    begin, end = rng.uniform(0.1, 0.5), scene.seconds - rng.uniform(0.4, 0.9)

    def drawn() -> np.ndarray:
        count = int(rng.integers(1, 5))
        times = np.concatenate([[0, begin], np.sort(rng.uniform(begin + 0.3, end - 0.2, count)), [end, scene.seconds]])
        times = np.maximum.accumulate(times + 1e-3 * np.arange(len(times)))
        middle = rng.uniform(_LEAST, _MOST, (count, 5))
        poses = np.concatenate([[_HANGING, _HANGING], middle, [_HANGING, _HANGING]])
        path = PchipInterpolator(times, poses)(grid)
        if round_and_round:
            raised = ramp(grid, begin, 0.5) - ramp(grid, end - 0.5, 0.5)
            path = _HANGING + raised[:, None] * (_circles(rng, grid) - _HANGING)
        return gaussian_filter1d(path, rng.uniform(1.5, 5), axis=0, mode="nearest")

    first = drawn()
    other = (first if alike else drawn()) if both else np.tile(_HANGING, (len(grid), 1))
    return grid, {
        scene.side: PchipInterpolator(grid, first),
        1 - scene.side: PchipInterpolator(grid, other),
    }


def _circles(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """The angles (n, 5) of an arm whose hand goes round and round ahead."""
    turn = 2 * np.pi * rng.uniform(0.3, 1.2) * rng.choice([-1, 1]) * times + rng.uniform(0, 6)
    flex, abduct = rng.uniform(0.6, 1.6), rng.uniform(-0.1, 0.6)
    size = rng.uniform(0.2, 0.7, 2)
    angles = np.tile(_HANGING, (len(times), 1))
    angles[:, 0], angles[:, 1] = flex + size[0] * np.sin(turn), abduct + size[1] * np.cos(turn)
    angles[:, 2] = rng.uniform(0.2, 1.2)
    return angles


def _followed(scene: Scene, times: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How the body follows: forward lean, bent knees, twist, step ahead, (n, 4). Often it hardly does."""
    rng = scene.rng
    share = rng.choice([0.1, 1.0], p=[0.7, 0.3])
    most = share * np.array([rng.uniform(0, 1.3), rng.uniform(0, 0.8), rng.uniform(-0.9, 0.9), rng.uniform(0, 0.9)])
    start = rng.uniform(0.2, 0.6)
    back = max(start + 0.8, scene.seconds - rng.uniform(0.8, 1.5))
    way = ramp(times, start, rng.uniform(0.5, 1.0)) - ramp(times, back, 0.7)
    return PchipInterpolator(times, way[:, None] * most)
