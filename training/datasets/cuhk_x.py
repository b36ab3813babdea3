"""CUHK-X: 40 everyday actions of 30 people at home, with worn IMUs, a depth camera and a mmWave radar.

Jiang et al., "A Large-Scale Multimodal Dataset and Benchmark for Human Action Recognition, Understanding and
Reasoning", arXiv 2512.07136, MobiSys 2026. Its part for small models has one folder for each trial:
``HAR/data/<modality>/<action>/<user>/<trial>``.

The data set is available on request, and this loader has never been run on it. It relies on the authors' own readers
and on other users' notes. Three things are documented nowhere: how the colours of the depth images map to metres, the
unit of the radar's signal to noise ratio, and the mounting of the radar. So depth is a distance along the rainbow in an
unknown unit, and the radar's numbers are used unchanged.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.models.features import depth_features, radar_features
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.sensors.data_files import TO_SI
from cosmo_runtime.sensors.simulation.utd import frame_times
from cosmo_runtime.training.datasets.store import DataSetError, decoded_once, in_parallel
from cosmo_runtime.training.datasets.utd import stretched
from cosmo_runtime.training.windows import Windows

CLASSES = (
    "wash face", "brush teeth", "comb hair", "take off clothes", "wipe hands", "put on clothes", "drink water",
    "eat food", "take tableware", "pour drinks", "stir drinks", "peel fruit", "sweep the floor", "mop the floor",
    "wash dishes", "wipe windows and tables", "fold clothes", "type on a keyboard", "write", "make a phone call",
    "check the time", "read documents", "turn pages", "listen to music", "use a phone", "watch TV", "play games",
    "take a selfie", "jog in place", "squat", "jumping jacks", "stretch", "stand up", "lie down", "sit down", "lunge",
    "walk", "take medicine", "massage oneself", "take body temperature",
)  # fmt: skip
"""The actions 0 to 39. The numbers at the start of the folders' names count, because translated names differ."""

IMUS: Mapping[str, str] = {
    "imu": "WTRA", "left-arm": "WTLA", "chest": "WTC", "right-leg": "WTRL", "left-leg": "WTLL",
}  # fmt: skip
"""By sensor, the start of the names of the five WitMotion devices; ``imu`` is the one on the right arm."""

_ROOTS = ("HAR/data", "data", ".")
_FOLDERS: Mapping[str, tuple[str, ...]] = {"depth": ("Depth_Color", "Depth"), "radar": ("Radar",)}
_TIME, _DEVICE = "时间", "设备名称"
_INERTIAL = tuple(f"{what}{axis}({unit})" for what, unit in (("加速度", "g"), ("角速度", "°/s")) for axis in "XYZ")
_BLUE, _MAGENTA = 170, 212  # of Pillow's 256 hues; beyond magenta they are red again
_PIXELS = 4  # along each side of a block of the features


def cuhk_x_spec() -> ModelSpec:
    """The IMU on the right arm, the depth camera and the radar; a trial is one window of 40, 20 and 20 steps."""
    modalities = (
        ModalitySpec(sensor="imu", rate_hz=10, shape=(6,)),
        ModalitySpec(sensor="depth", rate_hz=5, shape=(30, 40)),
        ModalitySpec(sensor="radar", rate_hz=5, shape=(32, 5)),
    )
    return ModelSpec(modalities=modalities, window_s=4.0, hop_s=4.0, classes=CLASSES, quality=(1 / 3,) * 3)


def trials(folder: Path, spec: ModelSpec, cache: Path) -> Windows:
    """Returns every trial as one window, with each sensor's samples spread evenly over it, however long it lasted.

    A sensor that a trial lacks, or that has fewer than two samples, is absent from the window. Half of the radar's
    files are empty. IMUs are in m/s² and rad/s.

    Args:
        folder: the folder that holds ``HAR/data`` (or ``data``, or the modalities' folders themselves).
        spec: a spec with any of ``IMUS``, ``depth`` and ``radar``, and the classes ``CLASSES``.
        cache: the folder for decoded windows.

    Returns:
        All trials, labelled. ``groups`` are the users' numbers, ``recordings`` are like ``a7_u12_3-1-2``.

    Raises:
        DataSetError: a folder is missing or a file is broken.
    """
    folder = Path(folder).resolve()
    return decoded_once(cache, "cuhk-x", (str(folder), spec), lambda: _decode(folder, spec))


class _Trial(NamedTuple):
    action: int
    user: int
    name: str


def _decode(folder: Path, spec: ModelSpec) -> Windows:
    root = next((folder / root for root in _ROOTS if (folder / root / "IMU").is_dir()), None)
    if root is None:
        raise DataSetError(f"{folder} has no HAR/data/IMU. Unpack all of CUHK-X's part for small models there.")
    found: dict[_Trial, dict[str, Path]] = {}
    for modality in spec.modalities:
        if modality.sensor not in (*IMUS, *_FOLDERS):
            raise DataSetError(f"CUHK-X has {', '.join((*IMUS, *_FOLDERS))} here, not {modality.sensor}")
        for trial, path in _trials(root, _FOLDERS.get(modality.sensor, ("IMU",))):
            found.setdefault(trial, {})[modality.sensor] = path
    made = in_parallel(partial(_window, spec), list(found.values()), "CUHK-X")
    kept = [(trial, features) for trial, features in sorted(zip(found, made), key=lambda pair: pair[0]) if features]
    if not kept:
        raise DataSetError(f"{root} holds no trial. Unpack all of CUHK-X's part for small models there.")
    nothing = {m.sensor: np.zeros((spec.steps(m), *m.shape), np.float32) for m in spec.modalities}
    return Windows.stack(
        spec,
        [{**nothing, **features} for _, features in kept],
        [[sensor in features for sensor in spec.sensors] for _, features in kept],
        [trial.action for trial, _ in kept],
        [trial.user for trial, _ in kept],
        [f"a{trial.action}_u{trial.user}_{trial.name}" for trial, _ in kept],
    )


def _trials(root: Path, folders: Sequence[str]) -> Iterator[tuple[_Trial, Path]]:
    """Every trial of a modality and its folder, without actions beyond the published 40."""
    for folder in folders:
        for path in (root / folder).glob("*/*/*"):
            action, user = re.match(r"\d+", path.parts[-3]), re.fullmatch(r"user(\d+)", path.parts[-2])
            if path.is_dir() and action and user and int(action[0]) < len(CLASSES):
                yield _Trial(int(action[0]), int(user[1]), path.name), path


def _window(spec: ModelSpec, paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The features of the sensors that a trial has."""
    made: dict[str, Optional[np.ndarray]] = {}
    for modality in spec.modalities:
        path, steps = paths.get(modality.sensor), spec.steps(modality)
        if path is None:
            continue
        if modality.sensor == "depth":
            made["depth"] = _depth(path, (modality.shape[0], modality.shape[1]), steps)
        elif modality.sensor == "radar":
            made["radar"] = _radar(path, modality.shape[0], steps)
        else:
            made[modality.sensor] = _imu(path, IMUS[modality.sensor], steps)
    return {sensor: features for sensor, features in made.items() if features is not None}


def _imu(folder: Path, device: str, steps: int) -> Optional[np.ndarray]:
    """One device's samples from all of the trial's files. Their names vary, and their rows are not in order."""
    samples = []
    for file in sorted(folder.glob("*.csv")):
        for row, numbers in _rows(file, _INERTIAL, (_TIME, _DEVICE)):
            if row[_DEVICE].strip().startswith(device):
                samples.append((_when(row[_TIME]), numbers))
    if len(samples) < 2:
        return None
    return stretched(np.array([numbers for _, numbers in sorted(samples)]) * TO_SI, steps)


def _depth(folder: Path, shape: tuple[int, int], steps: int) -> Optional[np.ndarray]:
    """Images in which red to blue become 1 to 5, which keeps their order but says nothing of metres. Black is 0."""
    from PIL import Image  # only with the extra `evaluate`

    rows, columns = shape
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".png", ".jpg"))
    if len(files) < 2:
        return None
    pictures = np.zeros((steps, rows * _PIXELS, columns * _PIXELS), np.uint16)
    for step, nearest in enumerate(frame_times(steps, len(files)).astype(int)):
        try:
            with Image.open(files[nearest]) as image:
                small = image.convert("RGB").resize((columns * _PIXELS, rows * _PIXELS), Image.Resampling.NEAREST)
        except OSError as error:
            raise DataSetError(f"{files[nearest]}: no whole picture ({error}). Fetch the data set again.") from error
        hue, colour, light = np.moveaxis(np.asarray(small.convert("HSV"), np.uint16), 2, 0)
        along = np.where(hue > _MAGENTA, 0, np.minimum(hue, _BLUE)) / _BLUE
        pictures[step] = np.where((colour > 64) & (light > 48), 1000 + 4000 * along, 0)
    return depth_features(pictures, shape, 0.001)


def _radar(folder: Path, points: int, steps: int) -> Optional[np.ndarray]:
    """Radar frames. Those without points are not in the files, but the frame numbers reveal them."""
    frames: dict[int, list[list[float]]] = {}
    count = 0
    for file in sorted(folder.glob("*.csv")):
        rows = [(int(frame), point) for _, (frame, *point) in _rows(file, ("frame", "x", "y", "z", "v", "snr"), ())]
        first = min((frame for frame, _ in rows), default=0)
        for frame, point in rows:
            frames.setdefault(count + frame - first, []).append(point)
        count = max(frames, default=-1) + 1
    if count < 2:
        return None
    nearest = frame_times(steps, count).astype(int).tolist()
    return radar_features([np.reshape(frames.get(frame, []), (-1, 5)) for frame in nearest], points)


def _rows(file: Path, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[tuple[dict[str, str], list[float]]]:
    """The rows of a table, all columns as text and some as numbers. Incomplete rows are left out.

    Raises:
        DataSetError: a column is missing, or no row is complete.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("gb18030", errors="replace")
    lines = list(csv.reader(text.splitlines()))
    head = [name.strip() for name in lines[0]] if lines else []
    missing = [column for column in (*texts, *numbers) if column not in head]
    if missing:
        raise DataSetError(f"{file}: no column {', '.join(missing)}; it has {', '.join(head)}. Fetch it again.")
    whole = 0
    for line in lines[1:]:
        row = dict(zip(head, line))
        try:
            values = [float(row[column]) for column in numbers]
        except (KeyError, ValueError):
            continue
        if len(line) == len(head) and np.isfinite(values).all():
            whole += 1
            yield row, values
    if len(lines) > 1 and not whole:
        raise DataSetError(f"{file}: no row holds numbers in {', '.join(numbers)}. Fetch it again.")


def _when(stamp: str) -> tuple[list[int], str]:
    """Converts a date and time in numbers to something that sorts the same; fractions of a second vary in length."""
    whole, _, part = stamp.strip().partition(".")
    return [int(number) for number in re.findall(r"\d+", whole)], part
