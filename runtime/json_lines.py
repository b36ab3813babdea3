"""Predictions for machines: a JSON object a line."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import datetime, timezone
from typing import Callable, Optional, TextIO

from runtime.loop import Outcome, Sink

_log = logging.getLogger(__name__)


class JsonLines(Sink):
    """Writes each prediction as a line.

    When the disk is full or gone, it stops, says so once in the log and in ``failure``, and the run goes on.

    Args:
        file: open for text; flushed after each line, and closed when it takes no more.
        wall_offset_ns: gives the wall clock minus the host's monotonic clock.

    Attributes:
        failure: why there are no more lines; None while all is well.
    """

    failure: Optional[str] = None

    def __init__(self, file: TextIO, wall_offset_ns: Callable[[], int]) -> None:
        self._file = file
        self._wall_offset_ns = wall_offset_ns

    def outcome(self, outcome: Outcome) -> None:
        """Writes one line.

        Raises:
            BrokenPipeError: whoever read them is gone.
        """
        if self.failure:
            return
        try:
            self._file.write(json.dumps(as_json(outcome, self._wall_offset_ns())) + "\n")
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it would fail again over the same line, when Python ends at the latest
                self._file.close()
            if isinstance(error, BrokenPipeError):
                raise
            self.failure = f"{self._file.name}: no more lines: {error.strerror}; what was written before is kept"
            _log.error("%s", self.failure)


def as_json(outcome: Outcome, wall_offset_ns: int) -> dict:
    """Returns a prediction as it stands in output and recordings; ``time`` is the window's end in UTC."""
    prediction = outcome.prediction
    wall = datetime.fromtimestamp((prediction.window_end_ns + wall_offset_ns) / 1e9, timezone.utc)
    message = {
        "time": wall.isoformat(timespec="milliseconds"),
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
    if outcome.truth is not None:
        message["truth"] = outcome.truth
    return message
