"""RadHAR: five activities in front of a TI IWR1443 radar, in recordings of 20 s of point clouds as echoed by ROS.

Singh, Sandha, Garcia, Srivastava, "RadHAR: Human Activity Recognition from Point Clouds Generated through a
Millimeter-wave Radar", mmNets 2019.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from pathlib import Path, PurePath, PurePosixPath
from typing import Collection, Iterator, Optional

import numpy as np
from rich.progress import track

from cosmo_runtime.models.features import radar_features
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.sensors.data_files import is_lfs_pointer, refuse_implausible
from cosmo_runtime.training.datasets.store import DataSetError, data_set_errors, decoded_once
from cosmo_runtime.training.windows import Windows

RATE_HZ = 30
CLASSES = ("boxing", "jumping jacks", "jumping", "squats", "walking")

_FOLDERS = {"boxing": 0, "jack": 1, "jump": 2, "squats": 3, "walk": 4}
_FIELDS = ("point_id", "x", "y", "z", "velocity", "intensity")
# Small numbers are padded with blanks, so any number of blanks may precede a value.
_VALUES = {field: re.compile(rf"\n{field}:[ ]*(\S+)".encode()) for field in _FIELDS}


def radhar_spec(stride_s: float = 1.0) -> ModelSpec:
    """Windows of the radar alone, 2 s long: 60 frames of 32 points, one window every ``stride_s``."""
    return ModelSpec(
        modalities=(ModalitySpec(sensor="radar", rate_hz=RATE_HZ, shape=(32, 5)),),
        window_s=2.0,
        hop_s=stride_s,
        classes=CLASSES,
        quality=(1.0,),
    )


def windows(path: Path, spec: ModelSpec, cache: Path, recordings: Optional[Collection[str]] = None) -> Windows:
    """Windows of every recording from its start. The rest at its end is too short for a window.

    A new frame starts where the points' numbers stop rising. Frames are taken to be 30 a second apart; their stamps are
    those of their arrival in bursts, and less precise. RadHAR has x ahead, y to the left and z up, as ROS does. Here a
    point is x = -y, y = x, z, the radial speed (positive: receding), and, instead of the signal to noise ratio,
    ``intensity``, the received power in dB.

    Args:
        path: the archive (``.tar.xz``), or a folder whose subfolders, named after the activities, hold the text files.
        spec: a spec with ``radar`` alone, at 30 Hz. Its ``hop_s`` is the stride, its classes are ``CLASSES``.
        cache: the folder for decoded windows.
        recordings: their names (``Train/walk/___walk_20_3``); all if None.

    Returns:
        All windows, labelled. The people are not known, so ``groups`` are ``recordings``, the files' names from two
            folders up: hold out whole recordings.

    Raises:
        DataSetError: the archive or folder is missing, or a file is broken.
    """
    path = Path(path).resolve()
    key = (str(path), spec, recordings if recordings is None else sorted(recordings))
    return decoded_once(cache, "radhar", key, lambda: _decode(path, spec, recordings))


def _decode(path: Path, spec: ModelSpec, wanted: Optional[Collection[str]]) -> Windows:
    (radar, *others) = spec.modalities
    if others or radar.sensor != "radar" or radar.rate_hz != RATE_HZ:
        raise DataSetError(f"RadHAR has a radar alone, at {RATE_HZ} Hz, not {spec.modalities!r}")
    read: dict[str, np.ndarray] = {}
    for name, text in track(_texts(path), "RadHAR", total=None):
        if wanted is None or name in wanted:
            read[name] = radar_features(_frames(text, f"{path}: {name}.txt"), radar.shape[0])
    absent = sorted(set(wanted or ()) - set(read))
    if absent or not read:
        raise DataSetError(
            f"{path}: no recording{' ' * bool(absent)}{', '.join(absent)}. Give RadHAR's archive, or the folder with "
            f"{', '.join(_FOLDERS)} in it."
        )
    steps, stride = spec.steps(radar), round(spec.hop_s * RATE_HZ)
    if max(map(len, read.values())) < steps:
        raise DataSetError(f"{path}: no recording is as long as a window of {spec.window_s:g} s. Give longer ones.")
    features, labels, names = [], [], []
    for name, frames in sorted(read.items()):
        starts = range(0, len(frames) - steps + 1, stride)
        features += [{"radar": frames[start : start + steps]} for start in starts]
        labels += [spec.classes.index(CLASSES[_FOLDERS[PurePosixPath(name).parent.name]])] * len(starts)
        names += [name] * len(starts)
    return Windows.stack(spec, features, np.ones((len(names), 1), bool), labels, names, names)


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each text file in an archive or a folder."""
    try:
        if path.is_dir():
            for file in path.rglob("*.txt"):
                if _is_recording(file):
                    yield _name(file.as_posix()), file.read_bytes()
            return
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content and _is_recording(PurePosixPath(member.name)):
                    yield _name(member.name), content.read()
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file or folder. Give RadHAR's archive or the folder unpacked.") from None
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        if path.is_file() and is_lfs_pointer(_beginning(path)):
            raise DataSetError(f"{path} is a pointer of Git LFS, not the file itself. Run `git lfs pull`.") from None
        what = "cannot be read" if path.is_dir() else "not a whole archive"
        raise DataSetError(f"{path}: {what} ({error}). Fetch the data set again.") from error


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _is_recording(file: PurePath) -> bool:
    """Whether this is a text file in an activity's folder, and not one that macOS adds (``._name.txt``)."""
    return file.suffix == ".txt" and file.parent.name in _FOLDERS and not file.name.startswith(".")


def _name(path: str) -> str:
    return PurePosixPath(*PurePosixPath(path).with_suffix("").parts[-3:]).as_posix()


def _frames(text: bytes, source: str) -> list[np.ndarray]:
    """The frames (n, 5) of a recording."""
    if is_lfs_pointer(text):
        raise DataSetError(f"{source} is a pointer of Git LFS, not the file itself. Run `git lfs pull` in its folder.")
    values = {field: pattern.findall(b"\n" + text) for field, pattern in _VALUES.items()}
    counts = {field: len(found) for field, found in values.items()}
    if len(set(counts.values())) != 1 or not counts["x"]:
        raise DataSetError(f"{source} is cut or no recording: it has {counts}. Fetch the data set again.")
    try:
        number, x, y, z, speed, power = (np.array(values[field], np.float64) for field in _FIELDS)
    except ValueError as error:
        raise DataSetError(f"{source} is broken: {error}. Fetch the data set again.") from error
    points = np.stack([-y, x, z, speed, power], axis=1).astype(np.float32)
    if not (np.isfinite(number).all() and np.isfinite(points).all()):
        raise DataSetError(f"{source}: some of its numbers are not finite. Fetch the data set again.")
    with data_set_errors():
        refuse_implausible(source, "its positions", points[:, :3], -50, 50, "metres")
        refuse_implausible(source, "its radial speeds", points[:, 3], -50, 50, "m/s")
        refuse_implausible(source, "its intensities", points[:, 4], -100, 200, "dB")
    starts = np.flatnonzero(np.diff(number) <= 0) + 1
    if not len(starts):
        raise DataSetError(f"{source} is cut: it holds one frame alone. Fetch the data set again.")
    return np.split(points, starts)
