"""The upright pose, and functions that set arms, legs and trunk."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from cosmo_runtime.sensors.simulation.activities.scene import Place
from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHANNELS,
    CHEST,
    FLEX,
    FOOT,
    FOREARM,
    HEAD,
    HEADING,
    LEFT,
    PELVIS,
    PLANTED,
    RIGHT,
    SHANK,
    THIGH,
    TURN,
    UPPER_ARM,
    Body,
    X,
    Y,
    channel,
)


def standing(t: np.ndarray, place: Place) -> np.ndarray:
    """Returns the upright pose with hanging arms, once for each time."""
    motion = np.zeros((len(t), CHANNELS))
    motion[:, [X, Y, HEADING]] = place
    motion[:, PLANTED] = 1
    for side in (LEFT, RIGHT):
        arm(motion, side, flex=0.05, abduct=0.12, elbow=0.2)
        leg(motion, side, hip=0.04, knee=0.05)
    return motion


def arm(
    motion: np.ndarray,
    side: int,
    flex: np.ndarray | float,
    abduct: np.ndarray | float,
    elbow: np.ndarray | float,
    turn: np.ndarray | float = 0.0,
    roll: np.ndarray | float = 0.0,
) -> None:
    """Sets one arm. ``turn`` rotates the upper arm inward, ``roll`` the forearm."""
    motion[:, channel(UPPER_ARM[side], FLEX)] = flex
    motion[:, channel(UPPER_ARM[side], ABDUCT)] = abduct
    motion[:, channel(UPPER_ARM[side], TURN)] = turn
    motion[:, channel(FOREARM[side], FLEX)] = elbow
    motion[:, channel(FOREARM[side], TURN)] = roll


def leg(motion: np.ndarray, side: int, hip: np.ndarray | float, knee: np.ndarray | float, flat: float = 1.0) -> None:
    """Sets one leg. ``hip`` is measured from the vertical; with ``flat`` = 1 the foot stays level."""
    motion[:, channel(THIGH[side], FLEX)] = hip + motion[:, channel(PELVIS, FLEX)]
    motion[:, channel(SHANK[side], FLEX)] = knee
    motion[:, channel(FOOT[side], FLEX)] = flat * (knee - hip)


def lean(motion: np.ndarray, pelvis: np.ndarray | float, chest: np.ndarray | float) -> None:
    """Bends the trunk forward. Call it before ``leg``, which depends on it."""
    motion[:, channel(PELVIS, FLEX)] = pelvis
    motion[:, channel(CHEST, FLEX)] = chest
    motion[:, channel(HEAD, FLEX)] = -0.4 * (pelvis + chest)


def alternating(phase: np.ndarray) -> Tuple[Tuple[int, np.ndarray], Tuple[int, np.ndarray]]:
    """Each side with its phase in radians. Right is half a period after left, as in walking."""
    return (LEFT, phase), (RIGHT, phase + np.pi)


def squatting(motion: np.ndarray, down: np.ndarray, depth: float, stoop: float) -> None:
    """Sets trunk and legs of a squat, ``down`` from 0, upright, to 1. ``stoop`` bends the trunk forward."""
    lean(motion, stoop * down, 0.6 * stoop * down)
    for side in (LEFT, RIGHT):
        leg(motion, side, hip=0.04 + 0.95 * depth * down, knee=0.05 + 1.3 * depth * down)


def step_on_the_spot(
    motion: np.ndarray, phase: np.ndarray, knees: float, heels: float, hip: float = 0.05, knee: float = 0.08
) -> None:
    """Lifts one foot after the other, as high as ``knees`` and as far back as ``heels`` say. Hip and knee stay bent."""
    motion[:, PLANTED] = 0
    for side, beat in alternating(phase):
        up = (0.5 + 0.5 * np.sin(beat)) ** 1.5
        leg(motion, side, hip=hip + knees * up, knee=knee + heels * knees * up, flat=0.6)


def hands_meet(body: Body, elbow: float) -> float:
    """How far arms that reach ahead must be abducted for the hands to meet."""
    long_m = 0.186 * body.height_m + (body.forearm_m + 0.06 * body.height_m) * np.cos(elbow)
    return -float(np.arcsin(min(0.95, (body.shoulder_m - 0.03) / long_m)))
