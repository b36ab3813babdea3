"""A run kept as a recording, with its windows' fingerprints and its predictions."""

from __future__ import annotations

from runtime.json_lines import as_json
from runtime.loop import Outcome, Sink
from sensors.events import Event
from sensors.recording import RecordingWriter


class RecordingSink(Sink):
    """Hands events, windows and predictions to a writer in the order of the loop."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer

    def event(self, event: Event) -> None:
        """Keeps one event."""
        self._writer.write(event)

    def outcome(self, outcome: Outcome) -> None:
        """Keeps a window's fingerprint and its prediction."""
        window = outcome.window
        fingerprint = {"end_ns": window.end_ns, "digest": window.digest(), "late": window.late}
        self._writer.write_json("/windows", window.end_ns, fingerprint)
        self._writer.write_json("/predictions", window.end_ns, as_json(outcome, self._writer.wall_offset_ns))

    def close(self) -> None:
        """Ends the recording."""
        self._writer.close()
