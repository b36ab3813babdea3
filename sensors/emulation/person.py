"""A simulated person who does one daily activity after another in a room, and what a rig measures of it."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from sensors.emulation.activities import ACTIVITIES, Move, Place, Scene, ramp, standing
from sensors.emulation.body import CHANNELS, FOREARM, HEADING, LEFT, RIGHT, Body, Frames, X, Y
from sensors.emulation.inertial import InertialSensor, specific_force_and_rate
from sensors.emulation.motion import ActivityStart, Camera
from sensors.emulation.raycast import Box, DepthCamera
from sensors.emulation.returns import detect

CAMERA = Camera(480, 270, 252.9, 252.9, 239.5, 134.5, 15.0, 0.001)  # field of view of a RealSense D435: 87 degrees
HALF_CAMERA = CAMERA._replace(  # rendered as if decimated by two, four times as fast
    width=CAMERA.width // 2,
    height=CAMERA.height // 2,
    **{name: getattr(CAMERA, name) / 2 for name in ("fx", "fy", "cx", "cy")},
)

_RIG_HEIGHT_M = 1.1
_SETTLE_S = 0.7  # from one activity into the next, at least
_TURN_RATE = 2.2  # radians a second, when the next one faces elsewhere
_CHAIR_STEP_M = 0.35  # back to the chair to sit down
_WRIST_HZ = 200  # of the wrist's path
_MARGIN = 20  # steps of it
_IMPACT_S = 0.015  # flesh and strap spread a shock over this long
_RISE = {"sit down": "stand up", "fall": "get up"}  # what must come next
_SECONDS = {"sit down": (4.0, 6.5), "stand up": (3.2, 3.8), "fall": (4.5, 7.0), "get up": (3.4, 4.6)}


class _Segment(NamedTuple):
    """One activity; over ``settle_s`` it takes over from the one before."""

    start_s: float
    end_s: float
    settle_s: float
    activity: str
    move: Move


class SimulatedPerson:
    """One person in one room, both drawn at random; implements ``sensors.emulation.motion.Motion``.

    The person goes through a shuffled deck of activities, 3.2 to 8 s each, and rises after sitting down or falling.
    Everything is a function of the seed and of time, whatever is asked in whichever order; methods may be called from
    several threads. The wrist carries the inertial sensor: its x along the forearm toward the elbow, z out of the back
    of the hand, roughly as worn. Camera and radar stand together 1.1 m above the floor and look level along +y.

    Args:
        seed: of person, room, plan and noise.
        camera: a RealSense D435 at 480x270 when absent.
        duration_s: how long it lasts; the person would go on for ever.
    """

    imu_rate_hz = 100.0
    radar_rate_hz = 20.0

    def __init__(self, seed: int, camera: Camera | None = None, duration_s: float = math.inf) -> None:
        self.duration_s = duration_s
        self.camera = camera or CAMERA
        self._seed = seed
        rng = np.random.default_rng((seed, 1))
        self._body = Body(float(np.clip(rng.normal(1.70, 0.1), 1.5, 1.95)), rng.uniform(0.85, 1.2))
        self._pace = float(np.clip(rng.normal(1, 0.12), 0.75, 1.3))
        self._wrist_side = RIGHT if rng.random() < 0.6 else LEFT
        self._sway_hz = rng.uniform(0.1, 0.9, (3, CHANNELS - 5))
        self._sway_phase = rng.uniform(0, 2 * np.pi, (3, CHANNELS - 5))
        self._sway = rng.uniform(0.2, 1.0, (3, CHANNELS - 5)) * 0.008
        self._posture = rng.normal(0, 0.04, CHANNELS - 5)

        self._home, self._loop = _free_floor(rng)
        self._eye = DepthCamera(self.camera, _RIG_HEIGHT_M, *_furnish(rng, self._home, self._body.seat_m), seed)

        slip = Rotation.from_euler("xyz", rng.normal(0, [0.3, 0.1, 0.1]))  # around the forearm most
        self._strap = Rotation.from_matrix(_wrist_axes(self._wrist_side)) * slip
        self._strap_offset = np.array([0, 0, -self._body.forearm_m + 0.03]) + self._strap.apply([0, 0, 0.035])
        north, dip = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(50, 70))
        self._field = rng.uniform(44, 52) * np.array(
            [np.cos(dip) * np.cos(north), np.cos(dip) * np.sin(north), -np.sin(dip)]
        )
        self._imu = InertialSensor(seed)

        self._plan_lock = threading.Lock()
        self._plan_rng = np.random.default_rng((seed, 2))
        self._segments: list[_Segment] = []
        self._starts_s: list[float] = []
        self._deck: list[str] = []
        self._wrist = lru_cache(maxsize=8)(self._wrist_of_second)

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every activity that starts before ``until_s``, oldest first."""
        until_s = min(until_s, self.duration_s)
        self._plan(until_s)
        return [ActivityStart(s.start_s, s.activity) for s in self._segments[:] if s.start_s < until_s]

    def imu(self, times_s: np.ndarray) -> np.ndarray:
        """Returns (n, 9): specific force in m/s², angular rate in rad/s, magnetic field in µT."""
        times_s = np.asarray(times_s, float)
        ideal = np.empty((len(times_s), 9))
        seconds = np.floor(times_s).astype(int)
        for second in np.unique(seconds):
            here = seconds == second
            grid, values = self._wrist(int(second))
            ideal[here] = np.stack([np.interp(times_s[here], grid, column) for column in values.T], axis=1)
        return self._imu.measure(times_s, ideal)

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (height, width) uint16 in steps of ``camera.depth_scale_m``; 0 where nothing is measured."""
        frames = self.frames(np.array([time_s]))
        return self._eye.image(frames.capsules[0], self._body.radii, self._rng(31, time_s))

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32: x, y, z (m) from the radar, radial speed (m/s), SNR (dB)."""
        step = 0.01
        before, now, after = self.frames(time_s + np.array([-step, 0.0, step])).capsules - (0, 0, _RIG_HEIGHT_M)
        return detect(now, (after - before) / (2 * step), self._body.radii, self._rng(41, time_s))

    def frames(self, times_s: np.ndarray) -> Frames:
        """Returns where the body is: the truth behind every sensor."""
        return self._body.frames(self._motion(times_s))

    def _rng(self, stream: int, time_s: float) -> np.random.Generator:
        return np.random.default_rng((self._seed, stream, round(time_s * 1e6) & 0xFFFFFFFFFFFF))

    def _motion(self, times_s: np.ndarray) -> np.ndarray:
        self._plan(float(times_s.max()))
        motion = np.empty((len(times_s), CHANNELS))
        index = np.array([max(bisect_right(self._starts_s, t) - 1, 0) for t in times_s.tolist()])
        for i in np.unique(index):
            motion[index == i] = self._blended(i, times_s[index == i])
        swaying = np.sin(2 * np.pi * times_s[:, None, None] * self._sway_hz + self._sway_phase)
        motion[:, 5:] += self._posture + (self._sway * swaying).sum(axis=1)
        return motion

    def _blended(self, index: int, times_s: np.ndarray) -> np.ndarray:
        segment = self._segments[index]
        motion = segment.move(times_s - segment.start_s)
        if index > 0 and times_s.min() < segment.start_s + segment.settle_s:
            before = self._segments[index - 1]
            done = ramp(times_s, segment.start_s, segment.settle_s)[:, None]
            motion = done * motion + (1 - done) * before.move(times_s - before.start_s)
        return motion

    def _wrist_of_second(self, second: int) -> tuple[np.ndarray, np.ndarray]:
        """The ideal sensor over one second, on a fixed grid: its times and (steps, 9) values."""
        steps = np.arange(-_MARGIN, _WRIST_HZ + 1 + _MARGIN)
        times_s = second + steps / _WRIST_HZ
        frames = self.frames(times_s)
        forearm = frames.rotations[:, FOREARM[self._wrist_side]]
        path = frames.positions[:, FOREARM[self._wrist_side]] + forearm @ self._strap_offset
        path = gaussian_filter1d(path, _IMPACT_S * _WRIST_HZ, axis=0, mode="nearest")
        turned = Rotation.from_matrix(forearm) * self._strap
        inside = slice(_MARGIN, -_MARGIN)
        felt = specific_force_and_rate(times_s, path, turned, times_s[inside])
        return times_s[inside], np.hstack([felt, turned[inside].inv().apply(self._field)])

    def _plan(self, until_s: float) -> None:
        with self._plan_lock:
            while not self._segments or self._segments[-1].end_s <= until_s + 1:
                segment = self._next()
                self._segments.append(segment)
                self._starts_s.append(segment.start_s)

    def _next(self) -> _Segment:
        rng = self._plan_rng
        if not self._segments:
            start_s, last, before = 0.0, "", standing(np.zeros(1), self._home)[0]
        else:
            start_s, last = self._segments[-1].end_s, self._segments[-1].activity
            before = self._blended(len(self._segments) - 1, np.array([start_s]))[0]
        activity = _RISE.get(last) or self._deal(last)
        topple = 0.0
        if activity in _RISE.values():
            place = Place(*before[[X, Y, HEADING]])
        elif activity == "sit down":
            place = self._turned(rng, _ahead(self._home, -_CHAIR_STEP_M), before, 0.1)
        elif activity == "walk":
            place = self._turned(rng, self._home, before, 0.1)
        else:
            near = self._home._replace(x=self._home.x + rng.normal(0, 0.07), y=self._home.y + rng.normal(0, 0.07))
            place = self._turned(rng, near, before, 0.5)
            if activity == "fall":
                ways = [
                    (self._turned(rng, near, before, 1.0), rng.choice([0.0, 0.0, np.pi / 2, np.pi, -np.pi / 2]))
                    for _ in range(40)
                ]
                place, topple = min(ways, key=lambda way: self._falls_outside(*way))
        settle_s = max(_SETTLE_S, abs(place.heading - before[HEADING]) / _TURN_RATE)
        seconds = rng.uniform(*_SECONDS.get(activity, (4.0, 8.0)))
        side = self._wrist_side if rng.random() < 0.7 else 1 - self._wrist_side
        scene = Scene(rng, self._body, self._pace, place, self._loop, seconds, settle_s, topple, side, before)
        return _Segment(start_s, start_s + seconds, settle_s, activity, ACTIVITIES[activity](scene))

    def _turned(self, rng: np.random.Generator, place: Place, before: np.ndarray, spread: float) -> Place:
        """Faces about where the chair faces, by the shorter turn from before."""
        heading = self._home.heading + rng.normal(0, spread)
        return place._replace(heading=heading + 2 * np.pi * np.round((before[HEADING] - heading) / (2 * np.pi)))

    def _falls_outside(self, place: Place, topple: float) -> float:
        """How many metres someone who falls that way comes out of view or too near the chair."""
        path = [
            _ahead(place._replace(heading=place.heading + topple), share * self._body.height_m) for share in (0.4, 1)
        ]
        chair = _ahead(self._home, -_CHAIR_STEP_M - 0.42)
        blocked = max(0.6 - np.hypot(p.x - chair.x, p.y - chair.y) for p in path)
        head = path[1]
        return max(blocked, 2.3 - head.y, head.y - 4.4, abs(head.x) - 0.65 * head.y, 0.0)

    def _deal(self, last: str) -> str:
        """Draws from a shuffled deck, so that every activity comes as often."""
        if not self._deck:
            self._deck = [name for name in ACTIVITIES if name not in _RISE.values()]
            self._plan_rng.shuffle(self._deck)
            if self._deck[-1] == last:
                self._deck.insert(0, self._deck.pop())
        return self._deck.pop()


def _ahead(place: Place, distance_m: float) -> Place:
    return place._replace(
        x=place.x - distance_m * float(np.sin(place.heading)), y=place.y + distance_m * float(np.cos(place.heading))
    )


def _free_floor(rng: np.random.Generator) -> tuple[Place, tuple[float, float]]:
    """Draws where the person mostly stands, and the free ellipse in front that the camera sees all of."""
    angle = np.linspace(0, 2 * np.pi, 24)
    while True:
        home = Place(rng.uniform(-0.9, 0.9), rng.uniform(2.2, 3.9), np.pi + rng.normal(0, 1.0))
        across, ahead = rng.uniform(0.55, 1.1) * rng.uniform(0.85, 1.15, 2)
        aside, forward = across * np.sin(angle), ahead * (1 - np.cos(angle))
        x = home.x + aside * np.cos(home.heading) - forward * np.sin(home.heading)
        y = home.y + aside * np.sin(home.heading) + forward * np.cos(home.heading)
        chair = _ahead(home, -_CHAIR_STEP_M - 0.7)
        if (
            y.min() > 1.5
            and y.max() < 4.3
            and (np.abs(x) < 0.65 * y).all()
            and 1.4 < chair.y < 4.5
            and abs(chair.x) < 1.7
        ):
            return home, (across, ahead)


def _furnish(rng: np.random.Generator, home: Place, seat_m: float) -> tuple[Box, list[Box]]:
    """Draws a room, the chair behind the person, and furniture along the walls."""
    left, right, back, ceiling = rng.uniform(2.0, 3.2), rng.uniform(2.0, 3.2), rng.uniform(4.7, 5.6), 2.5
    room = Box(((right - left) / 2, back / 2 - 0.5, ceiling / 2), ((left + right) / 2, back / 2 + 0.5, ceiling / 2))
    chair = _ahead(home, -_CHAIR_STEP_M - 0.42)
    boxes = [Box((chair.x, chair.y, seat_m / 2), (0.23, 0.22, seat_m / 2), home.heading)]
    if rng.random() < 0.6:
        rest = _ahead(chair, -0.24)
        boxes.append(Box((rest.x, rest.y, seat_m / 2 + 0.22), (0.22, 0.025, seat_m / 2 + 0.22), home.heading))
    width, height = rng.uniform(0.4, 0.9), rng.uniform(0.35, 1.0)
    boxes.append(Box((rng.uniform(-left + width, right - width), back - 0.2, height), (width, 0.2, height)))
    side, length, height = rng.choice([-left + 0.2, right - 0.2]), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.5)
    boxes.append(Box((float(side), rng.uniform(2.5, back - 1.2), height), (0.2, length, height)))
    return room, boxes


def _wrist_axes(side: int) -> np.ndarray:
    """Axes of the sensor as columns in the forearm's frame: x to the elbow, z out of the back of the hand."""
    out = 1.0 if side == RIGHT else -1.0
    return np.array([[0, 0, out], [0, -out, 0], [1, 0, 0]])
