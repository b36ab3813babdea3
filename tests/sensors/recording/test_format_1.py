"""Recordings of earlier versions go on loading, and their replay sees the same windows.

``tests/data/format-1.mcap`` was written by the version before format 2: 4.5 s of a simulated person,
seen by a camera of 48 x 27.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cosmo_runtime.sensors.events import Sample, StateChange, Truth
from cosmo_runtime.sensors.recording import Recording

OLD = Path(__file__).parents[2] / "data" / "format-1.mcap"
AS_READ_THEN = "1e003dc89ddeadb5f1a32bf7568ad0bf3e763faa96b8424e1df63e5013bd299e"  # by the version that wrote it


def test_a_recording_of_format_1_reads_as_it_did() -> None:
    recording = Recording(OLD)
    assert not recording.cut
    assert {name: info.rate_hz for name, info in recording.infos.items()} == {"imu": 100, "depth": 10, "radar": 20}
    events = list(recording.events())
    samples = [event for event in events if isinstance(event, Sample)]
    assert {name: sum(sample.sensor == name for sample in samples) for name in recording.infos} == {
        "imu": 451,
        "depth": 46,
        "radar": 91,
    }
    assert [event.activity for event in events if isinstance(event, Truth)] == ["fall"]
    assert sum(isinstance(event, StateChange) for event in events) == 3
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.sensor} {sample.stamp_ns} {sample.arrival_ns} {sample.data.dtype}".encode())
        digest.update(sample.data.tobytes() + sample.raw)
    assert digest.hexdigest() == AS_READ_THEN
