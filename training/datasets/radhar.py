"""RadHAR: five activities in front of a TI IWR1443 radar, each recording 20 s of point clouds as ROS echoed them.

Singh, Sandha, Garcia, Srivastava, "RadHAR: Human Activity Recognition from Point Clouds Generated through a
Millimeter-wave Radar", mmNets 2019.
"""

from __future__ import annotations

import lzma
import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import Collection, Iterator, Optional

import numpy as np
from rich.progress import track

from models.features import radar_features
from models.spec import ModalitySpec, ModelSpec
from training.datasets.store import DataSetError, decoded_once
from training.windows import Windows

RATE_HZ = 30
CLASSES = ("boxing", "jumping jacks", "jumping", "squats", "walking")

_FOLDERS = {"boxing": 0, "jack": 1, "jump": 2, "squats": 3, "walk": 4}
_FIELDS = ("point_id", "x", "y", "z", "velocity", "intensity")
# Small numbers are padded with blanks, so any number of them may stand before a value.
_VALUES = {field: re.compile(rf"\n{field}:[ ]*(\S+)".encode()) for field in _FIELDS}


def radhar_spec(stride_s: float = 1.0) -> ModelSpec:
    """The radar alone in windows of 2 s, 60 frames of 32 points, one every ``stride_s``."""
    return ModelSpec(
        modalities=(ModalitySpec(sensor="radar", rate_hz=RATE_HZ, shape=(32, 5)),),
        window_s=2.0,
        hop_s=stride_s,
        classes=CLASSES,
        quality=(1.0,),
    )


def windows(path: Path, spec: ModelSpec, cache: Path, recordings: Optional[Collection[str]] = None) -> Windows:
    """Windows of every recording from its start on; what is left at its end is too short for one.

    A frame's points are those whose numbers go up. Frames follow one another at 30 a second: their stamps are those of
    their arrival, in bursts, and say less. RadHAR has x ahead, y to the left and z up, as ROS does; here a point is
    x = -y, y = x, z, the radial speed (positive: receding), and in place of the signal to noise ratio ``intensity``,
    the received power in dB.

    Args:
        path: the archive (``.tar.xz``), or a folder with the text files in folders named after the activities.
        spec: ``radar`` alone, at 30 Hz; its ``hop_s`` is the stride, its classes are ``CLASSES``.
        cache: where decoded windows are kept.
        recordings: names (``Train/walk/___walk_20_3``); all when None.

    Returns:
        All labelled. Nothing tells who was recorded, so ``groups`` are ``recordings``, the names of the files from two
        folders above on: hold out whole recordings.

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
    features, labels, names = [], [], []
    for name, frames in sorted(read.items()):
        starts = range(0, len(frames) - steps + 1, stride)
        features += [{"radar": frames[start : start + steps]} for start in starts]
        labels += [spec.classes.index(CLASSES[_FOLDERS[PurePosixPath(name).parent.name]])] * len(starts)
        names += [name] * len(starts)
    return Windows.stack(spec, features, np.ones((len(names), 1), bool), labels, names, names)


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each text file in an archive or a folder."""
    if path.is_dir():
        for file in path.rglob("*.txt"):
            if file.parent.name in _FOLDERS:
                yield _name(file.as_posix()), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content and member.name.endswith(".txt") and PurePosixPath(member.name).parent.name in _FOLDERS:
                    yield _name(member.name), content.read()
    except FileNotFoundError:
        raise DataSetError(f"{path}: no such file or folder. Give RadHAR's archive or the folder unpacked.") from None
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise DataSetError(f"{path}: not a whole archive ({error}). Fetch the data set again.") from error


def _name(path: str) -> str:
    return PurePosixPath(*PurePosixPath(path).with_suffix("").parts[-3:]).as_posix()


def _frames(text: bytes, source: str) -> list[np.ndarray]:
    """Frames (n, 5) of a recording."""
    values = {field: pattern.findall(b"\n" + text) for field, pattern in _VALUES.items()}
    counts = {field: len(found) for field, found in values.items()}
    if len(set(counts.values())) != 1 or not counts["x"]:
        raise DataSetError(f"{source} is cut or no recording: it has {counts}. Fetch the data set again.")
    try:
        number, x, y, z, speed, power = (np.array(values[field], np.float64) for field in _FIELDS)
    except ValueError as error:
        raise DataSetError(f"{source} is broken: {error}. Fetch the data set again.") from error
    points = np.stack([-y, x, z, speed, power], axis=1).astype(np.float32)
    return np.split(points, np.flatnonzero(np.diff(number) <= 0) + 1)
