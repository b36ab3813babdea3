"""Makes long recordings to measure with: an emulated person's minute, repeated."""

from __future__ import annotations

import re
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mcap.writer import CompressionType, Writer

from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, encode_info
from cosmo_runtime.sensors.simulation.motion import Motion

_PIECE_S = 60.0
_SEGMENT_S = 600.0
_OFFSET = re.compile(rb"wall_offset_ns.{4}(\d{19})", re.DOTALL)
_SEVEN = datetime(2026, 11, 28, 7, tzinfo=timezone.utc)


def record_offline(path: Path, motion: Motion, seconds: float, decimation: int = 1, every: int = 1) -> None:
    """Records what a rig in front of a motion would see, faster than real time, with one of ``every`` depth images."""
    from cosmo_runtime.sensors.simulation import offline

    shift_ns, frames = time.monotonic_ns() - 10**9, 0
    with RecordingWriter(path, offline.infos_of(motion)) as writer:
        for event in offline.events(motion, seconds, DepthConfig(decimation=decimation)):
            if isinstance(event, Sample):
                frames += event.sensor == "depth"
                if event.sensor == "depth" and frames % every:
                    continue
                stamp_ns = event.stamp_ns + shift_ns
                event = Sample(event.sensor, stamp_ns, stamp_ns, event.data)
            elif isinstance(event, Truth):
                event = Truth(event.stamp_ns + shift_ns, event.activity)
            writer.write(event)
            while writer.queued > 1000:
                time.sleep(0.01)
    if writer.dropped or writer.failure:
        raise SystemExit(f"{path}: {writer.failure or 'the disk was too slow'}")


def make_day(folder: Path, hours: float = 24, every: int = 30) -> None:
    """Writes a recording of segments of ten minutes each.

    All hold the same ten minutes. Their clocks differ, so that one follows the other.
    """
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "first.mcap"
        make_long(first, _SEGMENT_S / 3600, every)
        content = bytearray(first.read_bytes())
    place = _OFFSET.search(content)
    assert place
    offset_ns = int(place[1])
    for number in range(round(hours * 3600 / _SEGMENT_S)):
        shifted = offset_ns - number * round(_SEGMENT_S * 1e9)  # less is added, so it is later on the monotonic clock
        content[place.start(1) : place.end(1)] = str(shifted).encode()
        began = _SEVEN + timedelta(seconds=number * _SEGMENT_S)
        (folder / f"{number + 1:06d}-{began:%Y%m%dT%H%M%SZ}.mcap").write_bytes(content)


def make_long(path: Path, hours: float, every: int = 1) -> None:
    """Writes a minute of the emulated person again and again."""
    from cosmo_runtime.sensors.emulation.motions import open_motion

    with tempfile.TemporaryDirectory() as folder:
        minute = Path(folder) / "minute.mcap"
        record_offline(minute, open_motion("person"), _PIECE_S, every=every)
        recording = Recording(minute)
        index = RecordingIndex(recording)
        messages = sorted(
            (
                m
                for part in range(len(index))
                for m in index.raw(part, 0, 1 << 62)
                if index.channels[m.channel_id].topic != "/clock"
            ),
            key=lambda message: message.log_time,
        )
        with path.open("wb") as file:
            mcap = Writer(file, compression=CompressionType.ZSTD)
            mcap.start()
            mcap.add_metadata("cosmo-runtime", {"format": "2", "wall_offset_ns": str(recording.wall_offset_ns)})
            mcap.add_metadata("cosmo-runtime.run", {})
            for name, info in recording.infos.items():
                mcap.add_metadata(SENSOR_METADATA + name, encode_info(info))
            numbers = {}
            for number, channel in index.channels.items():
                schema = index.schemas.get(channel.schema_id)
                written = mcap.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
                numbers[number] = mcap.register_channel(channel.topic, channel.message_encoding, written)
            for turn in range(round(hours * 60)):
                shift, flush_ns = turn * round(_PIECE_S * 1e9), 0
                for message in messages:
                    at_ns = message.log_time + shift
                    if at_ns - flush_ns > 250_000_000:  # like a live recording
                        flush_ns = at_ns
                        mcap.flush()
                    mcap.add_message(numbers[message.channel_id], at_ns, message.data, message.publish_time + shift)
            mcap.add_metadata("cosmo-runtime.end", {"dropped": "0"})
            mcap.finish()
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {Recording(path).duration_s / 3600:.2f} h")
