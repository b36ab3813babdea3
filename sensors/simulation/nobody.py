"""Rooms with nobody in them, and IMUs that nobody wears."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.names import NOBODY
from cosmo_runtime.sensors.simulation.activities.scene import Place
from cosmo_runtime.sensors.simulation.inertial import GRAVITY, InertialSensor
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Camera, noise_at
from cosmo_runtime.sensors.simulation.person import CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.raycast import Box, DepthCamera
from cosmo_runtime.sensors.simulation.returns import false_alarms
from cosmo_runtime.sensors.simulation.room import furnish

_BARE_SHARE = 0.3  # share of the rooms that show only a bare wall
_KNOCKS_PER_S = 1 / 60
_KNOCK_DECAY_S = 0.06


class RestingImu:
    """An IMU that nobody wears. It lies on a table, flat or on its case, and measures gravity and its own errors.

    The table hums a little, and somebody knocks it about once a minute. Devices differ in their accelerometer's scale
    and in their noise, which is rarely as high as that of the worn sensor in ``InertialSensor``.

    Args:
        seed: seed of the device, its orientation and the knocks.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng((seed, 61))
        flat = Rotation.from_euler("zyx", [rng.uniform(0, 2 * np.pi), *rng.normal(0, 0.02, 2)])
        on_its_back = Rotation.from_euler("x", np.pi * (rng.random() < 0.3))
        lies = Rotation.random(random_state=int(rng.integers(1 << 31))) if rng.random() < 0.3 else flat * on_its_back
        self._scale = 1 + rng.normal(0, 0.015)
        self._up = lies.inv().apply([0, 0, 1])
        dip = np.radians(rng.uniform(50, 70))
        self._field = lies.inv().apply(rng.uniform(44, 52) * np.array([np.cos(dip), 0, -np.sin(dip)]))
        self._sensor = InertialSensor(int(rng.integers(1 << 31)))
        self._noise = rng.uniform(0.3, 1.1)
        self._hum = rng.uniform(0, 0.03), rng.uniform(20, 50), rng.uniform(0, 2 * np.pi)  # m/s², Hz
        self._seed = seed

    def measure(self, times_s: np.ndarray) -> np.ndarray:
        """Returns (n, 9): specific force in m/s², angular rate in rad/s, magnetic field in µT."""
        times_s = np.asarray(times_s, float)
        size, rate_hz, phase = self._hum
        shaking = size * np.sin(2 * np.pi * rate_hz * times_s + phase) + self._knocks(times_s)
        ideal = np.zeros((len(times_s), 9))
        ideal[:, :3] = self._scale * (GRAVITY + shaking)[:, None] * self._up
        ideal[:, 3:6] = 0.02 * self._knocks(times_s)[:, None] * [0.7, -0.6, 0.2]
        ideal[:, 6:] = self._field
        return ideal + self._noise * (self._sensor.measure(times_s, ideal) - ideal)

    def _knocks(self, times_s: np.ndarray) -> np.ndarray:
        """Acceleration due to knocks on the table, m/s²."""
        shaken = np.zeros(len(times_s))
        for second in range(math.floor(times_s.min()) - 1, math.floor(times_s.max()) + 1) if len(times_s) else ():
            rng = np.random.default_rng((self._seed, 62, second & 0xFFFFFFFF))
            if rng.random() < _KNOCKS_PER_S:
                since_s = times_s - second - rng.random()
                fading = np.exp(-since_s.clip(0) / _KNOCK_DECAY_S) * (since_s >= 0)
                shaken += rng.uniform(0.3, 5) * fading * np.sin(2 * np.pi * rng.uniform(15, 40) * since_s)
        return shaken


class EmptyRoom:
    """A room with nobody in it. Implements ``sensors.simulation.motion.Motion``.

    The camera sees a furnished room or a bare wall, the radar only false alarms, and the IMUs lie on a table.
    Everything is a function of the seed and of time.

    Args:
        seed: seed of the room, the devices and their noise.
        camera: a RealSense D435 at 480x270 when absent.
    """

    duration_s = math.inf
    imu_places: Tuple[str, ...] = ("wrist", "thigh")
    imu_rate_hz = 100.0
    radar_rate_hz = 20.0

    def __init__(self, seed: int, camera: Camera | None = None) -> None:
        self.camera = camera or CAMERA
        self._seed = seed
        self._resting = _resting(seed)
        rng = np.random.default_rng((seed, 71))
        home = Place(rng.uniform(-0.9, 0.9), rng.uniform(2.2, 3.9), np.pi + rng.normal(0, 1.0))
        room, furniture = furnish(rng, home, rng.uniform(0.4, 0.5))
        if rng.random() < _BARE_SHARE:
            room, furniture = Box((0, 0, 1.25), (4.0, rng.uniform(1.5, 5.5), 1.25)), []
        self._eye = DepthCamera(self.camera, rng.uniform(0.7, 1.5), room, furniture, seed)

    def imu(self, times_s: np.ndarray, place: str = "wrist") -> np.ndarray:
        """Returns what an IMU on the table measures: (n, 9) as ``Motion`` describes."""
        return self._resting[place].measure(times_s)

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (height, width) uint16 in steps of ``camera.depth_scale_m``; 0 where nothing is measured."""
        return self._eye.image(np.empty((0, 2, 3)), np.empty(0), noise_at(self._seed, 72, time_s))

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32, false alarms only: x, y, z (m), radial speed (m/s), SNR (dB)."""
        return false_alarms(noise_at(self._seed, 73, time_s))

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns one activity: nobody is there."""
        return [ActivityStart(0.0, NOBODY)] if until_s > 0 else []


class Unworn(SimulatedPerson):
    """A simulated person whose IMU lies on the table. Camera and radar see the person, the IMU is at rest."""

    def __init__(self, seed: int, camera: Camera | None = None) -> None:
        super().__init__(seed, camera)
        self._resting = _resting(seed)

    def imu(self, times_s: np.ndarray, place: str = "wrist") -> np.ndarray:
        """Returns what an IMU on the table measures: (n, 9) as ``Motion`` describes."""
        return self._resting[place].measure(times_s)


def _resting(seed: int) -> dict[str, RestingImu]:
    return {place: RestingImu(2 * seed + number) for number, place in enumerate(EmptyRoom.imu_places)}
