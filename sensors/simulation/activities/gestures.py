"""Activities of the arms while the person stands."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.simulation.activities.pose import alternating, arm, lean, leg, standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHEST,
    FLEX,
    FOREARM,
    HAND,
    LEFT,
    PELVIS,
    RIGHT,
    TURN,
    UPPER_ARM,
    channel,
)


def stand_still(scene: Scene) -> Move:
    """Stands, and fidgets now and then: a hand to the face, a shift of weight."""
    fidgets = [
        (scene.rng.uniform(0.8, scene.seconds), scene.rng.uniform(0.7, 1.4), scene.rng.integers(2))
        for _ in range(scene.rng.poisson(0.6))
    ]
    reach, shift = scene.rng.uniform(0.15, 0.8, len(fidgets)), scene.rng.normal(0, 0.06, len(fidgets))

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        for (start, seconds, side), amount, weight in zip(fidgets, reach, shift):
            there = ramp(t, start, seconds) * ramp(-t, -start - 2.2 * seconds, seconds)
            motion[:, channel(UPPER_ARM[side], FLEX)] += 0.6 * amount * there
            motion[:, channel(FOREARM[side], FLEX)] += 2.2 * amount * there
            motion[:, channel(UPPER_ARM[side], TURN)] += 0.5 * amount * there
            motion[:, channel(CHEST, ABDUCT)] += weight * there
        return motion

    return move


def wave(scene: Scene) -> Move:
    """Waves with one hand, rarely with both."""
    phase_of = scene.rate(1.6)
    raised, reach = scene.rng.uniform(1.1, 1.75), scene.vary(0.45, 0.25)
    both = scene.rng.random() < 0.15
    ahead = scene.rng.uniform(0.0, 0.5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        for side in (LEFT, RIGHT) if both else (scene.side,):
            arm(
                motion,
                side,
                flex=ahead,
                abduct=raised + 0.12 * np.sin(phase - 0.5),
                elbow=1.5 + reach * np.sin(phase),
                turn=-1.45,
                roll=0.3 * np.sin(phase + 0.4),
            )
            motion[:, channel(HAND[side], ABDUCT)] = 0.3 * np.sin(phase - 0.8)
        return motion

    return move


def clap(scene: Scene) -> Move:
    """Claps in front of the chest. The hands stop abruptly where they meet."""
    phase_of = scene.rate(1.2)
    flex, elbow, width = scene.rng.uniform(0.4, 1.0), scene.vary(1.35, 0.1), scene.vary(0.55, 0.25)
    reach_m = scene.body.forearm_m + 0.06 * scene.body.height_m
    meet = np.arcsin(min(0.95, (scene.body.shoulder_m - 0.03) / (reach_m * np.sin(elbow))))

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        apart = np.sqrt(np.sin(phase_of(t)) ** 2 + 0.03)
        for side in (LEFT, RIGHT):
            arm(
                motion,
                side,
                flex=flex + 0.08 * apart,
                abduct=0.05 + 0.1 * apart,
                elbow=elbow,
                turn=meet - width * apart,
            )
        return motion

    return move


def punch(scene: Scene) -> Move:
    """Boxes at the air from a guard, one hand after the other."""
    phase_of = scene.rate(0.75)
    reach, guard, twist = scene.vary(1.0, 0.1), scene.rng.uniform(1.9, 2.3), scene.vary(0.35, 0.3)
    aim = scene.rng.uniform(1.25, 1.6)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        lean(motion, 0.05, 0.1)
        for side, beat in alternating(phase):
            out = reach * (0.5 + 0.5 * np.cos(beat + 0.35 * np.sin(beat))) ** 6
            leg(motion, side, hip=0.15 + (0.1 if side == scene.side else -0.2), knee=0.25)
            arm(
                motion,
                side,
                flex=0.45 + (aim - 0.45) * out,
                abduct=0.25 - 0.2 * out,
                elbow=guard * (1 - out) + 0.1,
                turn=0.45 - 0.2 * out,
                roll=0.9 * out,
            )
        motion[:, channel(CHEST, TURN)] = -twist * np.cos(phase)
        motion[:, channel(PELVIS, TURN)] = -0.3 * twist * np.cos(phase)
        return motion

    return move
