"""Windows on disk: decoded once, then memory-mapped, so that a data set may be larger than the memory.

A folder of plain ``.npy`` files, one a modality and one a column, and ``windows.json``; nothing in it is pickled. It is
written beside its place and put there in one rename, so what has its name is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Callable, Sequence, TypeVar

import numpy as np
from rich.progress import track

from training.windows import Windows

FORMAT = 1
"""Of the folder and of all that loaders make; raised whenever either changes, so that nobody trains on old windows."""

_MANIFEST = "windows.json"
_COLUMNS = ("presence", "labels", "groups", "recordings")
_PROCESSES = 2

Item = TypeVar("Item")
Made = TypeVar("Made")


class DataSetError(Exception):
    """Data that is missing or broken; the message names the file or folder, what was wrong and what to do."""


def decoded_once(cache: Path, name: str, key: object, make: Callable[[], Windows]) -> Windows:
    """The windows that ``make`` returns, made on the first call and memory-mapped ever after.

    Args:
        cache: folder of all that was decoded.
        name: of the data set, for people who look into the cache.
        key: all that the windows depend on: the data's folder, the spec, the parameters; its ``repr`` tells keys apart.
        make: decodes.

    Raises:
        DataSetError: what was kept is damaged; whatever ``make`` raises.
    """
    text = repr((FORMAT, name, key))
    folder = Path(cache) / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not folder.exists():
        save(make(), folder, text)
    return load(folder)


def forget(cache: Path, recording: Path) -> None:
    """Deletes all windows of a recording (an absolute path) that were kept, whatever they were decoded for.

    The recording may have been moved since: its size and time of change tell it, too. What a killed writer left behind
    goes as well, of whichever recording it is: it can be made anew.

    Raises:
        OSError: they cannot be deleted.
    """
    told = [f"'recording', ({str(recording)!r}, "]
    if recording.exists():
        state = recording.stat()
        told.append(f", {state.st_size}, {state.st_mtime_ns}, ")
    for manifest in Path(cache).glob(f"*recording-*/{_MANIFEST}"):
        try:
            key = json.loads(manifest.read_text())["key"]
        except (ValueError, KeyError, TypeError):
            key = told[0]
        if any(part in key for part in told):
            shutil.rmtree(manifest.parent)


def save(windows: Windows, folder: Path, key: str = "") -> None:
    """Write windows to a folder, whole or not at all; what already stands there stays.

    Args:
        windows: to write.
        folder: to make.
        key: what they depend on, kept for people who wonder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    manifest = {"format": FORMAT, "modalities": list(windows.features), "windows": len(windows), "key": key}
    try:
        (fresh / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")  # first: it tells what a kill leaves
        for sensor, array in windows.features.items():
            np.save(fresh / f"features-{sensor}.npy", array, allow_pickle=False)
        for column in _COLUMNS:
            np.save(fresh / f"{column}.npy", getattr(windows, column), allow_pickle=False)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster, with the same windows
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load(folder: Path) -> Windows:
    """Windows of a folder, their features memory-mapped.

    Raises:
        DataSetError: the folder is not there or damaged.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise ValueError(f"it has format {manifest['format']}, this is {FORMAT}")
        features = {
            sensor: np.load(folder / f"features-{sensor}.npy", mmap_mode="r", allow_pickle=False)
            for sensor in manifest["modalities"]
        }
        columns = (np.load(folder / f"{column}.npy", allow_pickle=False) for column in _COLUMNS)
        return Windows(features, *columns)
    except (OSError, ValueError, KeyError) as error:
        raise DataSetError(f"{folder}: no whole folder of windows ({error}). Delete it; it is made anew.") from error


def in_parallel(make: Callable[[Item], Made], items: Sequence[Item], description: str) -> list[Made]:
    """Calls a function of a module on each item in two processes, in order, and shows how far it is."""
    with ProcessPoolExecutor(_PROCESSES) as pool:
        return list(track(pool.map(make, items, chunksize=1), description, len(items)))
