"""Predictions for machines: a JSON object a line."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TextIO

from runtime.loop import Outcome, Sink


class JsonLines(Sink):
    """Writes each prediction as a line.

    Args:
        file: open for text; flushed after each line.
        wall_offset_ns: wall clock minus host's monotonic clock.
    """

    def __init__(self, file: TextIO, wall_offset_ns: int) -> None:
        self._file = file
        self._wall_offset_ns = wall_offset_ns

    def outcome(self, outcome: Outcome) -> None:
        """Writes one line."""
        self._file.write(json.dumps(as_json(outcome, self._wall_offset_ns)) + "\n")
        self._file.flush()


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
