"""Copies a piece of a recording to a new file, message by message and with the original monotonic times."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Dict, Iterator

from mcap.writer import Writer

from cosmo_runtime.sensors.recording.head_and_end import whole_file
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.mcap_file import RawMessage
from cosmo_runtime.sensors.recording.messages import RecordingError
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, encode_info
from cosmo_runtime.sensors.recording.spelling import encode

_NOT_COPIED = ("windows",)  # a piece lacks some of the run's windows, so a replay must not expect them


def copy_piece(index: RecordingIndex, path: Path, start_ns: int, end_ns: int) -> None:
    """Writes everything that arrived between two times, both included, to a new file, whole or not at all.

    The piece begins with what stood then: the state and the correction of each sensor, and the true activity.

    Args:
        index: the recording's index.
        path: the new file. Its folder must exist.
        start_ns: the beginning, on the recording's monotonic clock.
        end_ns: the end, likewise.

    Raises:
        RecordingError: the piece is empty, the file exists or cannot be written, or the recording is damaged.
    """
    recording = index.recording
    metadata = {name: value for name, value in recording.metadata.items() if name not in _NOT_COPIED}
    wall_offset_ns = recording.wall_ns(start_ns) - start_ns  # the wall clock may have been set before
    with whole_file(path, {**metadata, "piece_of": recording.path.name}, wall_offset_ns) as mcap:
        for name, info in recording.infos.items():
            mcap.add_metadata(SENSOR_METADATA + name, encode_info(info))
        inside = _inside(index, start_ns, end_ns)
        first = next(inside, None)
        if first is None:
            raise RecordingError(f"{recording.path} holds nothing there")
        messages = chain(_beginning(index, start_ns), [first], inside)
        _copy(index, mcap, messages, wall_offset_ns - recording.wall_offset_ns)


def _beginning(index: RecordingIndex, start_ns: int) -> Iterator[RawMessage]:
    """What stood when the piece begins, as messages of that time."""
    recording = index.recording
    channels = {channel.topic: number for number, channel in index.channels.items()}
    offset_ns = recording.wall_offset_ns
    for event in recording.standing(start_ns).events(start_ns):
        for message in encode(event, recording.infos, offset_ns):
            times = start_ns + offset_ns, message.stamp_ns + offset_ns
            yield RawMessage(channels[message.topic], *times, message.data)


def _inside(index: RecordingIndex, start_ns: int, end_ns: int) -> Iterator[RawMessage]:
    """The messages of the piece itself."""
    clock = 0
    for part in index.parts(start_ns, end_ns):
        for message in index.raw(part, start_ns, end_ns):
            topic = index.channels[message.channel_id].topic
            if topic == "/windows" or (topic == "/clock" and message.log_time <= clock):
                continue  # a segment may read the clocks again after the next one has begun
            clock = message.log_time if topic == "/clock" else clock
            yield message


def _copy(index: RecordingIndex, mcap: Writer, messages: Iterator[RawMessage], shift_ns: int) -> None:
    """Writes messages that have the index's channels, with wall times that are shifted."""
    numbers: Dict[int, int] = {}
    for message in messages:
        if message.channel_id not in numbers:
            channel = index.channels[message.channel_id]
            schema = index.schemas.get(channel.schema_id)
            number = mcap.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
            numbers[message.channel_id] = mcap.register_channel(channel.topic, channel.message_encoding, number)
        mcap.add_message(
            numbers[message.channel_id],
            log_time=message.log_time + shift_ns,
            publish_time=message.publish_time + shift_ns,
            data=message.data,
        )
