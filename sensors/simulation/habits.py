"""Other ways to do the activities: some people walk on the spot, clap with long arms, or squat once and stand."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.activities.pose import (
    alternating,
    arm,
    hands_meet,
    lean,
    squatting,
    standing,
    step_on_the_spot,
)
from cosmo_runtime.sensors.simulation.activities.posture import rocked
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import ABDUCT, CHEST, HAND, LEFT, LIFT, RIGHT, TURN, channel

Way = Callable[[Scene], Move]


def walk_on_the_spot(scene: Scene) -> Move:
    """Walks on the spot: feet lifted a little, arms hanging and swinging."""
    phase_of = scene.rate(0.9)
    knees, swing, elbow = scene.rng.uniform(0.25, 0.7), scene.rng.uniform(0.05, 0.45), scene.rng.uniform(0.2, 0.7)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        step_on_the_spot(motion, phase, knees, heels=1.7)
        for side, beat in alternating(phase):
            arm(motion, side, flex=-swing * np.sin(beat) + 0.03, abduct=0.12, elbow=elbow - 0.3 * swing * np.sin(beat))
        motion[:, channel(CHEST, TURN)] = 0.06 * np.sin(phase)
        return motion

    return move


def jog_gently(scene: Scene) -> Move:
    """Jogs on the spot with low knees."""
    phase_of = scene.rate(1.35)
    knees, swing, elbow = scene.rng.uniform(0.3, 0.6), scene.rng.uniform(0.15, 0.5), scene.vary(1.5, 0.15)
    hop_m, heels = scene.rng.uniform(0.0, 0.05), scene.rng.uniform(1.2, 2.4)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        motion[:, LIFT] = hop_m * np.cos(phase) ** 2
        lean(motion, 0.03, 0.06)
        step_on_the_spot(motion, phase, knees, heels, hip=0.06, knee=0.15)
        for side, beat in alternating(phase):
            arm(motion, side, flex=-swing * np.sin(beat), abduct=0.18, elbow=elbow - 0.2 * np.sin(beat), turn=0.3)
        motion[:, channel(CHEST, TURN)] = 0.1 * np.sin(phase)
        return motion

    return move


def clap_with_long_arms(scene: Scene) -> Move:
    """Claps ahead with the arms stretched, opening them wide."""
    phase_of = scene.rate(0.75)
    flex, elbow = scene.rng.uniform(0.8, 1.45), scene.rng.uniform(0.2, 0.9)
    width = scene.rng.uniform(0.3, 0.8)
    meet = hands_meet(scene.body, elbow)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        apart = np.sqrt(np.sin(phase_of(t)) ** 2 + 0.02)
        for side in (LEFT, RIGHT):
            arm(motion, side, flex=flex, abduct=meet + width * apart, elbow=elbow, roll=0.5)
        return motion

    return move


def wave_low(scene: Scene) -> Move:
    """Waves with the elbow low and the forearm up."""
    phase_of = scene.rate(1.2)
    abduct, flex, elbow = scene.rng.uniform(0.15, 0.9), scene.rng.uniform(0.1, 0.9), scene.rng.uniform(1.5, 2.4)
    sway = scene.rng.uniform(0.2, 0.6)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        arm(motion, scene.side, flex=flex, abduct=abduct, elbow=elbow + 0.1 * np.sin(phase), turn=sway * np.sin(phase))
        motion[:, channel(HAND[scene.side], ABDUCT)] = 0.25 * np.sin(phase - 0.8)
        return motion

    return move


def box_fast(scene: Scene) -> Move:
    """Boxes in quick turns from a loose guard, feet side by side."""
    phase_of = scene.rate(1.0)
    guard, twist, aim = scene.rng.uniform(1.5, 2.2), scene.vary(0.2, 0.4), scene.rng.uniform(1.1, 1.6)
    sharp = scene.rng.uniform(1.5, 5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        for side, beat in alternating(phase):
            out = (0.5 + 0.5 * np.cos(beat)) ** sharp
            arm(
                motion,
                side,
                flex=0.5 + (aim - 0.5) * out,
                abduct=0.15 - 0.1 * out,
                elbow=guard * (1 - out) + 0.15,
                turn=0.35 - 0.2 * out,
                roll=0.7 * out,
            )
        motion[:, channel(CHEST, TURN)] = -twist * np.cos(phase)
        return motion

    return move


def squat_once(scene: Scene) -> Move:
    """Squats once with the arms ahead or hanging, then stands."""
    down_s, stay_s, up_s = scene.rng.uniform(0.7, 1.2), scene.rng.uniform(0.0, 0.6), scene.rng.uniform(0.7, 1.2)
    start = scene.rng.uniform(0.1, 0.5)
    depth, arms, stoop = scene.vary(1.4, 0.2), scene.rng.uniform(0.2, 1.5), scene.vary(0.35, 0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        down = ramp(t, start, down_s) - ramp(t, start + down_s + stay_s, up_s)
        squatting(motion, down, depth, stoop)
        for side in (LEFT, RIGHT):
            arm(motion, side, flex=0.1 + arms * down, abduct=0.1, elbow=0.2)
        return motion

    return move


def stand_up_at_once(scene: Scene) -> Move:
    """Sits for a moment, rises within a second or two, then stands."""
    start, seconds, tip = scene.rng.uniform(0.1, 0.7), scene.rng.uniform(0.9, 1.7), scene.vary(0.75, 0.2)
    return lambda t: rocked(t, scene.before, standing(t, scene.place), ramp(t, start, seconds), tip)


_WAYS: Dict[str, Tuple[Way, ...]] = {
    "walk": (walk_on_the_spot,),
    "run on the spot": (jog_gently,),
    "clap": (clap_with_long_arms,),
    "wave": (wave_low,),
    "punch": (box_fast,),
    "squat": (squat_once,),
    "stand up": (stand_up_at_once, stand_up_at_once),
}


def any_way(activity: str, rng: np.random.Generator) -> Way:
    """Draws a way to do an activity, possibly the usual one."""
    ways = (ACTIVITIES[activity], *_WAYS.get(activity, ()))
    return ways[int(rng.integers(len(ways)))]
