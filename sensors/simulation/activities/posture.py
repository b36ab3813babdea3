"""Activities in which the body sinks or rises: squatting, bending, sitting down and standing up."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.simulation.activities.pose import arm, lean, leg, squatting, standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import CHEST, FLEX, LEFT, PELVIS, RIGHT, THIGH, TURN, UPPER_ARM, channel


def squat(scene: Scene) -> Move:
    """Squats again and again, arms stretched out ahead."""
    phase_of = scene.rate(0.47)
    depth, arms, stoop = scene.vary(1.5, 0.2), scene.vary(1.2, 0.2), scene.vary(0.35, 0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        down = 0.5 - 0.5 * np.cos(phase_of(t))
        squatting(motion, down, depth, stoop)
        for side in (LEFT, RIGHT):
            arm(motion, side, flex=0.1 + arms * down, abduct=0.1, elbow=0.2)
        return motion

    return move


def bend(scene: Scene) -> Move:
    """Bends down to pick something up, again and again."""
    phase_of = scene.rate(0.36)
    back, knees = scene.rng.uniform(0.9, 1.4), scene.rng.uniform(0.2, 0.8)
    aside = scene.rng.normal(0, 0.15)
    both = scene.rng.random() < 0.4

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        down = 0.5 - 0.5 * np.cos(phase_of(t))
        down = down * down * (3 - 2 * down)  # pauses at both ends
        lean(motion, 0.5 * back * down, 0.55 * back * down)
        motion[:, channel(CHEST, TURN)] = aside * down
        for side in (LEFT, RIGHT):
            leg(motion, side, hip=0.04 + 0.6 * knees * down - 0.12 * back * down, knee=0.05 + 1.1 * knees * down)
            reach = (0.75 if both or side == scene.side else 0.3) * back
            arm(motion, side, flex=0.05 + reach * down, abduct=0.1, elbow=0.2 + 0.15 * np.sin(2 * phase_of(t)) * down)
        return motion

    return move


def _seated(t: np.ndarray, scene: Scene, slump: float, hands: float) -> np.ndarray:
    motion = standing(t, scene.place)
    lean(motion, -0.08, slump)
    for side in (LEFT, RIGHT):
        leg(motion, side, hip=np.pi / 2 - 0.03, knee=np.pi / 2 + 0.02)
        arm(motion, side, flex=0.35 + hands, abduct=0.12, elbow=0.75, turn=0.25)
    return motion


def rocked(t: np.ndarray, start: np.ndarray, end: np.ndarray, way: np.ndarray, tip: float) -> np.ndarray:
    """Moves between two poses with the trunk leaning forward on the way, as for sitting down and standing up."""
    motion = start + way[:, None] * (end - start)
    tipped = tip * np.sin(np.pi * way) ** 2
    motion[:, channel(PELVIS, FLEX)] += 0.7 * tipped
    motion[:, channel(CHEST, FLEX)] += 0.5 * tipped
    for side in (LEFT, RIGHT):
        motion[:, channel(THIGH[side], FLEX)] += 0.7 * tipped
        motion[:, channel(UPPER_ARM[side], FLEX)] += 0.5 * tipped
    return motion


def sit_down(scene: Scene) -> Move:
    """Sits down on the chair behind and stays seated."""
    start, seconds = 0.7 * scene.settle_s + scene.rng.uniform(0, 0.2), scene.vary(1.5 / scene.pace, 0.12)
    tip, slump, hands = scene.vary(0.6, 0.25), scene.rng.uniform(0, 0.25), scene.rng.uniform(-0.1, 0.35)

    def move(t: np.ndarray) -> np.ndarray:
        upright, seated = standing(t, scene.place), _seated(t, scene, slump, hands)
        return rocked(t, upright, seated, ramp(t, start, seconds), tip)

    return move


def stand_up(scene: Scene) -> Move:
    """Rises from the chair during most of the activity."""
    seconds, tip = scene.seconds - scene.rng.uniform(0.9, 1.1), scene.vary(0.75, 0.2)

    def move(t: np.ndarray) -> np.ndarray:
        return rocked(t, scene.before, standing(t, scene.place), ramp(t, 0.05, seconds), tip)

    return move
