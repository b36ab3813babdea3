"""Records a run, with its predictions and the fingerprints of its windows."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Optional, Union

from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.sinks.json_lines import as_json
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import RecordingWriter, SegmentedWriter

_log = logging.getLogger(__name__)


class RecordingSink(Sink):
    """Passes events, windows and predictions to a writer, in the order of the loop.

    Attributes:
        writer: the recording.
        deleted: whether the file was deleted while it was being written.
        size: its bytes when it was last checked.
        samples: how many samples it has of each sensor. A device may have sent some more when the run ended.
    """

    def __init__(self, writer: Union[RecordingWriter, SegmentedWriter]) -> None:
        self.writer = writer
        self.deleted = False
        self.size = 0
        self.samples: Counter[str] = Counter()
        self._moved = False
        self._before = 0  # bytes in earlier segments
        self._path = writer.file
        self._file = os.open(self._path, os.O_RDONLY)  # held open, to notice what happens to the file

    @property
    def goes_on(self) -> bool:
        """Whether what comes now is recorded, whatever was lost before."""
        return not (self.writer.failure or self.deleted)

    @property
    def trouble(self) -> Optional[str]:
        """Why the run is not recorded, or not all of it, in words; None when all is well."""
        if self.writer.failure:
            return str(self.writer.failure)
        if self.deleted:
            return f"{self.writer.path} was deleted while it was being written. Nothing of this run is left"
        if self.writer.still_s:
            still = f"recording stood still for {self.writer.still_s:.0f} s and went on"
            return f"{self.writer.path}: {still}. {self.writer.dropped} events are missing"
        if self.writer.dropped:
            return f"{self.writer.path}: the disk was too slow. {self.writer.dropped} events are missing"
        return None

    def event(self, event: Event) -> None:
        """Records one event."""
        self.writer.write(event)
        if isinstance(event, Sample):
            self.samples[event.sensor] += 1

    def outcome(self, outcome: Outcome) -> None:
        """Records a window's fingerprint and its prediction, for people, plots and machines."""
        window = outcome.window
        self._tell_window(window, window.digest())
        prediction = outcome.prediction
        text = f"{prediction.activity} {prediction.confidence:.2f}"
        wall_offset_ns = time.time_ns() - time.monotonic_ns()  # the wall clock may have been set since the start
        self.writer.write_text("/predictions", window.end_ns, text, prediction.bundle)
        self.writer.write_numbers("/predictions/probabilities", window.end_ns, prediction.probabilities)
        self.writer.write_json("/predictions/details", window.end_ns, as_json(outcome, wall_offset_ns))

    def outdated(self, window: Window) -> None:
        """Records that a window was not answered, for a replay."""
        self._tell_window(window, None)

    def _tell_window(self, window: Window, digest: Optional[str]) -> None:
        fingerprint = {"end_ns": window.end_ns, "features": digest, "late": window.late}
        self.writer.write_json("/windows", window.end_ns, fingerprint)

    def idle(self) -> None:
        """Checks whether the file still exists."""
        path = self.writer.file
        if path != self._path:
            with suppress(OSError):  # a segment that is gone already is not looked at
                opened = os.open(path, os.O_RDONLY)
                self._before += os.fstat(self._file).st_size
                os.close(self._file)
                self._path, self._file = path, opened
        file = os.fstat(self._file)
        self.size = self._before + file.st_size
        if not file.st_nlink and not self.deleted:
            self.deleted = True
            _log.error("%s was deleted while it is written: nothing of this run will be left", self.writer.path)
        elif file.st_nlink and not self._moved and not _is(self._path, file):
            self._moved = True
            _log.warning("%s was moved while it is written: the recording goes on where it is now", self.writer.path)

    def close(self) -> None:
        """Ends the recording."""
        self.writer.close()
        self.idle()
        os.close(self._file)


def _is(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except OSError:
        return False
