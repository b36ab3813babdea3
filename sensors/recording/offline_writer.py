"""Writes a recording of what is past: event by event, without a queue, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Mapping, Set

from mcap.writer import Writer

from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording.course import Course
from cosmo_runtime.sensors.recording.head_and_end import whole_file
from cosmo_runtime.sensors.recording.messages import MessageWriter, RecordingError
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, encode_geometry, encode_info
from cosmo_runtime.sensors.recording.spelling import encode
from cosmo_runtime.sensors.sensor import SensorInfo


def write_events(
    path: Path,
    events: Iterable[Event],
    infos: Mapping[str, SensorInfo],
    metadata: Mapping[str, str],
    wall_offset_ns: int,
) -> None:
    """Writes events to a new file.

    Args:
        path: the new file; its folder exists.
        events: in the order of their arrival.
        infos: of the sensors; what is known of them when the events have ended is recorded.
        metadata: what is to be known of the recording.
        wall_offset_ns: wall clock minus the clock of the events.

    Raises:
        RecordingError: the file exists, cannot be written, or the events are none that a rig brings.
    """
    with whole_file(path, metadata, wall_offset_ns) as mcap:
        _write(mcap, events, infos, wall_offset_ns)
        for name, info in infos.items():
            mcap.add_metadata(SENSOR_METADATA + name, encode_info(info))


def _write(mcap: Writer, events: Iterable[Event], infos: Mapping[str, SensorInfo], wall_offset_ns: int) -> None:
    course, messages = Course(infos), MessageWriter(mcap, wall_offset_ns)
    placed: Set[str] = set()
    for event in events:
        try:
            course.check(event)  # else it could be written, and not read
        except ValueError as error:
            sensor = f"{event.sensor}: " if isinstance(event, Sample) else ""
            raise RecordingError(f"{sensor}an event cannot be recorded: {error}") from error
        if isinstance(event, Sample) and event.sensor not in placed:
            placed.add(event.sensor)
            for message in encode_geometry(infos[event.sensor], event.stamp_ns, wall_offset_ns):
                messages.add(message)
        for message in encode(event, infos, wall_offset_ns):
            messages.add(message)
