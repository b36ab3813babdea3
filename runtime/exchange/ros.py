"""Makes a recording from a ROS bag: ROS 1 bags, and ROS 2 bags in SQLite and in MCAP."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

import numpy as np

from cosmo_runtime.runtime.exchange.ros_messages import FROM_ROS, FromRos
from cosmo_runtime.runtime.recognition.evidence import lack_speeds
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick
from cosmo_runtime.sensors.recording.offline_writer import write_events
from cosmo_runtime.sensors.sensor import SensorInfo

_BEFORE_NS = 20 * 10**9  # the recording's clock at the start of the bag, so that no stamp is below 0
_OFF_NS = 10 * 10**9  # a header's stamp that is further from the bag's is from another clock
_RATE_SAMPLES = 10_000
_LOOK_AT = 21  # messages that tell a topic's clock; the first stamps of a device that starts may be wrong


class ImportFailed(Exception):
    """A bag cannot be imported. The message says what to do."""


class Imported(NamedTuple):
    """The outcome of importing a topic.

    Attributes:
        samples: the number of recorded samples.
        left_out: messages whose stamps are not after the previous one.
        stamped_late: whether its headers use another clock, so that samples have the time at which the bag got them.
        lacks_speeds: whether they are a radar's points, and none has a speed.
    """

    samples: int
    left_out: int
    stamped_late: bool
    lacks_speeds: bool


def topics_of(bag: Path) -> str:
    """A bag's topics that can be imported, with their types and numbers of messages, in words for people."""
    with _open(bag) as reader:
        return _listed(reader.topics)


def import_bag(bag: Path, topics: Mapping[str, str], path: Path, metadata: Mapping[str, str]) -> Dict[str, Imported]:
    """Writes a new recording of some of a bag's topics, whole or not at all.

    Args:
        bag: a ``.bag``, a folder of them, or the folder of a ROS 2 bag.
        topics: each topic, by the name of the sensor to record.
        path: the new recording.
        metadata: the recording's metadata.

    Raises:
        ImportFailed: rosbags is missing, the bag cannot be read, or a topic is missing or of an unknown type.
        RecordingError: the recording exists or cannot be written.
    """
    with _open(bag) as reader:
        lanes = {name: _Lane(name, topic, _type_of(reader, topic), reader) for name, topic in topics.items()}
        first_ns = reader.start_time
        infos = {name: lane.info for name, lane in lanes.items()}
        write_events(path, _events(reader, lanes, first_ns), infos, metadata, first_ns - _BEFORE_NS)
    return {
        name: Imported(lane.samples, lane.left_out, lane.stamped_late, lane.lacks_speeds)
        for name, lane in lanes.items()
    }


class _Lane:
    """One topic whose messages become a sensor's samples."""

    def __init__(self, name: str, topic: str, kind: FromRos, reader: Any) -> None:
        count, seconds = reader.topics[topic].msgcount, max(reader.duration / 1e9, 1e-3)
        self.topic = topic
        self.samples = self.left_out = 0
        self.lacks_speeds = False
        self._has_points = False
        self.stamped_late = self._has_other_clock(reader)
        self.info = SensorInfo(name, f"{topic} of a ROS bag", min(count / seconds, 1e3), kind=kind.kind)
        self.info.depth_scale_m = kind.depth_scale_m
        self._data = kind.data
        self._last_ns: Optional[int] = None
        self._steps_ns = array("q")

    def sample(self, message: Any, bag_ns: int, offset_ns: int) -> Optional[Sample]:
        """The sample of the next message; None if its stamp is not after the previous one."""
        stamp_ns = bag_ns if self.stamped_late else _header_ns(message)
        if abs(stamp_ns - bag_ns) > _OFF_NS or (self._last_ns is not None and stamp_ns <= self._last_ns):
            self.left_out += 1
            return None
        try:
            data = self._data(message)
        except ValueError as error:
            raise ImportFailed(f"{self.topic}: {error}") from error
        if self._last_ns is not None and len(self._steps_ns) < _RATE_SAMPLES:
            self._steps_ns.append(stamp_ns - self._last_ns)
        self._last_ns = stamp_ns
        self.samples += 1
        if self.info.kind == "radar" and len(data):
            self.lacks_speeds = lack_speeds(data) and (self.lacks_speeds or not self._has_points)
            self._has_points = True
        return Sample(self.info.name, stamp_ns - offset_ns, bag_ns - offset_ns, data)

    def _has_other_clock(self, reader: Any) -> bool:
        connections = [connection for connection in reader.connections if connection.topic == self.topic]
        first = islice(_read(reader.messages(connections=connections)), _LOOK_AT)
        late_ns = [bag_ns - _header_ns(_read_one(reader, raw, connection)) for connection, bag_ns, raw in first]
        return bool(late_ns) and abs(float(np.median(late_ns))) > _OFF_NS

    def settle_rate(self) -> None:
        """Sets the rate to that of most samples, ignoring gaps."""
        if self._steps_ns:
            self.info.rate_hz = round(min(1e9 / float(np.median(self._steps_ns)), 1e4), 3)


def _events(reader: Any, lanes: Mapping[str, _Lane], first_ns: int) -> Iterator[Event]:
    by_topic = {lane.topic: lane for lane in lanes.values()}
    offset_ns = first_ns - _BEFORE_NS
    for name in lanes:
        yield StateChange(name, _BEFORE_NS, "ok")
    now_ns = _BEFORE_NS
    connections = [connection for connection in reader.connections if connection.topic in by_topic]
    for connection, bag_ns, raw in _read(reader.messages(connections=connections)):
        lane = by_topic[connection.topic]
        sample = lane.sample(_read_one(reader, raw, connection), bag_ns, offset_ns)
        if sample:
            now_ns = max(now_ns, sample.arrival_ns)
            yield sample
    for lane in lanes.values():
        if not lane.samples:
            raise ImportFailed(f"{lane.topic}: none of its messages has a stamp that can be used")
        lane.settle_rate()
    yield Tick(now_ns)


@contextmanager
def _open(bag: Path) -> Iterator[Any]:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ImportFailed("import needs rosbags (Python 3.8.2 or later): pip install 'cosmo-runtime[ros]'") from error
    paths = _files_of(bag)
    try:
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except Exception as error:  # libraries raise many kinds of errors on a file that is not a bag
        raise _unreadable(bag, error) from error
    try:
        yield reader
    finally:
        reader.close()


def _files_of(bag: Path) -> List[Path]:
    """The paths to give to the reader of bags, for the path that a person named."""
    if not bag.exists():
        raise ImportFailed(f"{bag} does not exist")
    if bag.is_file():
        if bag.suffix not in (".bag", ".db3", ".mcap"):
            raise ImportFailed(f"{bag} is no bag: expected a .bag of ROS 1, or the folder of a ROS 2 bag")
        return [bag.parent] if (bag.parent / "metadata.yaml").exists() and bag.suffix != ".bag" else [bag]
    if (bag / "metadata.yaml").exists():
        return [bag]
    bags = sorted(bag.glob("*.bag"))
    if not bags:
        raise ImportFailed(f"{bag} holds no bag: neither the metadata.yaml of a ROS 2 bag, nor a .bag of ROS 1")
    return bags


def _type_of(reader: Any, topic: str) -> FromRos:
    """How a topic's messages are converted."""
    if topic not in reader.topics:
        alike = get_close_matches(topic, list(reader.topics), n=1)
        perhaps = f" Did you mean {alike[0]}?" if alike else ""
        raise ImportFailed(f"the bag has no topic {topic}.{perhaps} It has:\n{_listed(reader.topics)}")
    kind = FROM_ROS.get(reader.topics[topic].msgtype or "")
    if kind is None:
        raise ImportFailed(
            f"{topic} is of the type {reader.topics[topic].msgtype}, and only {', '.join(FROM_ROS)} can be imported. "
            f"The bag has:\n{_listed(reader.topics)}"
        )
    if not reader.topics[topic].msgcount:
        raise ImportFailed(f"{topic} has no messages. The bag has:\n{_listed(reader.topics)}")
    return kind


def _listed(topics: Mapping[str, Any]) -> str:
    """The topics that can be imported, a line each, and how many others there are; all where none can be."""
    names = sorted(topics)
    wanted = [name for name in names if topics[name].msgtype in FROM_ROS and topics[name].msgcount]
    lines = [f"  {name}  {topics[name].msgtype}, {topics[name].msgcount} messages" for name in wanted or names]
    others = len(names) - len(lines)
    if others:
        lines.append(f"  and {others} other topic{'s' if others > 1 else ''}, from which no sensor can be made")
    return "\n".join(lines) or "  nothing"


def _header_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec * 10**9 + stamp.nanosec)


def _read(messages: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from messages
    except Exception as error:
        raise ImportFailed(f"the bag is damaged: {error}") from error


def _read_one(reader: Any, raw: bytes, connection: Any) -> Any:
    try:
        return reader.deserialize(raw, connection.msgtype)
    except Exception as error:
        raise ImportFailed(f"the bag is damaged: a message on {connection.topic} cannot be read: {error}") from error


def _unreadable(bag: Path, error: Exception) -> ImportFailed:
    return ImportFailed(f"{bag} cannot be read as a ROS bag: {error}")
