"""Predictions for machines: one JSON object per line."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Mapping, Optional

from cosmo_runtime.runtime.recognition.loop import EndOfRun, Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.line_file import LineFile
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.sensor import SensorInfo

_log = logging.getLogger(__name__)


class JsonLines(Sink):
    """Writes each prediction as a line, and a line with ``"activity": null`` while there are none.

    Each line has ``sequence``, which counts the lines of this run from 0, and the losses up to it: ``losses`` by sensor
    and reason, ``windows_lost`` by reason, ``lines_lost``. If sensors are out of step, ``out_of_step_ms`` says how far
    each is behind the others. If the run has put some in step, ``corrected_ms`` says what it takes off their times.

    If the disk is full or gone, the run goes on without lines, and this is logged once. Each further line is tried, so
    lines return when there is room.

    Args:
        file: where the lines go.
        infos: the sensors' infos, which count losses.
        wall_offset_ns: returns the wall clock minus the host's monotonic clock, at a time of the latter.

    Attributes:
        lost: lines that could not be written.
    """

    def __init__(self, file: LineFile, infos: Mapping[str, SensorInfo], wall_offset_ns: Callable[[int], int]) -> None:
        self.lost = 0
        self._file = file
        self._infos = infos
        self._wall_offset_ns = wall_offset_ns
        self._sequence = 0
        self._windows_lost = {"empty": 0, "outdated": 0, "refused": 0}
        self._out_of_step_ms: Dict[str, float] = {}
        self._corrected_ms: Dict[str, float] = {}
        self._trouble: Optional[str] = None
        self._failing = False

    @property
    def failure(self) -> Optional[str]:
        """Describes missing lines; None if there are none."""
        if not self.lost:
            return None
        return f"{self._file.name}: {self.lost} of {self._sequence} lines could not be written: {self._trouble}"

    def empty(self, windows: int) -> None:
        """Counts windows without data."""
        self._windows_lost["empty"] += windows

    def outdated(self, window: Window) -> None:
        """Counts a window that came too late."""
        self._windows_lost["outdated"] += 1

    def refused(self, window: Window) -> None:
        """Counts a window whose answer was invalid."""
        self._windows_lost["refused"] += 1

    def missed(self, counts: Mapping[str, int]) -> None:
        """Counts lines, and windows without an answer, that did not fit into the queue before this sink."""
        for reason in self._windows_lost:
            self._windows_lost[reason] += counts.get(reason, 0)
        lines = counts.get("outcome", 0) + counts.get("silence", 0)
        self._sequence += lines
        if lines:
            self.lost += lines
            self._trouble = "its reader or disk was too slow"

    def outcome(self, outcome: Outcome) -> None:
        """Writes one line.

        Raises:
            EndOfRun: the reader of the lines is gone.
        """
        self._write(as_json(outcome, self._wall_offset_ns(outcome.window.end_ns)))

    def silence(self, silence: Silence) -> None:
        """Writes one line without an activity.

        Raises:
            EndOfRun: nobody reads the lines any more.
        """
        time = _iso(silence.at_ns + self._wall_offset_ns(silence.at_ns))
        self._write({"time": time, "activity": None, "sensors": dict(silence.sensors), "reason": silence.reason})

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Notes it for the lines to come."""
        self._out_of_step_ms = dict(behind_ms)

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Notes it for the lines to come."""
        self._corrected_ms = dict(taken_off_ms)

    def _write(self, message: Dict[str, Any]) -> None:
        line = {
            "sequence": self._sequence,
            **message,
            "losses": {name: info.losses for name, info in self._infos.items()},
            "windows_lost": self._windows_lost,
            "lines_lost": self.lost,
            **({"out_of_step_ms": self._out_of_step_ms} if self._out_of_step_ms else {}),
            **({"corrected_ms": self._corrected_ms} if self._corrected_ms else {}),
        }
        self._sequence += 1
        failed = self._failing
        try:
            self._file.write(json.dumps(line))
        except BrokenPipeError as error:
            raise EndOfRun(f"nobody reads {self._file.name} any more") from error
        except OSError as error:
            self._failing = True
            self.lost += 1
            self._trouble = error.strerror
            if not failed:
                _log.error("%s cannot be written: %s; lines come back when it can", self._file.name, error.strerror)
            return
        self._failing = False
        if failed:
            _log.warning("%s can be written again; %d lines are missing so far", self._file.name, self.lost)


def as_json(outcome: Outcome, wall_offset_ns: int) -> dict:
    """Returns a prediction in the form of output and recordings. ``time`` is the window's end in UTC."""
    prediction = outcome.prediction
    message = {
        "time": _iso(prediction.window_end_ns + wall_offset_ns),
        "window_end_ns": prediction.window_end_ns,
        "bundle": prediction.bundle,
        "activity": prediction.activity,
        "confidence": round(prediction.confidence, 4),
        "probabilities": {name: round(value, 4) for name, value in prediction.probabilities.items()},
        "weights": {name: round(value, 4) for name, value in prediction.weights.items()},
        "sensors": dict(outcome.sensors),
        "latency_ms": round(prediction.latency_ms, 2),
        "engine_ms": round(prediction.engine_ms, 2),
    }
    if prediction.novelty is not None:
        message["novelty"] = round(prediction.novelty, 3)
    if prediction.reason:
        message["reason"] = prediction.reason
    if outcome.truth is not None:
        message["truth"] = outcome.truth
    return message


def _iso(wall_ns: int) -> str:
    return datetime.fromtimestamp(round(wall_ns / 1e6) / 1e3, timezone.utc).isoformat(timespec="milliseconds")
