"""Well-formed files with wrong contents: each is read or refused by topic and message, and nothing else happens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.records import Message
from mcap.writer import Writer

from cosmo_runtime.sensors.events import Event
from cosmo_runtime.sensors.recording import Recording, RecordingError
from tests.sensors.recording.rewriting import rewrite
from tests.sensors.recording.spoiling import YEAR_2500_NS, messages_of, spoil
from tests.sensors.recording.test_format_1 import OLD
from tests.sensors.recording.test_reader import assert_same


def first_changed(topic: str, **fields: Any) -> Callable[[str, Message], Message]:
    """Changes the first message of a topic."""
    done: List[bool] = []

    def change(at: str, message: Message) -> Message:
        if at != topic or done:
            return message
        done.append(True)
        return dataclasses.replace(message, **fields)

    return change


def image(**fields: Any) -> bytes:
    whole: Dict[str, Any] = {"width": 24, "height": 13, "step": 48, "encoding": "16UC1", "data": bytes(624)}
    return RawImage(**{**whole, **fields}).SerializeToString()


CONTENTS = [
    ("/state", b'{"sensor": "imu", "state": "ok"', "it is not JSON"),
    ("/state", b"[" * 60_000, "it is not JSON"),
    ("/state", b"[1, 2]", "its JSON is not an object"),
    (
        "/state",
        b'{"sensor": "lidar", "state": "ok", "reason": ""}',
        "'lidar' is 'ok', which is not a sensor",
    ),
    ("/state", b'{"sensor": "imu", "state": ["ok"], "reason": ""}', "not a sensor and its state"),
    ("/state", b'{"sensor": "imu", "state": "ok", "reason": 7}', "its reason is not a text"),
    ("/state", b'{"sensor": "imu", "state": "ok", "reason": "\\u001b[2J"}', "its reason holds control characters"),
    ("/truth", b'{"activity": "\\ud800"}', "its activity holds control characters"),
    ("/state", b'{"sensor": ["imu"], "state": "ok"}', "['imu'] is 'ok', which is not a sensor"),
    ("/corrections", b'{"sensor": {}, "taken_off_ns": 7}', "it corrects {}, which is not a sensor"),
    ("/corrections", b'{"sensor": "sonar", "taken_off_ns": 7}', "it corrects 'sonar', which is not a sensor"),
    ("/corrections", b'{"sensor": "imu", "taken_off_ns": 1e7}', "it takes 10000000.0 ns off"),
    ("/corrections", b'{"sensor": "imu", "taken_off_ns": 10000000001}', "is not a number of at most ten seconds"),
    ("/truth", b"{}", "its activity is not a text"),
    ("/truth", b" " * 100_000 + b"{}", "100002 bytes of JSON are more than"),
    ("/ticks", b"\xff\xfe", "it is not JSON"),
    ("/imu", b"", "no such message of ROS 2"),
    ("/imu", b'{"acceleration": {"x": 1}}', "it has no acceleration, angular_rate, magnetic_field"),
    ("/imu", b"\x00\x01\x00\x00" + b"\xff" * 312, "no such message of ROS 2"),
    ("/imu/raw", b"\xff\xff\xff", "not a message of the topic's type"),
    ("/depth/image", b"\xff\xff\xff", "not a message of the topic's type"),
    ("/depth/image", b"", "an image of 0 x 0 '', not of 16UC1"),
    ("/depth/image", image(height=14), "624 bytes are not an image of 24 x 14"),
    ("/depth/image", image(width=2**31, height=2**31, step=0), "are not an image of 2147483648 x 2147483648"),
    ("/depth/image", image(encoding="rgb8"), "'rgb8', not of 16UC1"),
    ("/radar/points", image(), "not a point cloud of x, y, z, velocity, snr"),
    ("/radar/points", PointCloud(point_stride=20, data=bytes(20)).SerializeToString(), "not a point cloud"),
]


@pytest.mark.parametrize(("topic", "data", "reason"), CONTENTS)
def test_what_is_no_such_message_is_named(recorded: Path, topic: str, data: bytes, reason: str) -> None:
    path = rewrite(recorded, recorded.with_name("other.mcap"), first_changed(topic, data=data))
    with pytest.raises(RecordingError) as raised:
        list(Recording(path).events())
    assert f"{path}: message 1 on {topic}: " in str(raised.value)
    assert reason in str(raised.value)


def test_an_image_of_another_size_is_named(recorded: Path) -> None:
    seen: List[Message] = []

    def change(topic: str, message: Message) -> Message:
        if topic == "/depth/image":
            seen.append(message)
            if len(seen) == 5:
                smaller = image(width=12, step=24, data=bytes(312))
                return dataclasses.replace(message, data=smaller)
        return message

    path = rewrite(recorded, recorded.with_name("other.mcap"), change)
    with pytest.raises(RecordingError, match=r"message 5 on /depth/image: its image is 12 x 13, but earlier ones"):
        list(Recording(path).events())


@pytest.mark.parametrize("field", ["log_time", "publish_time"])
@pytest.mark.parametrize("time_ns", [YEAR_2500_NS, 0, 2**64 - 1])
@pytest.mark.parametrize("topic", ["/imu", "/radar/points", "/depth/image"])
def test_a_far_off_time_is_named_and_what_comes_before_is_read(
    recorded: Path, run: List[Event], topic: str, field: str, time_ns: int
) -> None:
    count = 0

    def change(at: str, message: Message) -> Message:
        nonlocal count
        count += at == topic
        return dataclasses.replace(message, **{field: time_ns}) if at == topic and count == 3 else message

    path = rewrite(recorded, recorded.with_name("other.mcap"), change)
    read: List[Event] = []
    with pytest.raises(RecordingError, match=f"message 3 on {topic}: "):
        for event in Recording(path).events():
            read.append(event)
    assert read
    for got, expected in zip(read, run):
        assert_same(got, expected)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate_hz", "1e12"),
        ("rate_hz", "nan"),
        ("rate_hz", "-1"),
        ("depth_scale_m", "1e9"),
        ("intrinsics", "[]"),
        ("intrinsics", '{"fx": "wide"}'),
        ("device", "\x1b[2J"),
    ],
)
def test_a_sensor_beyond_all_sensors_is_refused(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "run.mcap"
    sound = {"device": "an IMU", "rate_hz": "100", "depth_scale_m": "0.0", "intrinsics": "{}"}
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("cosmo-runtime", {"format": "2", "wall_offset_ns": "0"})
        writer.add_metadata("cosmo-runtime.sensor.imu", {**sound, field: value})
        writer.finish()
    with pytest.raises(RecordingError, match=f"run.mcap is damaged in its metadata: its (JSON|{field})"):
        Recording(path)


@pytest.mark.parametrize("offset", ["", "12.5", "9" * 5000, "0x10"])
def test_an_offset_of_the_wall_clock_that_is_none_is_refused(tmp_path: Path, offset: str) -> None:
    path = tmp_path / "run.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("cosmo-runtime", {"format": "2", "wall_offset_ns": offset})
        writer.finish()
    with pytest.raises(RecordingError, match=r"damaged in its metadata: .* is not a whole number"):
        Recording(path)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.002, 0.02, 0.5]), old=st.booleans())
def test_whatever_is_in_a_file_it_is_read_or_refused(
    recorded_once: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, old: bool
) -> None:
    source = OLD if old else recorded_once
    path = tmp_path_factory.getbasetemp() / "spoilt.mcap"
    rewrite(source, path, spoil(messages_of(source), seed, share), use_chunking=seed % 2 == 0)
    try:
        recording = Recording(path)
        host_ns = recording.host_ns(recording.wall_ns(recording.start_ns))
        assert isinstance(host_ns, int)
    except (RecordingError, ValueError) as error:
        assert str(error)
        return
    for read in (recording.events(), recording.messages("/windows"), recording.messages("/predictions/details")):
        try:
            for _ in read:
                pass
        except RecordingError as error:
            assert str(path) in str(error)
