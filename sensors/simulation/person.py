"""A simulated person who does one daily activity after another in a room, as a rig measures it."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from functools import partial
from typing import Callable, Iterator, NamedTuple, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.acting import any_act
from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.activities.pose import standing
from cosmo_runtime.sensors.simulation.activities.scene import Move, Place, Scene, ramp
from cosmo_runtime.sensors.simulation.body import CHANNELS, FOREARM, HEADING, LEFT, RIGHT, THIGH, Body, Frames, X, Y
from cosmo_runtime.sensors.simulation.habits import any_way
from cosmo_runtime.sensors.simulation.inertial import InertialSensor, Worn, WornImu
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Camera, noise_at
from cosmo_runtime.sensors.simulation.raycast import Box, DepthCamera
from cosmo_runtime.sensors.simulation.returns import detect
from cosmo_runtime.sensors.simulation.room import CHAIR_STEP_M, furnish, step_ahead
from cosmo_runtime.sensors.simulation.setting import Setting

CAMERA = Camera(480, 270, 252.9, 252.9, 239.5, 134.5, 15.0, 0.001)  # field of view of a RealSense D435: 87 degrees
HALF_CAMERA = CAMERA._replace(  # rendered at half the resolution, which is four times as fast
    width=CAMERA.width // 2,
    height=CAMERA.height // 2,
    **{name: getattr(CAMERA, name) / 2 for name in ("fx", "fy", "cx", "cy")},
)

_SETTLE_S = 0.7  # shortest change from one activity to the next
_TURN_RATE = 2.2  # radians a second, if the next activity faces elsewhere
_RISE = {"sit down": "stand up", "fall": "get up"}  # what must come next
_SECONDS = {"sit down": (4.0, 6.5), "stand up": (3.2, 3.8), "fall": (4.5, 7.0), "get up": (3.4, 4.6)}
_BRISK_SECONDS = {"sit down": (2.2, 5.0), "stand up": (2.4, 3.4), "fall": (3.5, 7.0), "get up": (3.4, 4.6)}
_PAUSE_S = (0.8, 2.6)


class _Segment(NamedTuple):
    """One activity. During ``settle_s`` it takes over from the previous one."""

    start_s: float
    end_s: float
    settle_s: float
    activity: str
    move: Move


class SimulatedPerson:
    """One person in one room, both drawn at random. Implements ``sensors.simulation.motion.Motion``.

    The person goes through a shuffled deck of activities, 3.2 to 8 s each, and rises after sitting down or falling.
    Everything is a function of the seed and of time, in whichever order it is asked for. Several threads may call the
    methods. Inertial sensors are worn on the wrist (x along the forearm to the elbow, z out of the back of the
    hand) and on the front of the same side's thigh (x up to the hip, z forward), roughly so. Camera and radar stand
    together 1.1 m above the floor and look level along +y. A ``setting`` changes what it names.

    Args:
        seed: seed of person, room, plan and noise.
        camera: a RealSense D435 at 480x270 when absent.
        duration_s: when it ends. The person could go on forever.
        setting: the rig's setting, in place of ``camera``.
    """

    imu_places: Tuple[str, ...] = ("wrist", "thigh")
    imu_rate_hz = 100.0
    radar_rate_hz = 20.0

    def __init__(
        self,
        seed: int,
        camera: Camera | None = None,
        duration_s: float = math.inf,
        setting: Setting | None = None,
    ) -> None:
        self.duration_s = duration_s
        self._setting = setting or Setting(camera or CAMERA)
        self.camera = self._setting.camera
        self._seed = seed
        rng = np.random.default_rng((seed, 1))
        self._body = Body(float(np.clip(rng.normal(1.70, 0.1), 1.5, 1.95)), rng.uniform(0.85, 1.2))
        self._pace = float(np.clip(rng.normal(1, 0.12), 0.75, 1.3))
        self._wrist_side = RIGHT if rng.random() < 0.6 else LEFT
        self._sway_hz = rng.uniform(0.1, 0.9, (3, CHANNELS - 5))
        self._sway_phase = rng.uniform(0, 2 * np.pi, (3, CHANNELS - 5))
        self._sway = rng.uniform(0.2, 1.0, (3, CHANNELS - 5)) * 0.008
        self._posture = rng.normal(0, 0.04, CHANNELS - 5)

        self._home, self._loop = _free_floor(rng, self._setting)
        room: Box | None
        room, furniture = furnish(rng, self._home, self._body.seat_m)
        if not self._setting.room:
            room, furniture = None, []
        self._eye = DepthCamera(
            self.camera, self._setting.height_m, room, furniture, seed, self._setting.down, self._setting.grain
        )

        self._imus = self._put_on_imus(rng)

        self._plan_lock = threading.Lock()
        self._plan_rng = np.random.default_rng((seed, 2))
        self._segments: list[_Segment] = []
        self._starts_s: list[float] = []
        self._deck: list[str] = []

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every activity that starts before ``until_s``, oldest first."""
        until_s = min(until_s, self.duration_s)
        self._plan(until_s)
        return [ActivityStart(s.start_s, s.activity) for s in self._segments[:] if s.start_s < until_s]

    def imu(self, times_s: np.ndarray, place: str = "wrist") -> np.ndarray:
        """What an IMU at a place of the body measures.

        Returns:
            (n, 9): specific force in m/s², angular rate in rad/s, magnetic field in µT.
        """
        return self._imus[place].measure(times_s)

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (height, width) uint16 in steps of ``camera.depth_scale_m``; 0 where nothing is measured."""
        return next(self.depths(np.array([time_s])))

    def depths(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """Yields ``depth`` for each time. Many times at once take less work."""
        for time_s, capsules in zip(times_s, self.frames(times_s).capsules):
            yield self._eye.image(capsules, self._body.radii, noise_at(self._seed, 31, time_s))

    def empty_room(self, time_s: float) -> np.ndarray:
        """Returns what ``depth`` would without the person."""
        return self._eye.image(np.zeros((0, 2, 3)), np.zeros(0), noise_at(self._seed, 32, time_s))

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32: x, y, z (m) from the radar, radial speed (m/s), SNR (dB)."""
        return next(self.radars(np.array([time_s])))

    def radars(self, times_s: np.ndarray, jitter_mps: float = 0.0) -> Iterator[np.ndarray]:
        """Yields ``radar`` for each time.

        Args:
            times_s: the times.
            jitter_mps: speed by which the body's parts seem to jitter, as in a radar synthesised from a tracked
                skeleton.
        """
        step = 0.01
        around = (times_s[:, None] + np.array([-step, 0.0, step])).ravel()
        capsules = (self.frames(around).capsules - (0, 0, self._setting.height_m)) @ self._setting.down.T
        for time_s, (before, now, after) in zip(times_s, capsules.reshape(len(times_s), 3, -1, 2, 3)):
            speeds = (after - before) / (2 * step)
            if jitter_mps:
                speeds += jitter_mps * noise_at(self._seed, 42, time_s).normal(size=speeds.shape)
            yield detect(now, speeds, self._body.radii, noise_at(self._seed, 41, time_s))

    def frames(self, times_s: np.ndarray) -> Frames:
        """Returns where the body is, which is the truth behind every sensor."""
        return self._body.frames(self._motion(times_s))

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

    def _put_on_imus(self, rng: np.random.Generator) -> dict[str, WornImu]:
        """Draws how the IMUs are worn, and the magnetic field of the room."""
        slip = Rotation.from_euler("xyz", rng.normal(0, [0.3, 0.1, 0.1]))  # mostly around the forearm
        axes = Rotation.from_matrix(_wrist_axes(self._wrist_side)) * slip
        place_m = np.array([0, 0, -self._body.forearm_m + self._setting.along_m]) + axes.apply([0, 0, 0.035])
        on_wrist = Worn(FOREARM[self._wrist_side], axes * self._setting.wrist, place_m)
        north, dip = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(50, 70))
        field_ut = rng.uniform(44, 52) * np.array(
            [np.cos(dip) * np.cos(north), np.cos(dip) * np.sin(north), -np.sin(dip)]
        )
        thigh_rng = np.random.default_rng((self._seed, 3))
        on_thigh = self._on_the_thigh(thigh_rng)
        thigh_sensor = InertialSensor(int(thigh_rng.integers(1 << 31)))
        return {
            "wrist": WornImu(partial(self._path, on_wrist), field_ut, InertialSensor(self._seed)),
            "thigh": WornImu(partial(self._path, on_thigh), field_ut, thigh_sensor),
        }

    def _on_the_thigh(self, rng: np.random.Generator) -> Worn:
        slip = Rotation.from_euler("xyz", rng.normal(0, [0.3, 0.1, 0.1]))  # mostly around the thigh
        axes = Rotation.from_matrix(_THIGH_AXES) * slip
        radius_m = 0.074 * self._body.height_m / 1.75
        place_m = np.array([0, 0, -self._body.thigh_m / 2]) + axes.apply([0, 0, radius_m])
        return Worn(THIGH[self._wrist_side], axes, place_m)

    def _path(self, imu: Worn, times_s: np.ndarray) -> tuple[np.ndarray, Rotation]:
        """Positions (n, 3) of an IMU, and its rotations to the room's axes."""
        frames = self.frames(times_s)
        bone = frames.rotations[:, imu.joint]
        return frames.positions[:, imu.joint] + bone @ imu.place_m, Rotation.from_matrix(bone) * imu.axes

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
        pauses = self._setting.brisk and last not in _RISE and last not in ("", "stand still")
        activity = "stand still" if pauses else _RISE.get(last) or self._deal(last)
        place, topple = self._place(activity, before)
        settle_s = max(_SETTLE_S, abs(place.heading - before[HEADING]) / _TURN_RATE)
        if self._setting.brisk:
            seconds = rng.uniform(*_BRISK_SECONDS.get(activity, _PAUSE_S if pauses else (2.0, 4.5)))
        else:
            seconds = rng.uniform(*_SECONDS.get(activity, (4.0, 8.0)))
        preferred = 0.9 if self._setting.acted else 0.7
        side = self._wrist_side if rng.random() < preferred else 1 - self._wrist_side
        scene = Scene(rng, self._body, self._pace, place, self._loop, seconds, settle_s, topple, side, before)
        return _Segment(start_s, start_s + seconds, settle_s, activity, self._way(activity, rng)(scene))

    def _place(self, activity: str, before: np.ndarray) -> tuple[Place, float]:
        """Draws where the next activity happens, and for a fall its direction: the clearest of forty."""
        rng = self._plan_rng
        if activity in _RISE.values():
            return Place(*before[[X, Y, HEADING]]), 0.0
        if activity == "sit down":
            return self._turned(step_ahead(self._home, -CHAIR_STEP_M), before, 0.1), 0.0
        if activity == "walk":
            return self._turned(self._home, before, 0.1), 0.0
        near = self._home._replace(x=self._home.x + rng.normal(0, 0.07), y=self._home.y + rng.normal(0, 0.07))
        place = self._turned(near, before, 0.1 if self._setting.acted else 0.5)
        if activity != "fall":
            return place, 0.0
        directions = [0.0, 0.0, np.pi / 2, np.pi, -np.pi / 2]
        ways = [(self._turned(near, before, 1.0), rng.choice(directions)) for _ in range(40)]
        return min(ways, key=lambda way: self._falls_outside(*way))

    def _way(self, activity: str, rng: np.random.Generator) -> Callable[[Scene], Move]:
        if self._setting.acted:
            return any_act(activity, rng)
        return any_way(activity, rng) if self._setting.brisk else ACTIVITIES[activity]

    def _turned(self, place: Place, before: np.ndarray, spread: float) -> Place:
        """Faces roughly the way the chair does, by the shorter turn from the previous heading."""
        heading = self._home.heading + self._plan_rng.normal(0, spread)
        return place._replace(heading=heading + 2 * np.pi * np.round((before[HEADING] - heading) / (2 * np.pi)))

    def _falls_outside(self, place: Place, topple: float) -> float:
        """How many metres somebody who falls that way gets out of view or too near the chair."""
        path = [
            step_ahead(place._replace(heading=place.heading + topple), share * self._body.height_m)
            for share in (0.4, 1)
        ]
        chair = step_ahead(self._home, -CHAIR_STEP_M - 0.42)
        blocked = max(0.6 - np.hypot(p.x - chair.x, p.y - chair.y) for p in path)
        head = path[1]
        return max(blocked, 2.3 - head.y, head.y - 4.4, abs(head.x) - self._setting.view * head.y, 0.0)

    def _deal(self, last: str) -> str:
        """Draws from a shuffled deck, so that all activities come equally often."""
        if not self._deck:
            self._deck = [name for name in self._setting.only or ACTIVITIES if name not in _RISE.values()]
            self._plan_rng.shuffle(self._deck)
            if self._deck[-1] == last:
                self._deck.insert(0, self._deck.pop())
        return self._deck.pop()


def _free_floor(rng: np.random.Generator, setting: Setting) -> tuple[Place, tuple[float, float]]:
    """Draws where the person mostly stands, and the free ellipse in front, which the camera sees completely."""
    if setting.acted:  # at a mark on the floor
        return Place(rng.uniform(-0.3, 0.3), rng.uniform(2.3, 3.3), np.pi + rng.normal(0, setting.facing)), (0.5, 0.5)
    angle = np.linspace(0, 2 * np.pi, 24)
    while True:
        home = Place(rng.uniform(-0.9, 0.9), rng.uniform(2.2, 3.9), np.pi + rng.normal(0, setting.facing))
        across, ahead = rng.uniform(0.55, 1.1) * rng.uniform(0.85, 1.15, 2)
        aside, forward = across * np.sin(angle), ahead * (1 - np.cos(angle))
        x = home.x + aside * np.cos(home.heading) - forward * np.sin(home.heading)
        y = home.y + aside * np.sin(home.heading) + forward * np.cos(home.heading)
        chair = step_ahead(home, -CHAIR_STEP_M - 0.7)
        if (
            y.min() > 1.5
            and y.max() < 4.3
            and (np.abs(x) < setting.view * y).all()
            and 1.4 < chair.y < 4.5
            and abs(chair.x) < 1.7
        ):
            return home, (across, ahead)


# Axes of a sensor as columns in the thigh's frame: x up to the hip, z out of its front, which faces +y.
_THIGH_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def _wrist_axes(side: int) -> np.ndarray:
    """Axes of the sensor as columns in the forearm's frame: x to the elbow, z out of the back of the hand."""
    out = 1.0 if side == RIGHT else -1.0
    return np.array([[0, 0, out], [0, -out, 0], [1, 0, 0]])
