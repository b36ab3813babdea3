"""Activities in which the feet leave the floor: walking, running and jumping."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.simulation.activities.pose import alternating, arm, lean, leg, standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, glide, ramp
from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHEST,
    FLEX,
    FOOT,
    HEADING,
    LEFT,
    LIFT,
    PELVIS,
    PLANTED,
    RIGHT,
    TURN,
    X,
    Y,
    channel,
)


def walk(scene: Scene) -> Move:
    """Walks around an ellipse in front of the place and back to it, in a gait that fits the speed."""
    across, ahead = np.array(scene.loop) * scene.rng.uniform(0.75, 1)
    round_m = np.pi * (3 * (across + ahead) - np.sqrt((3 * across + ahead) * (across + 3 * ahead)))
    moving_s = scene.seconds - 0.7
    rounds = max(1, round(scene.vary(1.15 * scene.pace, 0.1) * moving_s / round_m))
    way = scene.rng.choice([-1, 1])
    stride_m = scene.vary(0.78) * scene.body.height_m * np.clip(rounds * round_m / moving_s / 1.2, 0.55, 1.2) ** 0.5
    swing = min(1.15 * stride_m / (4 * (scene.body.thigh_m + scene.body.shank_m)), 0.5)
    arms, elbow, knee = scene.vary(0.65, 0.35) * swing, scene.vary(0.35, 0.3), scene.vary(0.9, 0.1)
    stoop = scene.rng.uniform(0, 0.12)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        done = glide(t, 0.2, moving_s, 0.8) * rounds
        gait = ramp(t, 0.1, 0.7) * ramp(-t, -moving_s - 0.3, 0.7)
        angle = 2 * np.pi * done
        aside, forward = way * across * np.sin(angle), ahead * (1 - np.cos(angle))
        tangent = np.arctan2(ahead * np.sin(angle), across * np.cos(angle))
        tangent += 2 * np.pi * np.round((angle - tangent) / (2 * np.pi))
        cos, sin = np.cos(scene.place.heading), np.sin(scene.place.heading)
        motion[:, X] += aside * cos - forward * sin
        motion[:, Y] += aside * sin + forward * cos
        motion[:, HEADING] += way * (tangent - np.pi / 2 * (ramp(t, 0.0, 0.8) - ramp(t, moving_s - 0.2, 0.8)))
        motion[:, PLANTED] = 1 - gait
        phase = 2 * np.pi * done * round_m / stride_m
        lean(motion, 0.03 * gait, stoop * gait)
        for side, beat in alternating(phase):
            lifted = (0.5 + 0.5 * np.cos(beat + 0.45)) ** 2
            leg(motion, side, hip=gait * (swing * np.sin(beat) + 0.08), knee=0.08 + gait * knee * lifted, flat=0.75)
            arm(
                motion,
                side,
                flex=-gait * arms * np.sin(beat) + 0.05,
                abduct=0.12,
                elbow=0.2 + gait * (elbow - 0.35 * arms * np.sin(beat)),
            )
        motion[:, channel(PELVIS, TURN)] = 0.07 * gait * np.sin(phase)
        motion[:, channel(CHEST, TURN)] = -0.14 * gait * np.sin(phase)
        motion[:, channel(CHEST, ABDUCT)] = 0.04 * gait * np.cos(phase)
        return motion

    return move


def run_on_the_spot(scene: Scene) -> Move:
    """Runs on the spot: knees high, elbows bent."""
    phase_of = scene.rate(1.35)
    knees, swing, elbow = scene.vary(0.75, 0.3), scene.vary(0.5, 0.25), scene.vary(1.45, 0.12)
    hop_m = scene.rng.uniform(0.02, 0.07)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        motion[:, PLANTED] = 0
        motion[:, LIFT] = hop_m * np.cos(phase) ** 2
        lean(motion, 0.05, 0.08)
        for side, beat in alternating(phase):
            up = (0.5 + 0.5 * np.sin(beat)) ** 1.5
            leg(motion, side, hip=0.1 + knees * up, knee=0.25 + 1.5 * knees * up, flat=0.6)
            arm(motion, side, flex=-swing * np.sin(beat) - 0.1, abduct=0.2, elbow=elbow - 0.2 * np.sin(beat), turn=0.3)
        motion[:, channel(CHEST, TURN)] = 0.15 * np.sin(phase)
        return motion

    return move


def jump(scene: Scene) -> Move:
    """Jumps up again and again: crouches, swings the arms, flies, lands."""
    period, crouch = scene.vary(1.15 / scene.pace, 0.12), scene.vary(0.75, 0.2)
    flight_s = scene.rng.uniform(0.3, 0.46)
    arms, start = scene.vary(0.7, 0.4), scene.rng.uniform(0, 0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        flown = np.clip(np.mod(t - start, period), 0, flight_s)
        motion[:, LIFT] = 9.81 / 2 * flown * (flight_s - flown)
        tuck = np.sin(np.pi * flown / flight_s)

        def around(seconds: float, width: float) -> np.ndarray:
            away = np.mod(t - start - seconds + period / 2, period) - period / 2
            return np.exp(-((away / width) ** 2))

        sink = 0.6 * around(flight_s + 0.15, 0.12) + around(-0.2, 0.13)  # lands, and pushes off again
        lean(motion, 0.3 * crouch * sink, 0.3 * crouch * sink)
        throw = around(0.05, 0.26) - 0.5 * around(-0.3, 0.2)
        for side in (LEFT, RIGHT):
            leg(motion, side, hip=0.04 + 0.75 * crouch * sink + 0.1 * tuck, knee=0.06 + 1.35 * crouch * sink, flat=0.9)
            motion[:, channel(FOOT[side], FLEX)] -= 0.5 * tuck
            arm(motion, side, flex=0.1 + arms * throw, abduct=0.15, elbow=0.5 + 0.3 * sink)
        return motion

    return move
