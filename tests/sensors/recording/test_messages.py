"""A recording as a stranger reads it: with MCAP's own reader and the schemas in the file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from sensors.events import Event, Sample


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


def test_imu_is_json_with_a_schema_and_null_for_absent_fields(recorded: Path, run: List[Event]) -> None:
    with recorded.open("rb") as file:
        schema, channel, message = next(iter(make_reader(file).iter_messages("/imu", log_time_order=False)))
    assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
    assert json.loads(schema.data)["properties"].keys() == {"acceleration", "angular_rate", "magnetic_field"}
    content: Dict[str, Dict[str, float]] = json.loads(message.data)
    assert content["magnetic_field"] == {"x": None, "y": None, "z": None}
    assert list(content["acceleration"].values()) == samples(run, "imu")[0].data[:3].tolist()


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
