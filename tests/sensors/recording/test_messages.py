"""A recording as a stranger reads it: with MCAP's own reader and the schemas in the file."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.recording.messages import Message, decode_clocks
from cosmo_runtime.sensors.sensor import SensorInfo


def decoded(path: Path, topic: str) -> List[Any]:
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [item.decoded_message for item in reader.iter_decoded_messages(topic, log_time_order=False)]


def samples(run: List[Event], sensor: str) -> List[Sample]:
    return [event for event in run if isinstance(event, Sample) and event.sensor == sensor]


def wall_offset_ns(path: Path) -> int:
    with path.open("rb") as file:
        (head,) = [record for record in make_reader(file).iter_metadata() if record.name == "cosmo-runtime"]
    return int(head.metadata["wall_offset_ns"])


def test_depth_is_a_raw_image_as_viewers_know_it(recorded: Path, run: List[Event]) -> None:
    images = decoded(recorded, "/depth/image")
    assert len(images) == len(samples(run, "depth"))
    for image, sample in zip(images, samples(run, "depth")):
        assert (image.width, image.height, image.step, image.encoding) == (24, 13, 48, "16UC1")
        assert image.frame_id == "depth"
        np.testing.assert_array_equal(np.frombuffer(image.data, "<u2").reshape(13, 24), sample.data)
        stamp_ns = image.timestamp.seconds * 10**9 + image.timestamp.nanos
        assert stamp_ns == sample.stamp_ns + wall_offset_ns(recorded)


def test_calibration_comes_with_the_first_image(recorded: Path) -> None:
    (calibration,) = decoded(recorded, "/depth/calibration")
    assert (calibration.width, calibration.height, calibration.frame_id) == (24, 13, "depth")
    assert list(calibration.K) == [12.5, 0, 11.5, 0, 12.25, 6.0, 0, 0, 1]
    assert list(calibration.P) == [12.5, 0, 11.5, 0, 0, 12.25, 6.0, 0, 0, 0, 1, 0]


def test_points_read_by_the_fields_in_the_message(recorded: Path, run: List[Event]) -> None:
    clouds = decoded(recorded, "/radar/points")
    assert len(clouds) == len(samples(run, "radar"))
    for cloud, sample in zip(clouds, samples(run, "radar")):
        names = [field.name for field in cloud.fields]
        assert names == ["x", "y", "z", "velocity", "snr"]
        assert cloud.frame_id == "radar"
        layout = {"names": names, "formats": ["<f4"] * 5, "offsets": [field.offset for field in cloud.fields]}
        points = np.frombuffer(cloud.data, np.dtype({**layout, "itemsize": cloud.point_stride}))
        for column, name in enumerate(names):
            np.testing.assert_array_equal(points[name], sample.data[:, column])


def test_camera_and_radar_share_one_frame(recorded: Path) -> None:
    transforms = {transform.child_frame_id: transform for transform in decoded(recorded, "/tf")}
    assert {transform.parent_frame_id for transform in transforms.values()} == {"rig"}
    turn = transforms[
        "depth"
    ].rotation  # away from the camera, z, is away from the radar, y: half a right angle about x
    assert (turn.x, turn.w) == pytest.approx((-(0.5**0.5), 0.5**0.5))
    assert transforms["radar"].rotation.w == 1


def test_imu_is_a_message_of_ros_as_viewers_know_it(recorded: Path, run: List[Event]) -> None:
    with recorded.open("rb") as file:
        schema, channel, message = next(iter(make_reader(file).iter_messages("/imu", log_time_order=False)))
    assert schema is not None
    assert (schema.name, schema.encoding, channel.message_encoding) == ("sensor_msgs/msg/Imu", "ros2msg", "cdr")
    first = samples(run, "imu")[0]
    assert len(message.data) == 4 + 16 + 37 * 8  # the header's frame_id is "imu", which needs no padding
    numbers = struct.unpack_from("<37d", message.data, 20)
    assert list(numbers[25:28]) == first.data[:3].tolist()
    assert list(numbers[13:16]) == first.data[3:6].tolist()
    assert numbers[4] == -1  # REP 145: no orientation is measured


def test_a_magnetic_field_is_written_only_where_there_is_one(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    data = np.array([1, 2, 3, 4, 5, 6, 45.25, np.nan, -20], np.float32)
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.write(Sample("imu", 1, 1, data))
        data = data.copy()
        data[6:] = np.nan
        writer.write(Sample("imu", 2, 2, data))
    with (tmp_path / "run.mcap").open("rb") as file:
        ((schema, _, message),) = make_reader(file).iter_messages("/imu/magnetic_field")
    assert schema is not None
    assert schema.name == "sensor_msgs/msg/MagneticField"
    np.testing.assert_allclose(struct.unpack_from("<3d", message.data, 20), [45.25e-6, np.nan, -20e-6])
    with_field, without = Recording(tmp_path / "run.mcap").events()
    assert isinstance(with_field, Sample)
    assert isinstance(without, Sample)
    np.testing.assert_array_equal(with_field.data[6:], np.array([45.25, np.nan, -20], np.float32))
    assert np.isnan(without.data[6:]).all()


def test_a_line_of_text_is_a_log_as_viewers_know_it(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.write_text("/predictions", 5 * 10**9, "walk 0.97", "person")
    (log,) = decoded(tmp_path / "run.mcap", "/predictions")
    assert (log.message, log.name, log.level) == ("walk 0.97", "person", 2)
    assert log.timestamp.seconds * 10**9 + log.timestamp.nanos == 5 * 10**9 + writer.wall_offset_ns


def test_numbers_are_an_array_of_ros_as_viewers_know_it(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.write_numbers("/predictions/probabilities", 5, {"walk": 0.75, "sit": 0.25})
    with (tmp_path / "run.mcap").open("rb") as file:
        ((schema, _, message),) = make_reader(file).iter_messages("/predictions/probabilities")
    assert schema is not None
    assert schema.name == "std_msgs/msg/Float64MultiArray"
    # one dimension; its label with a zero at the end, padded to 4; its size and stride; no offset; two numbers
    expected = struct.pack("<4xII10s2xIIII4x2d", 1, 10, b"walk, sit\0", 2, 2, 0, 2, 0.75, 0.25)
    assert message.data == b"\0\1\0\0" + expected[4:]


def test_raw_bytes_of_a_device_are_its_whole_stream(recorded: Path, run: List[Event]) -> None:
    for sensor in ("imu", "radar"):
        stream = b"".join(message.value for message in decoded(recorded, f"/{sensor}/raw"))
        assert stream == b"".join(sample.raw for sample in samples(run, sensor))


def test_times_are_wall_times(recorded: Path, run: List[Event]) -> None:
    offset_ns = wall_offset_ns(recorded)
    assert abs(offset_ns - (time.time_ns() - time.monotonic_ns())) < 10**9
    with recorded.open("rb") as file:
        messages = [message for *_, message in make_reader(file).iter_messages("/radar/points", log_time_order=False)]
    expected = [(sample.arrival_ns + offset_ns, sample.stamp_ns + offset_ns) for sample in samples(run, "radar")]
    assert [(message.log_time, message.publish_time) for message in messages] == expected


@pytest.mark.parametrize("shown", ["-1", "1" + "0" * 400, "1.5", "null"])
def test_times_that_no_clock_shows_are_refused(shown: str) -> None:
    said = b'{"monotonic_ns": %s, "wall_ns": 1}' % shown.encode()
    with pytest.raises(ValueError, match="clock"):
        decode_clocks(Message("/clock", 0, 0, said, ""))
