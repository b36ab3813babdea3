"""Falling to the floor, and getting up from it."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from cosmo_runtime.sensors.simulation.activities.pose import arm, lean, leg, standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHEST,
    FLEX,
    FOOT,
    HEAD,
    LEFT,
    PELVIS,
    RIGHT,
    SHANK,
    THIGH,
    TURN,
    channel,
)

_SOFT_LANDING = 25.0  # the floor stops the fall within about a tenth of a second


def fall(scene: Scene) -> Move:
    """Topples ahead, backward or sideways, gives way at the knees, hits the floor and stays there."""
    sideways = abs(np.sin(scene.topple)) > 0.5
    axis, way = (ABDUCT, -np.sign(np.sin(scene.topple))) if sideways else (FLEX, np.cos(scene.topple))
    start, seconds = 0.8 * scene.settle_s + scene.rng.uniform(0, 0.3), scene.rng.uniform(0.75, 1.1)
    prone, under = not sideways and way > 0, (RIGHT if way > 0 else LEFT) if sideways else None
    knees, aside = scene.rng.uniform(0.2, 1.0), scene.rng.uniform(0.1, 1.0)
    ahead = scene.rng.uniform(2.9, 3.2) if prone else scene.rng.uniform(0.0, 0.5)
    reach = scene.rng.uniform(0.9, 1.6)  # side of the arm that ends up under the body
    curl, twist = scene.rng.uniform(0.0, 0.3), scene.rng.normal(0, 0.12)
    stir = scene.rate(0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        tipping = np.clip((t - start) / seconds, 0, 2) ** 2.2
        toppled = -np.log(np.exp(-_SOFT_LANDING * tipping) + np.exp(-_SOFT_LANDING)) / _SOFT_LANDING
        limp = ramp(t, start, 0.8 * seconds)
        give = ramp(t, start, 0.6 * seconds)
        stirring = 0.03 * np.sin(stir(t)) * limp
        motion[:, channel(PELVIS, axis)] = way * np.pi / 2 * toppled
        motion[:, channel(PELVIS, TURN)] = twist * limp
        motion[:, channel(CHEST, FLEX)] = curl * limp + stirring
        motion[:, channel(HEAD, FLEX)] = -0.3 * limp * (way if axis == FLEX else 0)
        for side in (LEFT, RIGHT):
            uneven = 0.6 if side == scene.side else 1.0
            motion[:, channel(THIGH[side], FLEX)] += knees * uneven * (give - 0.9 * limp if prone else give)
            motion[:, channel(SHANK[side], FLEX)] += 1.4 * knees * uneven * give
            motion[:, channel(FOOT[side], FLEX)] -= 0.6 * limp
            arm(
                motion,
                side,
                flex=0.05 + (reach if side == under else ahead) * limp,
                abduct=0.12 + (-0.2 if side == under else 0.1 if sideways else aside) * limp,
                elbow=0.2 + 0.4 * uneven * limp + stirring,
                turn=0.3 * limp,
            )
        return motion

    return move


def get_up(scene: Scene) -> Move:
    """Gets up from the floor, over hands and knees or a sitting pose, then a crouch."""
    whole = scene.seconds - scene.rng.uniform(0.2, 0.5)
    lying = scene.before
    t0 = np.zeros(1)

    propped = standing(t0, scene.place)
    pitch = 1.0 if lying[channel(PELVIS, FLEX)] > -0.5 else -0.45  # from the back: sits up first
    lean(propped, pitch, 0.3)
    for side in (LEFT, RIGHT):
        leg(propped, side, hip=0.45 if pitch > 0 else 1.6, knee=1.9 if pitch > 0 else 1.3, flat=0.3)
        arm(propped, side, flex=1.3 if pitch > 0 else -0.6, abduct=0.25, elbow=0.15)

    crouched = standing(t0, scene.place)
    lean(crouched, 0.5, 0.4)
    for side in (LEFT, RIGHT):
        leg(crouched, side, hip=1.5 + (0.15 if side == scene.side else -0.15), knee=2.1)
        arm(crouched, side, flex=0.7, abduct=0.15, elbow=0.6)

    times = np.array([0.0, 0.1, 0.42, 0.7, 1.0]) * whole
    times[2:4] += scene.rng.normal(0, 0.04, 2) * whole
    poses = np.concatenate([lying[None], lying[None], propped, crouched, standing(t0, scene.place)])
    path = PchipInterpolator(times, poses)
    return lambda t: path(np.clip(t, 0, times[-1]))
