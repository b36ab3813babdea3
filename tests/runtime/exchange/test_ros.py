"""Bags that rosbags itself writes become recordings that replay."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

import cosmo_runtime as cosmo_python
from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording

pytest.importorskip("rosbags", reason="the extra [ros] is not installed")
from rosbags import rosbag2
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

Run = Callable[..., Any]
Message = Tuple[str, int, Any]  # topic, when the bag got it in ns, message

BEGAN_NS = 1_790_000_000 * 10**9
MAP = ["imu=/imu/data", "depth=/camera/depth", "radar=/radar/points"]


class _Ros:
    """Makes messages of one version of ROS, and writes them to a bag."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.store = get_typestore(Stores.ROS1_NOETIC if version == "ros1" else Stores.ROS2_HUMBLE)

    def make(self, kind: str, /, **fields: Any) -> Any:
        return self.store.types[kind](**fields)

    def header(self, stamp_ns: int, frame: str = "rig") -> Any:
        seq = {"seq": 0} if self.version == "ros1" else {}
        stamp = self.make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        return self.make("std_msgs/msg/Header", **seq, stamp=stamp, frame_id=frame)

    def imu(self, stamp_ns: int, values: np.ndarray, without_rate: bool = False) -> Any:
        vectors = [
            self.make("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, three))))
            for three in values.reshape(2, 3)
        ]
        rest = self.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        there, missing = np.zeros(9), np.array([-1.0, *[0.0] * 8])
        return self.make(
            "sensor_msgs/msg/Imu",
            header=self.header(stamp_ns),
            orientation=rest,
            orientation_covariance=missing,
            linear_acceleration=vectors[0],
            linear_acceleration_covariance=there,
            angular_velocity=vectors[1],
            angular_velocity_covariance=missing if without_rate else there,
        )

    def image(self, stamp_ns: int, pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Any:
        lines = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).view(np.uint8)
        lines = np.pad(lines.reshape(len(pixels), -1), ((0, 0), (0, padding)))
        return self.make(
            "sensor_msgs/msg/Image",
            header=self.header(stamp_ns),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=int(big),
            step=lines.shape[1],
            data=lines.ravel(),
        )

    def cloud(self, stamp_ns: int, points: np.ndarray, names: List[str], frame: str = "radar") -> Any:
        fields = [
            self.make("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate(names)
        ]
        step = 4 * len(names) + 4  # with padding, as drivers write it
        data = b"".join(struct.pack(f"<{len(names)}f4x", *row) for row in points)
        return self.make(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(stamp_ns, frame),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=step,
            row_step=step * len(points),
            data=np.frombuffer(data, np.uint8),
            is_dense=True,
        )

    def write(self, path: Path, messages: List[Message]) -> Path:
        path = path.with_suffix(".bag") if self.version == "ros1" else path
        with self._writer(path) as writer:
            connections: Dict[str, Any] = {}
            for topic, bag_ns, message in messages:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                spell = self.store.serialize_ros1 if self.version == "ros1" else self.store.serialize_cdr
                writer.write(connections[topic], bag_ns, spell(message, kind))
        return path

    def _writer(self, path: Path) -> Any:
        if self.version == "ros1":
            return Writer1(path)
        old = not hasattr(rosbag2, "StoragePlugin")  # the last version for Python 3.8
        if self.version == "sqlite":
            return Writer2(path) if old else Writer2(path, version=8)
        if old:
            pytest.skip("this version of rosbags reads bags in MCAP and writes none")
        return Writer2(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP)


@pytest.fixture(params=["ros1", "sqlite", "mcap"])
def ros(request: pytest.FixtureRequest) -> _Ros:
    return _Ros(request.param)


@pytest.fixture
def ros2() -> _Ros:
    return _Ros("sqlite")


def _values(second: float) -> np.ndarray:
    return np.random.default_rng(round(second * 1e3)).normal(size=6).astype(np.float32)


def _session(ros: _Ros, seconds: float = 3.0) -> List[Message]:
    """An IMU at 100 Hz, depth at 10, a radar at 20; each gets to the bag 4 ms after its stamp."""
    messages: List[Message] = []
    for number in range(round(seconds * 100)):
        stamp_ns = BEGAN_NS + number * 10**7
        random = np.random.default_rng(number)
        made = [("/imu/data", ros.imu(stamp_ns, _values(number / 100)))]
        if number % 10 == 0:
            pixels = random.integers(0, 4000, (6, 8)).astype(np.uint16)
            made.append(("/camera/depth", ros.image(stamp_ns, pixels, "16UC1", padding=4)))
        if number % 5 == 0:
            points = random.normal(size=(number % 4, 5)).astype(np.float32)
            made.append(("/radar/points", ros.cloud(stamp_ns, points, ["x", "y", "z", "velocity", "snr"])))
        messages += [(topic, stamp_ns + 4 * 10**6, message) for topic, message in made]
    return messages


def test_a_bag_becomes_a_recording_with_its_times_and_values(cosmo: Run, ros: _Ros, tmp_path: Path) -> None:
    bag = ros.write(tmp_path / "session", _session(ros))
    done = cosmo("import", bag, "--map", *MAP, "--participant", "P17")
    assert done.code == 0, done.err
    assert "samples: imu 300, depth 30, radar 60" in done.err
    path = tmp_path / "session.mcap"
    read = cosmo_python.read_recording(path)
    imu, depth, radar = read["imu"], read["depth"], read["radar"]
    assert [arrays.kind for arrays in (imu, depth, radar)] == ["imu", "depth", "radar"]
    np.testing.assert_allclose(imu.values[:, :6], [_values(number / 100) for number in range(300)])
    assert np.isnan(imu.values[:, 6:]).all()
    np.testing.assert_allclose(np.diff(imu.stamps_s), 0.01, atol=1e-8)
    frame = np.random.default_rng(20).integers(0, 4000, (6, 8)).astype(np.uint16)
    np.testing.assert_allclose(depth.values[2], frame * np.float32(0.001))
    x, y, z, speed, snr = np.random.default_rng(15).normal(size=(3, 5)).astype(np.float32).T
    np.testing.assert_allclose(radar.values[3], np.stack([-y, x, z, speed, snr], axis=1))

    recording = Recording(path)
    first = next(event for event in recording.events() if isinstance(event, Sample))
    assert recording.wall_ns(first.stamp_ns) == BEGAN_NS
    assert first.arrival_ns - first.stamp_ns == 4 * 10**6
    assert {name: info.rate_hz for name, info in recording.infos.items()} == {"imu": 100, "depth": 10, "radar": 20}
    assert recording.metadata["participant"] == "P17"
    assert not recording.cut


def test_it_replays(cosmo: Run, ros2: _Ros, tiny_bundle: Bundle, tmp_path: Path) -> None:
    bag = ros2.write(tmp_path / "session", _session(ros2))
    imported = cosmo("import", bag, "--map", *MAP, "--out", tmp_path / "ours.mcap")
    assert imported.code == 0
    words = ["--sensors", "imu,depth,radar", "--bundle", tiny_bundle.path, "--speed", "max", "--output", "-"]
    done = cosmo(*words, "--replay", tmp_path / "ours.mcap")
    assert done.code == 0, done.err
    assert len(done.lines) >= 4
    assert all(set(line["sensors"].values()) == {"ok"} for line in done.lines[1:-1])
    assert "speeds" not in imported.err + done.err


def test_a_folder_of_bags_of_ros_1_is_one_recording(cosmo: Run, tmp_path: Path) -> None:
    ros = _Ros("ros1")
    session = _session(ros)
    (tmp_path / "day").mkdir()
    ros.write(tmp_path / "day" / "1", session[:200])
    ros.write(tmp_path / "day" / "2", session[200:])
    done = cosmo("import", tmp_path / "day", "--map", *MAP)
    assert done.code == 0, done.err
    assert "samples: imu 300, depth 30, radar 60" in done.err


@pytest.mark.parametrize("named", ["", "session.db3", "metadata.yaml"])
def test_a_bag_of_ros_2_may_be_named_by_its_file(cosmo: Run, ros2: _Ros, tmp_path: Path, named: str) -> None:
    bag = ros2.write(tmp_path / "session", _session(ros2, 0.5))
    done = cosmo("import", bag / named, "--map", "imu=/imu/data", "--out", tmp_path / "a.mcap")
    assert (done.code, "no bag" in done.err) == ((1, True) if named == "metadata.yaml" else (0, False)), done.err


def test_metres_become_millimetres_and_what_is_none_becomes_0(cosmo: Run, ros: _Ros, tmp_path: Path) -> None:
    metres = np.array([[1.5, np.nan, 70.0], [np.inf, -1.0, 0.0004]], np.float32)
    images = [("/depth", BEGAN_NS + n * 10**8, ros.image(BEGAN_NS + n * 10**8, metres, "32FC1")) for n in range(2)]
    bag = ros.write(tmp_path / "session", images)
    done = cosmo("import", bag, "--map", "door=/depth")
    assert done.code == 0, done.err
    np.testing.assert_allclose(
        cosmo_python.read_recording(tmp_path / "session.mcap")["door"].values[1], [[1.5, 0, 0], [0, 0, 0]]
    )


def test_what_was_not_measured_is_nan(cosmo: Run, ros2: _Ros, tiny_bundle: Bundle, tmp_path: Path) -> None:
    messages: List[Message] = []
    for number in range(300):
        at_ns = BEGAN_NS + number * 10**7
        points = np.array([[1, 2, 3], [np.nan, 0, 0]], np.float32)
        messages.append(("/imu", at_ns, ros2.imu(at_ns, _values(number), without_rate=True)))
        messages.append(("/radar", at_ns, ros2.cloud(at_ns, points, ["x", "y", "z"], "radar_optical_frame")))
    bag = ros2.write(tmp_path / "session", messages)
    done = cosmo("import", bag, "--map", "imu=/imu", "radar=/radar")
    assert done.code == 0
    assert "radar: its points have no speeds" in done.err
    read = cosmo_python.read_recording(tmp_path / "session.mcap")
    assert np.isnan(read["imu"].values[:, 3:]).all()
    np.testing.assert_array_equal(read["radar"].values[0], [[1, 3, -2, np.nan, np.nan]])
    done = cosmo(
        "--sensors", "radar", "--bundle", tiny_bundle.path, "--speed", "max", "--output", "-",
        "--replay", tmp_path / "session.mcap",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(done.lines) >= 4
    assert done.err.count("the points of radar have no speeds") == 1


def test_samples_of_a_device_with_another_clock_have_the_time_of_the_bag(
    cosmo: Run, ros2: _Ros, tmp_path: Path
) -> None:
    messages = [("/imu", BEGAN_NS + n * 10**7, ros2.imu(n * 10**7, _values(n))) for n in range(50)]
    bag = ros2.write(tmp_path / "session", messages)
    done = cosmo("import", bag, "--map", "imu=/imu")
    assert (done.code, "its headers have another clock" in done.err) == (0, True)
    recording = Recording(tmp_path / "session.mcap")
    stamps = [event.stamp_ns for event in recording.events() if isinstance(event, Sample)]
    assert [recording.wall_ns(stamp) for stamp in stamps] == [BEGAN_NS + n * 10**7 for n in range(50)]


def test_one_wrong_stamp_at_the_start_is_left_out_and_the_others_are_kept(
    cosmo: Run, ros2: _Ros, tmp_path: Path
) -> None:
    stamps = [0, *(BEGAN_NS + n * 10**7 for n in range(1, 50))]
    messages = [("/imu", BEGAN_NS + n * 10**7 + 2 * 10**6, ros2.imu(ns, _values(n))) for n, ns in enumerate(stamps)]
    done = cosmo("import", ros2.write(tmp_path / "session", messages), "--map", "imu=/imu")
    assert (done.code, "another clock" in done.err) == (0, False)
    recording = Recording(tmp_path / "session.mcap")
    kept = [recording.wall_ns(event.stamp_ns) for event in recording.events() if isinstance(event, Sample)]
    assert kept == stamps[1:]


def test_info_says_that_the_wall_times_of_a_bag_without_a_date_mean_nothing(
    cosmo: Run, ros2: _Ros, tmp_path: Path
) -> None:
    for began_ns, is_set in ((5 * 10**9, False), (BEGAN_NS, True)):
        path = tmp_path / f"{is_set}.mcap"
        stamps = [began_ns + n * 10**7 for n in range(50)]
        bag = ros2.write(path.with_suffix(""), [("/imu", ns, ros2.imu(ns, _values(n))) for n, ns in enumerate(stamps)])
        assert cosmo("import", bag, "--map", "imu=/imu").code == 0
        assert json.loads(cosmo("info", path, "--json").out)["clock_set"] is is_set
        assert ("the clock was not set: its wall times mean nothing" in cosmo("info", path).out) is not is_set


def test_messages_whose_stamps_go_back_are_left_out_and_counted(cosmo: Run, ros2: _Ros, tmp_path: Path) -> None:
    stamps = [0, 10, 20, 20, 15, 30]
    messages = [
        ("/imu", BEGAN_NS + n * 10**7, ros2.imu(BEGAN_NS + stamp * 10**6, _values(n))) for n, stamp in enumerate(stamps)
    ]
    done = cosmo("import", ros2.write(tmp_path / "session", messages), "--map", "imu=/imu")
    assert "imu: 2 messages are left out" in done.err
    assert "samples: imu 4" in done.err


class TestWrongWords:
    @pytest.fixture
    def bag(self, ros2: _Ros, tmp_path: Path) -> Path:
        lit = ros2.image(BEGAN_NS, np.zeros((4, 4), np.uint16), "bgr8")
        tells = ros2.make("std_msgs/msg/String", data="hello")
        wide = ros2.cloud(BEGAN_NS, np.zeros((10_001, 3), np.float32), ["x", "y", "z"])
        flat = ros2.cloud(BEGAN_NS, np.zeros((2, 2), np.float32), ["x", "y"])
        others = {"/color": lit, "/says": tells, "/lidar": wide, "/flat": flat}
        more = [(topic, BEGAN_NS, message) for topic, message in others.items()]
        return ros2.write(tmp_path / "session", [*_session(ros2, 0.2), *more])

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ([], 2, "--map SENSOR=TOPIC is missing"),
            ([], 2, "/radar/points  sensor_msgs/msg/PointCloud2, 4 messages"),
            ([], 2, "and 1 other topic, from which no sensor can be made"),
            (["imu=/imu/dat"], 1, "has no topic /imu/dat. Did you mean /imu/data? It has:"),
            (["imu=/imu/dat"], 1, "/camera/depth  sensor_msgs/msg/Image, 2 messages"),
            (["imu=/says"], 1, "/says is of the type std_msgs/msg/String"),
            (["depth=/color"], 1, "its encoding is 'bgr8', and depth is 16UC1 or 32FC1: is it the color image?"),
            (["radar=/lidar"], 1, "10001 points in a frame are more than a radar has"),
            (["radar=/flat"], 1, "it has the fields x, y, and points need x, y and z"),
            (["imu"], 2, "expected SENSOR=TOPIC, such as imu=/imu/data"),
            (["IMU=/imu/data"], 2, "expected SENSOR=TOPIC"),
            (["a=/imu/data", "b=/imu/data"], 2, "name each sensor and each topic once"),
        ],
    )
    def test_are_explained(self, cosmo: Run, bag: Path, words: List[str], code: int, said: str) -> None:
        done = cosmo("import", bag, *(["--map", *words] if words else []))
        assert (done.code, said in done.err) == (code, True), done.err
        assert list(bag.parent.iterdir()) == [bag]

    def test_of_a_bag_from_which_nothing_can_be_made_all_topics_are_listed(
        self, cosmo: Run, ros2: _Ros, tmp_path: Path
    ) -> None:
        said = ros2.write(tmp_path / "talk", [("/says", BEGAN_NS, ros2.make("std_msgs/msg/String", data="hello"))])
        done = cosmo("import", said)
        assert "  /says  std_msgs/msg/String, 1 messages\n" in done.err
        assert "other topic" not in done.err

    def test_what_is_no_bag_is_said_to_be_none(self, cosmo: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.bag").write_text("no bag")
        (tmp_path / "text.mcap").write_text("no bag")
        (tmp_path / "text.txt").write_text("no bag")
        for name in "nothing", "empty", "text.bag", "text.mcap", "text.txt":
            done = cosmo("import", tmp_path / name, "--map", "imu=/imu", "--out", tmp_path / "out.mcap")
            assert done.code == 1, name
            assert name in done.err
        assert not (tmp_path / "out.mcap").exists()

    def test_nothing_is_overwritten(self, cosmo: Run, bag: Path) -> None:
        words = ["import", bag, "--map", "imu=/imu/data"]
        assert cosmo(*words).code == 0
        done = cosmo(*words)
        assert (done.code, "exists already: name another with --out" in done.err) == (2, True)
        recording = bag.with_suffix(".mcap")
        recording.rename(bag.with_name("moved.mcap"))
        recording.with_suffix(".csv").write_text("start,end,activity\n1,2,wave\n")  # and it is of that one
        done = cosmo(*words)
        assert (done.code, f"{recording.with_suffix('.csv')} exists already: name another" in done.err) == (2, True)

    def test_of_a_damaged_bag_nothing_is_left(self, cosmo: Run, bag: Path) -> None:
        (database,) = bag.glob("*.db3")
        content = bytearray(database.read_bytes())
        content[8192:] = bytes(len(content) - 8192)
        database.write_bytes(content)
        done = cosmo("import", bag, "--map", *MAP)
        assert done.code == 1, done.err
        assert list(bag.parent.iterdir()) == [bag]
