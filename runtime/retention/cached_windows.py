"""Finds and deletes windows of recordings in caches, because pictures of a person must not outlive the recording.

The manifest in each folder of windows says which recording they were cut from. A cache may be anywhere
(``--cache``), so a register beside the user's bundles lists every cache that holds windows of recordings. Nothing here
needs torch, because ``purge`` works without it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from cosmo_runtime.places import data_folder
from cosmo_runtime.sensors.recording.segments import size_and_change

MANIFEST = "windows.json"
"""The manifest's file name."""

RECORDING = "recording"
"""The manifest's entry on the recording, and the prefix of folders with windows of recordings."""

_FOLDERS = f"*{RECORDING}-*"  # killed writers leave names that begin with a dot
_BEING_WRITTEN_S = 60.0


class RecordingFile(NamedTuple):
    """A recording as it was when windows were cut from it.

    Attributes:
        path: its absolute path.
        size: its size in bytes.
        mtime_ns: the time of its last change.
    """

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> RecordingFile:
        """Returns a recording as it is now.

        Raises:
            OSError: it cannot be read.
        """
        return cls(str(path), *size_and_change(path))


class CachedWindows(NamedTuple):
    """A folder of windows in a cache.

    Attributes:
        folder: the folder.
        recording: the windows' recording; None if the folder does not name it.
    """

    folder: Path
    recording: Optional[RecordingFile]

    @property
    def orphaned(self) -> str:
        """Explains why the windows belong to no existing recording; empty if they do.

        A recording that cannot be examined, for example for lack of permission, counts as existing.
        """
        if self.recording is None:
            age_s = time.time() - self.folder.stat().st_mtime
            return "their recording is unknown" if age_s > _BEING_WRITTEN_S else ""
        try:
            now = RecordingFile.of(Path(self.recording.path))
        except (FileNotFoundError, NotADirectoryError):
            return "the recording is gone"
        except OSError:
            return ""
        return "" if now == self.recording else "the recording has changed"

    def delete(self) -> None:
        """Deletes the windows.

        Raises:
            OSError: they cannot be deleted.
        """
        shutil.rmtree(self.folder)


def note(cache: Path) -> None:
    """Adds a cache to the register that ``windows_in_caches`` reads.

    Raises:
        OSError: the register cannot be written.
    """
    place = os.path.realpath(cache)
    if place not in _noted():
        register = _register()
        register.parent.mkdir(parents=True, exist_ok=True)
        with register.open("a", encoding="utf-8") as file:
            file.write(json.dumps(place) + "\n")


def windows_in_caches(cache: Path) -> Iterator[CachedWindows]:
    """Yields the windows of all recordings, in one cache and in every cache of the register."""
    for place in dict.fromkeys([os.path.realpath(cache), *_noted()]):
        for folder in sorted(Path(place).glob(_FOLDERS)):
            if folder.is_dir():
                yield _read(folder)


def forget(cache: Path, recording: Path) -> None:
    """Deletes all windows of a recording (an absolute path) from every cache.

    A recording that was moved is recognised by its size and time of change. Windows whose folder does not name their
    recording are deleted too, because they can be made again.

    Raises:
        OSError: they cannot be deleted.
    """
    now = RecordingFile.of(recording) if recording.exists() else None
    for windows in windows_in_caches(cache):
        known = windows.recording
        if known is None or known.path == str(recording) or (now and known[1:] == now[1:]):
            windows.delete()


def _read(folder: Path) -> CachedWindows:
    try:
        entry = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))[RECORDING]
        return CachedWindows(folder, RecordingFile(str(entry["path"]), int(entry["size"]), int(entry["mtime_ns"])))
    except (OSError, ValueError, KeyError, TypeError):  # written by an older version, or cut off by a kill
        return CachedWindows(folder, None)


def _noted() -> list[str]:
    try:
        lines = _register().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    places = []
    for line in lines:
        try:
            place = json.loads(line)
        except ValueError:  # cut by a kill
            continue
        if isinstance(place, str):
            places.append(place)
    return places


def _register() -> Path:
    return data_folder() / "caches.jsonl"
