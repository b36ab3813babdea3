"""``--keep 20GB`` or ``--keep 7d``: deletes segments of recordings, the oldest first, labelled ones last."""

from __future__ import annotations

import logging
import re
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional

from cosmo_runtime.runtime.labels.table import is_of_one_recording, tables_of
from cosmo_runtime.runtime.retention.expiry import parse_lifetime
from cosmo_runtime.sensors.recording.segments import segments_of

_LEAST_BYTES = 100 * 10**6  # two minutes of a full rig
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}

_log = logging.getLogger(__name__)


class Keep(NamedTuple):
    """The limits of what may stay.

    Attributes:
        bytes: the size of all segments together; None for no limit.
        age: the age of a segment's end; None for no limit.
    """

    bytes: Optional[int] = None
    age: Optional[timedelta] = None

    @property
    def segment_bytes(self) -> Optional[int]:
        """The size at which a segment ends, so that the one that is written is small against all; None for no limit."""
        return None if self.bytes is None else self.bytes // 20


def parse_keep(text: str) -> Keep:
    """Reads ``500MB``, ``20GB``, ``12h`` or ``7d``.

    Raises:
        ValueError: anything else, or a size that would need a new segment every moment.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})\s*([MGT]B)", text.strip(), re.IGNORECASE)
    if match:
        size = int(match[1]) * _UNITS[match[2].upper()]
        if size < _LEAST_BYTES:
            raise ValueError(f"{text!r}: expected at least {_LEAST_BYTES // 10**6}MB")
        return Keep(bytes=size)
    try:
        return Keep(age=parse_lifetime(text))
    except ValueError:
        raise ValueError(f"{text!r}: expected a size such as 20GB, or a time such as 12h or 7d") from None


class _Segment(NamedTuple):
    labelled: bool  # first, by which they sort
    ended_s: float
    path: Path
    size: int


class Keeper:
    """Deletes segments of a recording, and of those that earlier runs of the same command made: ``run``, ``run-2``, …

    Args:
        path: the recording that the command names.
        keep: what may stay.
    """

    def __init__(self, path: Path, keep: Keep) -> None:
        self._path = path
        self._keep = keep
        self._warned = False

    def __call__(self, writing: Path) -> None:
        """Deletes what exceeds the limits, but never the segment that is being written. Never raises."""
        try:
            self._tidy(writing)
        except OSError as error:
            _log.error("%s cannot be tidied: %s", self._path, error.strerror)

    def room_bytes(self) -> int:
        """The bytes that the disk has for this recording: what is free, and what earlier runs of it hold.

        Raises:
            OSError: the folder that the recording is in cannot be read.
        """
        held = sum(segment.size for segment in self._segments())
        return held + shutil.disk_usage(self._path.parent).free

    def _tidy(self, writing: Path) -> None:
        segments = sorted(self._segments(writing))
        # the segment that is written, what comes until the next one is open, and one that goes only after a warning
        room = (self._keep.segment_bytes or 0) * 5 // 2
        total = sum(segment.size for segment in segments) + room
        for segment in segments:
            too_old = self._keep.age is not None and time.time() - segment.ended_s > self._keep.age.total_seconds()
            too_much = self._keep.bytes is not None and total > self._keep.bytes
            if not (too_old or too_much):
                continue
            if segment.labelled and not self._warned:
                self._warned = True
                _log.warning(
                    "%s: --keep has no room for all labelled segments, so the next segment deletes the oldest one: "
                    "move away what you need, or raise --keep",
                    segment.path.parent,
                )
                return
            segment.path.unlink()
            total -= segment.size
            _leave_nothing_of(segment.path.parent)

    def _segments(self, writing: Optional[Path] = None) -> Iterator[_Segment]:
        pattern = re.compile(re.escape(self._path.name) + r"(-\d+)?")
        labelled: Dict[Path, bool] = {}
        for folder in self._path.parent.iterdir():
            if not pattern.fullmatch(folder.name):
                continue
            labelled[folder] = bool(tables_of(folder))
            files: List[Path] = segments_of(folder)
            for file in files:
                if file != writing:
                    state = file.stat()
                    yield _Segment(labelled[folder], state.st_mtime, file, state.st_size)


def _leave_nothing_of(folder: Path) -> None:
    """Removes a recording without segments, and its labels."""
    if not segments_of(folder):
        with suppress(OSError):  # somebody put something else into it, or it is gone
            folder.rmdir()
        for table in filter(is_of_one_recording, tables_of(folder)):
            table.unlink()
