"""Waits for a recording to be in its file."""

from __future__ import annotations

import time

from cosmo_runtime.sensors.recording import RecordingWriter


def wait_until_flushed(writer: RecordingWriter) -> None:
    """Waits until all that a writer was given is in its file. What it is given next begins a new chunk."""
    end = time.monotonic() + 60
    while writer.queued or writer._unflushed:
        assert time.monotonic() < end
        time.sleep(0.01)
