"""Windows on disk: decoded once, then memory-mapped, so that a data set may exceed the memory.

A folder holds plain ``.npy`` files, one for each modality and each column, and ``windows.json``. Nothing is pickled. It
is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Sequence, TypeVar

import numpy as np
from rich.progress import track

from cosmo_runtime.models.folders import whole_folder
from cosmo_runtime.runtime.retention.cached_windows import MANIFEST, RECORDING, RecordingFile, note
from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.training.windows import Windows

_log = logging.getLogger(__name__)

_CODE = (
    "kinds.py",
    "names.py",
    "sensors",
    "models/features.py",
    "models/kinds.py",
    "models/spec.py",
    "runtime/labels/truth.py",
    "runtime/sources/replay.py",
    "runtime/windows",
    "training/datasets",
    "training/windows.py",
)
"""What makes windows and their labels, below the top folder."""
_COLUMNS = ("presence", "labels", "groups", "recordings")
_VERSIONS = 3  # of the code, whose windows of the same data are kept: checkouts may share a cache
_PROCESSES = 2

Item = TypeVar("Item")
Made = TypeVar("Made")


class DataSetError(Exception):
    """Data is missing or broken. The message names the file or folder, what was wrong and what to do."""


@contextmanager
def data_set_errors() -> Iterator[None]:
    """Turns what readers in ``sensors`` raise about a data set's files into ``DataSetError``, with the same message."""
    try:
        yield
    except SensorNotFound as error:
        raise DataSetError(str(error)) from error


def decoded_once(
    cache: Path, name: str, key: object, make: Callable[[], Windows], recording: Optional[RecordingFile] = None
) -> Windows:
    """The windows that ``make`` returns. They are made on the first call, and memory-mapped afterwards.

    The cache only saves time. If it is damaged, the windows are made again; if it cannot be written, they are not
    stored. Each version of the code has windows of its own. Those of the versions that were used last are kept.

    Args:
        cache: the folder of all decoded windows.
        name: the data set's name, for people who look into the cache.
        key: everything that the windows depend on: the data's folder, the spec, the parameters. Keys are compared by
            their ``repr``.
        make: decodes the data.
        recording: the recording of this runtime from which the windows are cut, if any. The manifest names it, so
            that the windows can be deleted with it.

    Raises:
        DataSetError: whatever ``make`` raises.
    """
    text = repr((name, key))
    data = Path(cache) / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    folder = data.with_name(f"{data.name}-{_code()[:16]}")  # before anything is made: files may change meanwhile
    if os.access(folder, os.F_OK):
        try:
            loaded = load(folder)
            with suppress(OSError):  # somebody else's cache
                os.utime(folder)
            return loaded
        except DataSetError as error:
            _log.warning("%s", error)
            shutil.rmtree(folder, ignore_errors=True)
    windows = make()
    try:
        if recording:
            note(cache)  # first, because windows of a recording may only be stored where they can be found again
        save(windows, folder, text, recording)
        _delete_old_versions(data)
        return load(folder)
    except (OSError, DataSetError) as error:
        _log.warning("The windows of %s could not be stored and will be decoded again: %s", name, error)
        return windows


def _delete_old_versions(data: Path) -> None:
    """Deletes the windows of some data that the versions of the code made which were not used for the longest time."""
    with suppress(OSError):  # another process does so, too
        versions = sorted(data.parent.glob(f"{data.name}*"), key=lambda folder: folder.stat().st_mtime_ns)
        for folder in versions[:-_VERSIONS]:
            shutil.rmtree(folder)


def save(windows: Windows, folder: Path, key: str = "", recording: Optional[RecordingFile] = None) -> None:
    """Writes windows to a folder, whole or not at all. An existing folder stays as it is.

    Args:
        windows: the windows to write.
        folder: the folder to create.
        key: everything that they depend on, stored for people.
        recording: the recording of this runtime from which they are cut, if any.
    """
    manifest: dict[str, Any] = {
        "modalities": dict(windows.kinds),
        "windows": len(windows),
        "key": key,
        RECORDING: recording and recording._asdict(),
    }
    arrays = {f"features-{sensor}": array for sensor, array in windows.features.items()}
    arrays.update({column: getattr(windows, column) for column in _COLUMNS})
    with whole_folder(folder, replace=False) as fresh:  # another process may have written the same windows first
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")  # first: it identifies what a kill leaves
        for name, array in arrays.items():
            np.save(fresh / f"{name}.npy", array, allow_pickle=False)
        manifest["sha256"] = {name: _sha256(fresh / f"{name}.npy") for name in arrays}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def load(folder: Path) -> Windows:
    """Windows of a folder, their features memory-mapped.

    Raises:
        DataSetError: the folder is missing or damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, digest in manifest["sha256"].items():
            if _sha256(folder / f"{name}.npy") != digest:
                raise ValueError(f"{name}.npy was changed")
        features = {
            sensor: np.load(folder / f"features-{sensor}.npy", mmap_mode="r", allow_pickle=False)
            for sensor in manifest["modalities"]
        }
        columns = {column: np.load(folder / f"{column}.npy", allow_pickle=False) for column in _COLUMNS}
        return Windows(features=features, kinds=manifest["modalities"], **columns)
    except Exception as error:  # readers raise many kinds of errors on a damaged file
        raise DataSetError(f"{folder}: not a whole folder of windows ({error}). Delete it; it is remade.") from error


def in_parallel(make: Callable[[Item], Made], items: Sequence[Item], description: str) -> list[Made]:
    """Calls a function on each item in two processes, in order, and shows the progress.

    Raises:
        DataSetError: one of the processes was killed, or ``make`` raised it.
    """
    try:
        with ProcessPoolExecutor(_PROCESSES) as pool:
            return list(track(pool.map(make, items, chunksize=1), description, len(items)))
    except BrokenProcessPool as error:
        raise DataSetError(
            f"{description}: a decoding process was killed. Was the memory full? Use less data and try again."
        ) from error


@lru_cache(maxsize=1)
def _code() -> str:
    """A digest of the code that makes windows, so that nobody learns from windows of older code."""
    top = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for part in _CODE:
        for file in sorted((top / part).rglob("*.py")) or [top / part]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for part in iter(partial(file.read, 1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()
