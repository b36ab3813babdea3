"""Windows of everyday activities: real people of UTD-MHAD, simulated ones for what UTD-MHAD lacks, and empty rooms.

Motion capture can teach, too: real movements, of which emulated sensors see somebody else each time.

UTD-MHAD's inertial sensor is on the right wrist in actions 1 to 21, and on the right thigh in 22 to 27. It counts as
absent in the latter, because no rig wears it there. Its depth images have no background, so some are put into simulated
rooms. Simulated people wear the sensor in any orientation, in rooms with any camera (``any_setting``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Iterable, NamedTuple, Optional, Sequence, Union

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.models.features import depth_features, radar_features
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion, read_clips
from cosmo_runtime.sensors.simulation.motion import Camera
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.setting import acted_setting, any_setting
from cosmo_runtime.sensors.simulation.takes import REST, Takes
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, UtdMotion
from cosmo_runtime.training.datasets.motion import person_spec, utd_streams
from cosmo_runtime.training.datasets.store import DataSetError, decoded_once, in_parallel
from cosmo_runtime.training.datasets.stream import Activity, at_middle
from cosmo_runtime.training.windows import UNLABELLED, Windows

CLASSES = (
    "still", "walk", "run on the spot", "sit down", "stand up", "squat", "bend", "jump", "wave", "clap", "punch",
    "fall", "get up", NONE,
)  # fmt: skip
LIKE_NAMED = {
    "wave": "wave",
    "clap": "clap",
    "boxing": "punch",
    "jog": "run on the spot",
    "walk": "walk",
    "sit to stand": "stand up",
    "stand to sit": "sit down",
    "squat": "squat",
}
"""UTD-MHAD's actions that have a name here. All others are ``none``."""
LIKE_CAPTURED = {
    "walk": "walk",
    "stealthy walk": "walk",
    "zombie walk": "walk",
    "jog": "run on the spot",
    "run": "run on the spot",
    "jump": "jump",
    "punch": "punch",
    "getup facedown": "get up",
    "getup faceup": "get up",
}
"""DeepMimic's clips that have a name here. All others are ``none``. Those that loop are played on the spot."""
WRIST_ACTIONS = ("wave", "clap", "punch")
"""Those of them with the sensor on the wrist."""

_IMU, _DEPTH, _RADAR = range(3)
_FIRST_PERSON = 10_000  # groups of simulated people, above UTD-MHAD's subjects
_SETTLED_S = 3.0  # a person who sat down at least this long ago is still
_AROUND_MIDDLE_NS = 350_000_000


class Variety(NamedTuple):
    """What varies between simulated people, besides body, style and furniture; see ``any_setting``."""

    camera: bool = True
    rotation: bool = True
    room: bool = True
    brisk: bool = True


EVERYTHING = Variety()


def everyday_spec() -> ModelSpec:
    """The spec of a rig with ``imu`` (on a wrist), ``depth`` and ``radar``.

    It has half as many images and radar frames as the simulated person's spec: equally good, at half the work for a
    small device.
    """
    imu, depth, radar = person_spec().modalities
    slower = (
        imu,
        depth.model_copy(update={"rate_hz": 5.0}),
        radar.model_copy(update={"rate_hz": 10.0, "shape": (24, 5)}),
    )
    return person_spec().model_copy(update={"classes": CLASSES, "modalities": slower})


def real_people(folder: Path, subjects: Iterable[int], cache: Path, thigh: bool = False) -> Windows:
    """Streams of UTD-MHAD, labelled with the activity at a window's middle. Rests have no label.

    Args:
        folder: the data set's folder.
        subjects: the subjects' numbers.
        cache: the cache of decoded windows.
        thigh: whether to give the thigh's signal as the wrist's, as if somebody wore the sensor in the wrong place.

    Returns:
        ``recordings`` are the names of the actions, ``none`` for a rest.
    """
    names = (*ACTIVITIES.values(), NONE)
    subjects = list(subjects)
    windows = utd_streams(folder, subjects, everyday_spec().model_copy(update={"classes": names}), cache)
    label = [CLASSES.index(LIKE_NAMED.get(name, NONE)) for name in names[:-1]] + [UNLABELLED]
    presence = windows.presence.copy()
    if not thigh:
        presence[np.concatenate([_on_the_thigh(folder, subject, windows) for subject in subjects]), _IMU] = False
    return replace(
        windows,
        presence=presence,
        labels=np.array(label)[windows.labels],
        recordings=np.array(names)[windows.labels],
    )


def _on_the_thigh(folder: Path, subject: int, windows: Windows) -> np.ndarray:
    """Which windows of a subject's stream contain samples from the thigh."""
    spec = everyday_spec()
    ends_s = spec.window_s + spec.hop_s * np.arange((windows.groups == subject).sum())
    thigh = [trial for trial in UtdMotion(folder, [subject]).trials if trial.place == "thigh"]
    touched = [(ends_s > trial.start_s) & (ends_s - spec.window_s < trial.end_s) for trial in thigh]
    return np.any(touched, axis=0)


def simulated(seeds: Sequence[int], seconds: float, cache: Path, variety: Variety = EVERYTHING) -> Windows:
    """Simulated people, each in another setting. A window has the label of its middle unless that activity is brief."""
    make = partial(_person, seconds, cache, variety)
    return Windows.concatenate(in_parallel(make, list(seeds), "simulated people"))


def _person(seconds: float, cache: Path, variety: Variety, seed: int) -> Windows:
    return decoded_once(
        cache, f"everyday-{seed}", (everyday_spec(), seconds, variety), partial(_seen, seconds, variety, seed)
    )


def acted(seeds: Sequence[int], seconds: float, cache: Path, variety: Variety = EVERYTHING) -> Windows:
    """Simulated people who act on request, as data sets record them, labelled as ``real_people`` are."""
    make = partial(_actor, seconds, cache, variety._replace(brisk=True))
    return Windows.concatenate(in_parallel(make, list(seeds), "simulated people who act"))


def _actor(seconds: float, cache: Path, variety: Variety, seed: int) -> Windows:
    return decoded_once(
        cache, f"everyday-acted-{seed}", (everyday_spec(), seconds, variety), partial(_acts, seconds, variety, seed)
    )


def captured(folder: Path, seeds: Sequence[int], cache: Path, variety: Variety = EVERYTHING) -> Windows:
    """Motion capture as somebody else plays it in each setting, at home and as in a data set by turns.

    A window has the label of the clip at its middle. Rests between clips have none.

    Raises:
        SensorNotFound: the folder is missing, or its clips cannot be read.
        DataSetError: none of its clips has one of the names that ``LIKE_CAPTURED`` knows.
    """
    if not LIKE_CAPTURED.keys() & {clip.name for clip in read_clips(folder)}:
        raise DataSetError(f"{folder}: no clip is called {', '.join(LIKE_CAPTURED)}; use DeepMimic's clips")
    return Windows.concatenate(in_parallel(partial(_player, folder, cache, variety), list(seeds), "motion capture"))


def _player(folder: Path, cache: Path, variety: Variety, seed: int) -> Windows:
    states = ((path, path.stat()) for path in sorted(folder.resolve().iterdir()))
    clips = [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
    key = everyday_spec(), clips, variety._replace(brisk=True)
    return decoded_once(cache, f"everyday-captured-{seed}", key, partial(_plays, folder, variety, seed))


def _seen(seconds: float, variety: Variety, seed: int) -> Windows:
    """One person's windows."""
    person = SimulatedPerson(seed, setting=any_setting(seed, **variety._asdict()))
    return _windows(person, person.camera, seconds, _activity, seed)


def _acts(seconds: float, variety: Variety, seed: int) -> Windows:
    """The windows of one person who acts."""
    setting = acted_setting(seed, variety.camera, variety.rotation, variety.room)
    takes = Takes(SimulatedPerson(seed, setting=setting), seconds, seed)
    return _windows(takes, setting.camera, seconds, _act, seed)


def _plays(folder: Path, variety: Variety, seed: int) -> Windows:
    """The windows of one who plays the clips of a folder."""
    draw = acted_setting if seed % 2 else any_setting
    motion = MocapMotion(folder, seed, setting=draw(seed, variety.camera, variety.rotation, variety.room))
    return _windows(motion, motion.camera, motion.duration_s, _clip, seed)


def _windows(
    motion: Union[SimulatedPerson, Takes, MocapMotion], camera: Camera, seconds: float, activity: Activity, seed: int
) -> Windows:
    """A person's windows. Each sensor is read at exactly the times of the windows' grid."""
    spec = everyday_spec()
    truths = TruthLine()
    for start in motion.activities(seconds):
        truths.add(Truth(round(start.start_s * 1e9), start.activity))
    times_s = {m.sensor: np.arange(1, int(seconds * m.rate_hz) + 1) / m.rate_hz for m in spec.modalities}
    shape = {m.sensor: m.shape for m in spec.modalities}
    scale_m = camera.depth_scale_m
    rows, columns = shape["depth"]
    whole = {
        "imu": motion.imu(times_s["imu"])[:, : shape["imu"][0]].astype(np.float32),
        "depth": np.concatenate(
            [
                depth_features(_gated(image, scale_m)[None], (rows, columns), scale_m)
                for image in motion.depths(times_s["depth"])
            ]
        ),
        "radar": radar_features(list(motion.radars(times_s["radar"])), shape["radar"][0]),
    }
    ends_s = np.arange(spec.window_s, seconds + 1e-9, spec.hop_s)
    features = [
        {
            m.sensor: whole[m.sensor][round((end_s - spec.window_s) * m.rate_hz) :][: spec.steps(m)]
            for m in spec.modalities
        }
        for end_s in ends_s
    ]
    names = [activity(truths, round(end_s * 1e9) - spec.window_ns, round(end_s * 1e9)) for end_s in ends_s]
    labels = [CLASSES.index(name) if name else UNLABELLED for name in names]
    n = len(labels)
    return Windows.stack(
        spec, features, np.ones((n, 3), bool), labels, [_FIRST_PERSON + seed] * n, [f"person {seed}"] * n
    )


def _gated(image: np.ndarray, scale_m: float) -> np.ndarray:
    """Applies the gate of the depth driver to an image: removes what is too near or too far."""
    gate = DepthConfig()
    return np.where((image >= gate.min_m / scale_m) & (image <= gate.max_m / scale_m), image, 0).astype(image.dtype)


def _activity(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    middle_ns = (start_ns + end_ns) // 2
    name = truths.throughout(middle_ns - _AROUND_MIDDLE_NS, middle_ns + _AROUND_MIDDLE_NS)
    seated = name == "sit down" and truths.at(middle_ns - round(_SETTLED_S * 1e9)) == "sit down"
    return "still" if seated or name == "stand still" else name


def _act(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    name = at_middle(truths, start_ns, end_ns)
    return None if name == REST else name


def _clip(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    name = at_middle(truths, start_ns, end_ns)
    return None if name == NONE else LIKE_CAPTURED.get(name or "", NONE)


def empty_rooms(seeds: Sequence[int], cache: Path) -> Windows:
    """A window of each room without a person: depth, a radar with false alarms only, a sensor on a table."""
    return Windows.concatenate(
        [decoded_once(cache, f"room-{seed}", everyday_spec(), partial(_room, seed)) for seed in seeds]
    )


def _room(seed: int) -> Windows:
    spec = everyday_spec()
    setting = any_setting(seed)._replace(room=True)
    person = SimulatedPerson(seed, setting=setting)
    rng = np.random.default_rng((seed, 71))
    depth = spec.modalities[_DEPTH]
    scale_m = setting.camera.depth_scale_m
    images = np.stack([_gated(person.empty_room(step / depth.rate_hz), scale_m) for step in range(spec.steps(depth))])
    features = {
        "imu": lying(spec, rng),
        "depth": depth_features(images, (depth.shape[0], depth.shape[1]), scale_m),
        "radar": nothing_moves(spec, rng),
    }
    return Windows.stack(
        spec, [features], [[True] * 3], [CLASSES.index(NONE)], [_FIRST_PERSON + seed], [f"room {seed}"]
    )


def lying(spec: ModelSpec, rng: np.random.Generator) -> np.ndarray:
    """Samples of an inertial sensor that lies on a table: (steps, 6)."""
    steps = spec.steps(spec.modalities[_IMU])
    up = Rotation.random(random_state=int(rng.integers(1 << 31))).apply([0, 0, GRAVITY])
    noise = rng.uniform(0.2, 2) * np.repeat([0.03, 0.004], 3) * rng.normal(size=(steps, 6))
    bias = np.repeat([0.06, 0.006], 3) * rng.normal(size=6)
    return (np.concatenate([up, np.zeros(3)]) + bias + noise).astype(np.float32)


def nothing_moves(spec: ModelSpec, rng: np.random.Generator) -> np.ndarray:
    """Radar detections where nothing moves: a false alarm now and then, (steps, points, 5)."""
    radar = spec.modalities[_RADAR]
    points = np.zeros((spec.steps(radar), *radar.shape), np.float32)
    for step in np.flatnonzero(rng.random(len(points)) < rng.choice([0.0, 0.15])):
        away, azimuth = rng.uniform(0.5, 6.0), rng.uniform(-1, 1)
        speed = rng.choice([-1, 1]) * rng.uniform(0.1, 5.0)
        points[step, 0] = away * np.sin(azimuth), away * np.cos(azimuth), rng.uniform(-1, 1), speed, rng.uniform(13, 16)
    return points


def in_rooms(windows: Windows, rooms: Windows, seed: int, share: float = 0.5) -> Windows:
    """Puts a share of windows whose depth has no background into rooms. The nearer surface is seen."""
    rng = np.random.default_rng((seed, 81))
    depth = np.array(windows.features["depth"])
    bare = (depth.reshape(len(depth), -1) == 0).mean(axis=1) > 0.5
    for i in np.flatnonzero(bare & (rng.random(len(depth)) < share)):
        room = np.asarray(rooms.features["depth"][rng.integers(len(rooms))], np.float32)
        person = depth[i].astype(np.float32)
        behind = room[:, :, ::-1] if rng.random() < 0.5 else room
        person[person == 0] = np.inf
        seen = np.minimum(person, np.where(behind > 0, behind, np.inf))
        depth[i] = np.where(np.isinf(seen), 0, seen)
    return replace(windows, features={**windows.features, "depth": depth})


def misplaced(folder: Path, subjects: Sequence[int], cache: Path) -> Windows:
    """The thigh's signal alone at the wrist's input, as ``none``: a misplaced sensor must not name an activity."""
    worn, wrongly = (real_people(folder, subjects, cache, thigh=thigh) for thigh in (False, True))
    thigh = wrongly.where(~worn.presence[:, _IMU])
    only_imu = np.array([[True, False, False]] * len(thigh))
    return replace(thigh, presence=only_imu, labels=np.full(len(thigh), CLASSES.index(NONE)))


def calibrated(people: Windows, real: Windows) -> Windows:
    """Simulated people whose wrist signals are as strong as real ones, by the wrist actions of both."""
    wrist = [CLASSES.index(action) for action in WRIST_ACTIONS]
    had, wanted = (w.features["imu"][np.isin(w.labels, wrist)] for w in (people, real))
    if not (len(had) and len(wanted)):
        names = ", ".join(WRIST_ACTIONS)
        raise DataSetError(f"nobody shows {names}, so wrist signals cannot be calibrated; use --fixed calibration")
    return replace(people, features={**people.features, "imu": as_strong(people.features["imu"], had, wanted)})


def as_strong(imu: np.ndarray, had: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Maps the magnitudes of acceleration and of angular rate, quantile by quantile.

    Args:
        imu: (N, steps, 6), the samples to change.
        had, wanted: (n, steps, 6), samples that define the quantiles before and after.

    Returns:
        (N, steps, 6).
    """
    imu = np.array(imu)
    ranks = np.linspace(0, 1, 201)
    for half in (slice(0, 3), slice(3, 6)):
        before, after = (np.quantile(np.linalg.norm(w[..., half], axis=-1), ranks) for w in (had, wanted))
        magnitude = np.linalg.norm(imu[..., half], axis=-1, keepdims=True)
        mapped = np.interp(magnitude, before, after) + np.maximum(magnitude - before[-1], 0)  # goes on beyond the range
        imu[..., half] *= mapped / magnitude.clip(1e-6)
    return imu
