"""Motion capture clips one after another in a room, as a rig would see them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline, Slerp

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.activities.scene import Place
from cosmo_runtime.sensors.simulation.body import LEFT, RIGHT
from cosmo_runtime.sensors.simulation.inertial import InertialSensor, Worn, WornImu
from cosmo_runtime.sensors.simulation.mocap.bvh import read_bvh
from cosmo_runtime.sensors.simulation.mocap.clip import Clip, same_joints
from cosmo_runtime.sensors.simulation.mocap.deepmimic import read_deepmimic
from cosmo_runtime.sensors.simulation.mocap.flesh import Flesh, flesh, worn
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Camera, noise_at
from cosmo_runtime.sensors.simulation.person import CAMERA
from cosmo_runtime.sensors.simulation.raycast import Box, DepthCamera
from cosmo_runtime.sensors.simulation.returns import detect
from cosmo_runtime.sensors.simulation.room import furnish
from cosmo_runtime.sensors.simulation.setting import Setting

_GRID_HZ = 60.0
_LOOPED_S = 4.0  # a looping clip is repeated until it has lasted this long
_REST_S = 1.5  # from one clip into the next
_ROOM = Box((0, 2.2, 1.5), (3.2, 3.2, 1.5))
_FIELD_UT = np.array([0.0, 22.0, -43.0])


class _Player(NamedTuple):
    """Who plays the clips, as multiples of the recorded person's size and pace, where, and how far they turn (rad)."""

    size: float = 1.0
    pace: float = 1.0
    place_m: Tuple[float, float] = (0.0, 3.0)
    turn: float = 0.0


class _Stretch(NamedTuple):
    """A clip on the whole motion's time grid."""

    name: str
    positions: np.ndarray
    rotations: np.ndarray


class MocapMotion:
    """All clips of a folder in the order of their names, with rests between. Implements ``motion.Motion``.

    The person stands three metres before the rig and faces it at first. A looping clip is repeated on the spot, as on
    a treadmill. During a rest, one pose passes into the next. The IMU is worn on the right wrist (x along the forearm
    to the elbow, z out of the back of the hand) or on the front of the right thigh. Radar and camera see capsules
    around the bones. With a ``setting``, somebody else plays the clips: larger or smaller, faster or slower, elsewhere,
    and facing elsewhere at first.

    Args:
        folder: holds ``.bvh`` files, or DeepMimic's ``.txt`` and ``.json``, all of one skeleton.
        seed: seed of the sensors' noise and, with a setting, of who plays the clips and of the room.
        camera: a RealSense D435 at 480x270 when absent.
        setting: the rig's setting, in place of ``camera``.

    Raises:
        SensorNotFound: the folder is missing, or holds no clips or clips of different skeletons.
    """

    imu_places: Tuple[str, ...] = ("wrist", "thigh")
    imu_rate_hz = 100.0
    radar_rate_hz = 20.0

    def __init__(
        self, folder: Path, seed: int = 0, camera: Camera | None = None, setting: Setting | None = None
    ) -> None:
        self._setting = setting or Setting(camera or CAMERA)
        self.camera = self._setting.camera
        player, room = _drawn(seed, setting) if setting else (_Player(), _ROOM)
        clips = [_by(player, clip) for clip in read_clips(folder)]
        strangers = same_joints(clips)
        if strangers:
            raise SensorNotFound(
                f"{folder}: {', '.join(strangers)} have other joints than {clips[0].name}; use clips of one skeleton"
            )
        self._seed = seed
        bones, radii = flesh(clips[0].skeleton)
        self._flesh = Flesh(bones, player.size * radii)
        places = {place: worn(clips[0].skeleton, place, along_m=self._setting.along_m) for place in self.imu_places}
        if setting:  # not otherwise: even a turn by nothing changes the last digits
            places["wrist"] = places["wrist"]._replace(axes=places["wrist"].axes * setting.wrist)
        self._imus = {
            place: WornImu(partial(self._path, imu), _FIELD_UT, InertialSensor(2 * seed + number))
            for number, (place, imu) in enumerate(places.items())
        }
        self._starts: List[ActivityStart] = []
        self._lay_out([_stretched(clip, self._lowest(clip), player) for clip in clips])
        self._eye = DepthCamera(
            self.camera, self._setting.height_m, room, [], seed, self._setting.down, self._setting.grain
        )

    def imu(self, times_s: np.ndarray, place: str = "wrist") -> np.ndarray:
        """Returns (n, 9): specific force in m/s², angular rate in rad/s, magnetic field in µT."""
        return self._imus[place].measure(times_s)

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (height, width) uint16 in steps of ``camera.depth_scale_m``; 0 where nothing is measured."""
        return next(self.depths(np.array([time_s])))

    def depths(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """Yields ``depth`` for each time."""
        for time_s, capsules in zip(times_s, self._capsules(times_s)):
            yield self._eye.image(capsules, self._flesh.radii, noise_at(self._seed, 31, time_s))

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32: x, y, z (m), radial speed (m/s), SNR (dB)."""
        return next(self.radars(np.array([time_s])))

    def radars(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """Yields ``radar`` for each time."""
        step = 0.01
        around = (times_s[:, None] + np.array([-step, 0.0, step])).ravel()
        capsules = (self._capsules(around) - (0, 0, self._setting.height_m)) @ self._setting.down.T
        for time_s, (before, now, after) in zip(times_s, capsules.reshape(len(times_s), 3, -1, 2, 3)):
            yield detect(now, (after - before) / (2 * step), self._flesh.radii, noise_at(self._seed, 41, time_s))

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every clip and rest that starts before ``until_s``, oldest first."""
        return [start for start in self._starts if start.start_s < until_s]

    def _lowest(self, clip: Clip) -> float:
        """The lowest point of a clip's body, to set it on the floor."""
        return float((clip.positions[:, self._flesh.bones, 2] - self._flesh.radii[:, None]).min())

    def _lay_out(self, stretches: List[_Stretch]) -> None:
        """Puts the clips on one time grid. A pose is held before and after them, and blended in between."""
        pause = round(_REST_S * _GRID_HZ)
        share = np.linspace(0, 1, pause + 2)[1:-1]
        share = share**3 * (10 + share * (6 * share - 15))
        pieces: List[Tuple[np.ndarray, np.ndarray]] = []
        frames = 0

        def add(name: str, positions: np.ndarray, rotations: np.ndarray) -> None:
            nonlocal frames
            self._starts.append(ActivityStart(frames / _GRID_HZ, name))
            pieces.append((positions, rotations))
            frames += len(positions)

        first, last = stretches[0], stretches[-1]
        add(NONE, np.repeat(first.positions[:1], pause, axis=0), np.repeat(first.rotations[:1], pause, axis=0))
        for number, stretch in enumerate(stretches):
            add(stretch.name, stretch.positions, stretch.rotations)
            if stretch is not last:
                after = stretches[number + 1]
                way = share[:, None, None]
                between = (1 - way) * stretch.positions[-1] + way * after.positions[0]
                add(NONE, between, _turned(stretch.rotations[-1], after.rotations[0], share))
        add(NONE, np.repeat(last.positions[-1:], pause, axis=0), np.repeat(last.rotations[-1:], pause, axis=0))
        self.duration_s = (frames - 1) / _GRID_HZ
        self._times_s = np.arange(frames) / _GRID_HZ
        self._rotations = np.concatenate([rotations for _, rotations in pieces])
        self._positions = CubicSpline(self._times_s, np.concatenate([positions for positions, _ in pieces]))

    def _capsules(self, times_s: np.ndarray) -> np.ndarray:
        return self._positions(times_s.clip(0, self.duration_s))[:, self._flesh.bones]

    def _path(self, imu: Worn, times_s: np.ndarray) -> tuple[np.ndarray, Rotation]:
        """Positions (n, 3) of an IMU at rising times, and its rotations to the room's axes."""
        held_s = times_s.clip(0, self.duration_s)
        around = slice(max(0, int(held_s[0] * _GRID_HZ) - 4), min(len(self._times_s), int(held_s[-1] * _GRID_HZ) + 6))
        bone = RotationSpline(self._times_s[around], Rotation.from_quat(self._rotations[around, imu.joint]))(held_s)
        return self._positions(held_s)[:, imu.joint] + bone.apply(imu.place_m), bone * imu.axes


def read_clips(folder: Path) -> List[Clip]:
    """Reads all clips of a folder, in the order of their names.

    Raises:
        SensorNotFound: the folder is missing, holds no clips, or holds one that cannot be read.
    """
    readers = {".bvh": read_bvh, ".txt": read_deepmimic, ".json": read_deepmimic}
    if not folder.is_dir():
        raise SensorNotFound(f"{folder}: no such folder. Name one with .bvh files, or with DeepMimic's .txt or .json.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in readers)
    if not files:
        raise SensorNotFound(f"{folder} holds no motion: neither .bvh files nor DeepMimic's .txt or .json.")
    return [readers[path.suffix.lower()](path) for path in files]


def _drawn(seed: int, setting: Setting) -> Tuple[_Player, Optional[Box]]:
    """Draws who plays the clips in a setting, and the room, bare but for its walls."""
    rng = np.random.default_rng((seed, 51))
    x, y, turn = rng.uniform(-0.3, 0.3), rng.uniform(2.3, 3.3), rng.normal(0, setting.facing)
    player = _Player(rng.uniform(0.9, 1.15), rng.uniform(0.85, 1.15), (x, y), turn)
    room, _ = furnish(rng, Place(x, y, np.pi), 0.45)
    return player, room if setting.room else None


def _by(player: _Player, clip: Clip) -> Clip:
    """A clip in a player's size and at their pace."""
    skeleton = clip.skeleton._replace(offsets=player.size * clip.skeleton.offsets)
    return clip._replace(skeleton=skeleton, positions=player.size * clip.positions, frame_s=clip.frame_s / player.pace)


def _stretched(clip: Clip, floor_m: float, player: _Player) -> _Stretch:
    """A clip on the grid, on the floor where the player stands, turned from the rig, and repeated if it loops."""
    seconds = (len(clip.positions) - 1) * clip.frame_s
    repeats = max(1, int(np.ceil(_LOOPED_S / seconds))) if clip.loops else 1
    positions, rotations = clip.positions, clip.rotations
    if repeats > 1:
        positions, rotations = _closed(positions, rotations)
        positions = np.concatenate([positions, *[positions[1:]] * (repeats - 1)])
        rotations = np.concatenate([rotations, *[rotations[1:]] * (repeats - 1)])
    facing = Rotation.from_euler("z", _turn_to_rig(clip) + player.turn)
    middle = (positions[:, 0].min(axis=0) + positions[:, 0].max(axis=0)) / 2 * (1, 1, 0)
    positions = facing.apply((positions - middle).reshape(-1, 3)).reshape(positions.shape)
    positions += (*player.place_m, -floor_m)
    shape = rotations.shape
    rotations = (facing * Rotation.from_quat(rotations.reshape(-1, 4))).as_quat().reshape(shape)
    times_s = np.arange(len(positions)) * clip.frame_s
    grid_s = np.arange(0, times_s[-1], 1 / _GRID_HZ)
    turned = np.stack(
        [Slerp(times_s, Rotation.from_quat(rotations[:, joint]))(grid_s).as_quat() for joint in range(shape[1])], axis=1
    )
    return _Stretch(clip.name, CubicSpline(times_s, positions)(grid_s), turned)


def _closed(positions: np.ndarray, rotations: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """A clip that ends exactly as it begins, on the spot. The difference is spread over the whole clip."""
    way = np.linspace(0, 1, len(positions))
    positions = positions - way[:, None, None] * (positions[-1] - positions[0])
    missing = (Rotation.from_quat(rotations[-1]).inv() * Rotation.from_quat(rotations[0])).as_rotvec()
    closed = [
        (Rotation.from_quat(pose) * Rotation.from_rotvec(part * missing)).as_quat()
        for part, pose in zip(way, rotations)
    ]
    return positions, np.stack(closed)


def _turn_to_rig(clip: Clip) -> float:
    """The angle about z that makes a clip's first pose face the rig, which is in the direction -y."""
    sides = {side: spot for side in (LEFT, RIGHT) for spot in [worn(clip.skeleton, "thigh", side)]}
    across = clip.positions[0, sides[LEFT].joint] - clip.positions[0, sides[RIGHT].joint]
    return float(-np.arctan2(across[1], across[0])) if np.linalg.norm(across[:2]) > 1e-6 else 0.0


def _turned(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolates between two sets of joint rotations (joints, 4): (len(share), joints, 4)."""
    first = Rotation.from_quat(start)
    way = (first.inv() * Rotation.from_quat(end)).as_rotvec()
    return np.stack([(first * Rotation.from_rotvec(part * way)).as_quat() for part in share])
