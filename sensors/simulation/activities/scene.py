"""The setting in which a person performs an activity, and the types that all activities share.

An activity is a function from a ``Scene`` to a ``Move``. A ``Move`` takes times (seconds since the activity began) and
returns a motion (n, ``CHANNELS``). It is smooth and defined at every time, so that each activity can blend into the
next.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

from cosmo_runtime.sensors.simulation.body import Body

Move = Callable[[np.ndarray], np.ndarray]


class Place(NamedTuple):
    """Where someone stands (metres in the room) and faces (radians; 0 is away from the rig)."""

    x: float
    y: float
    heading: float


class Scene(NamedTuple):
    """The setting of one performance of an activity.

    Attributes:
        rng: draws what varies from one performance to the next.
        body: the person's body.
        pace: the person's speed; 1 is the average.
        place: where the activity happens.
        loop: the free floor in front of ``place``, for walking: half axes of an ellipse (sideways, ahead) in metres.
        seconds: how long the activity lasts.
        settle_s: how long the person takes to change over from the previous activity.
        topple: the direction in which there is room to fall: 0 ahead, pi / 2 to the left, pi behind.
        side: the hand used where one hand is enough, ``LEFT`` or ``RIGHT``.
        before: the person's pose (CHANNELS,) at the start.
    """

    rng: np.random.Generator
    body: Body
    pace: float
    place: Place
    loop: tuple[float, float]
    seconds: float
    settle_s: float
    topple: float
    side: int
    before: np.ndarray

    def vary(self, mean: float, share: float = 0.15) -> float:
        """Draws a value around a mean, with a standard deviation of ``share`` of it, cut at 2.5 deviations."""
        return mean * (1 + share * float(np.clip(self.rng.normal(), -2.5, 2.5)))

    def rate(self, mean_hz: float) -> Callable[[np.ndarray], np.ndarray]:
        """Draws a slightly uneven rhythm. Returns a function from time to its phase in radians."""
        rate = 2 * np.pi * self.vary(mean_hz * self.pace, 0.1)
        drift, period, start = self.rng.uniform(0.1, 0.35), self.rng.uniform(2, 5), self.rng.uniform(0, 2 * np.pi)
        return lambda t: rate * t + drift * (np.sin(2 * np.pi * t / period + start) - np.sin(start))


def ramp(t: np.ndarray, start: float, seconds: float) -> np.ndarray:
    """Rises from 0 to 1, without jerk at the ends."""
    s = np.clip((t - start) / seconds, 0, 1)
    return s * s * s * (10 + s * (6 * s - 15))


def glide(t: np.ndarray, start: float, seconds: float, ease: float) -> np.ndarray:
    """Rises from 0 to 1 at a constant speed. Speeding up and slowing down take ``ease`` seconds each."""
    s = np.clip(t - start, 0, seconds)
    slow = np.clip(s - (seconds - ease), 0, ease)
    begun = np.clip(s, 0, ease)
    lag = ease / (2 * np.pi) * (np.sin(np.pi * begun / ease) - np.sin(np.pi * slow / ease))
    return (s - begun / 2 - slow / 2 - lag) / (seconds - ease)
