"""Copies a piece of a recording to a new file, message by message and with the original times."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from mcap.writer import Writer

from cosmo_runtime.sensors.recording.head_and_end import whole_file
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.messages import RecordingError
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, encode_info

_NOT_COPIED = ("windows",)  # a piece lacks some of the run's windows, so a replay must not expect them


def copy_piece(index: RecordingIndex, path: Path, start_ns: int, end_ns: int) -> None:
    """Writes everything that arrived between two times, both included, to a new file, whole or not at all.

    Args:
        index: the recording's index.
        path: the new file. Its folder must exist.
        start_ns: the beginning, on the recording's monotonic clock.
        end_ns: the end, likewise.

    Raises:
        RecordingError: the piece is empty, the file exists or cannot be written, or the recording is damaged.
    """
    recording = index.recording
    story = {name: value for name, value in recording.metadata.items() if name not in _NOT_COPIED}
    with whole_file(path, {**story, "piece_of": recording.path.name}, recording.wall_offset_ns) as mcap:
        if not _copy(index, mcap, start_ns, end_ns):
            raise RecordingError(f"{recording.path} holds nothing there")


def _copy(index: RecordingIndex, mcap: Writer, start_ns: int, end_ns: int) -> int:
    for name, info in index.recording.infos.items():
        mcap.add_metadata(SENSOR_METADATA + name, encode_info(info))
    numbers: Dict[int, int] = {}
    copied, clock = 0, 0
    for part in index.parts(start_ns, end_ns):
        for message in index.raw(part, start_ns, end_ns):
            channel = index.channels[message.channel_id]
            if channel.topic == "/windows" or (channel.topic == "/clock" and message.log_time <= clock):
                continue  # a segment may read the clocks again after the next one has begun
            clock = message.log_time if channel.topic == "/clock" else clock
            if message.channel_id not in numbers:
                schema = index.schemas.get(channel.schema_id)
                number = mcap.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
                numbers[message.channel_id] = mcap.register_channel(channel.topic, channel.message_encoding, number)
            mcap.add_message(
                numbers[message.channel_id],
                log_time=message.log_time,
                publish_time=message.publish_time,
                data=message.data,
            )
            copied += 1
    return copied
