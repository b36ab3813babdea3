"""Encodes a run's events as messages, and decodes them."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue

from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording.messages import TRUTH, Message, decode_json, encode_json, protobuf, text_of
from cosmo_runtime.sensors.recording.samples import CODECS
from cosmo_runtime.sensors.sensor import SensorInfo

STANDING_TOPICS = ("/state", "/corrections", TRUTH)
"""The topics of events that stand until the next one."""

_RAW = "/raw"  # a device's bytes, below the sensor's topic
_MOST_TAKEN_OFF_NS = 10 * 10**9  # as much as a configured latency


def encode(event: Event, infos: Mapping[str, SensorInfo], wall_offset_ns: int) -> List[Message]:
    """Encodes an event as messages, with wall time for viewers: monotonic time plus ``wall_offset_ns``."""
    if isinstance(event, Sample):
        codec = CODECS[infos[event.sensor].kind]
        messages = codec.encode(event, event.stamp_ns + wall_offset_ns)
        if event.raw:
            raw = BytesValue(value=event.raw)
            messages.insert(0, protobuf(f"/{event.sensor}{_RAW}", event.arrival_ns, event.stamp_ns, raw))
        return messages
    if isinstance(event, StateChange):
        return [
            encode_json("/state", event.at_ns, {"sensor": event.sensor, "state": event.state, "reason": event.reason})
        ]
    if isinstance(event, Correction):
        content = {"sensor": event.sensor, "taken_off_ns": event.taken_off_ns}
        return [encode_json("/corrections", event.at_ns, content)]
    if isinstance(event, Truth):
        return [encode_json(TRUTH, event.stamp_ns, {"activity": event.activity})]
    return [encode_json("/ticks", event.now_ns, {})]


class _Part(NamedTuple):
    """The content of a topic that belongs to a sensor's next sample."""

    sensor: str
    topic: str
    read: Callable[[bytes], Any]


class EventReader:
    """Decodes events from the messages of a recording, in order.

    Args:
        infos: the sensors' infos. Names and kinds say which topic holds what.
        raw: whether to read the devices' own bytes, too. Only who writes the events again needs them.

    Attributes:
        topics: the topics that hold events or parts of them.
    """

    def __init__(self, infos: Mapping[str, SensorInfo], raw: bool = True) -> None:
        self._infos = infos
        self._sensors: Dict[str, str] = {}  # by topic of the samples
        self._decoders: Dict[str, Callable[[bytes, Mapping[str, Any]], np.ndarray]] = {}
        self._parts: Dict[str, _Part] = {}
        self._waiting: Dict[str, Dict[str, Any]] = {name: {} for name in infos}  # for each sensor's next sample
        for name, info in infos.items():
            codec = CODECS[info.kind]
            self._decoders[name] = codec.decode
            self._sensors[f"/{name}{codec.topic}"] = name
            for topic, read in {**({_RAW: _read_raw} if raw else {}), **codec.parts}.items():
                self._parts[f"/{name}{topic}"] = _Part(name, topic, read)
        self.topics = frozenset([*self._sensors, *self._parts, *STANDING_TOPICS, "/ticks"])

    def read(self, message: Message) -> Optional[Event]:
        """Decodes a message of one of ``topics``; None if it is a part of a sample that follows.

        Raises:
            ValueError: the message does not fit its topic; says why.
        """
        topic, at_ns, stamp_ns, data, _ = message
        try:
            part = self._parts.get(topic)
            if part:
                sensor, part_topic, read = part
                self._waiting[sensor][part_topic] = read(data)
                return None
            name = self._sensors.get(topic)
            if name:
                parts, self._waiting[name] = self._waiting[name], {}
                return Sample(name, stamp_ns, at_ns, self._decoders[name](data, parts), parts.get(_RAW, b""))
        except DecodeError as error:
            raise ValueError("it is not a message of the topic's type") from error
        content = decode_json(data)
        if topic == "/state":
            return self._state(at_ns, content)
        if topic == "/corrections":
            return self._correction(at_ns, content)
        if topic == TRUTH:
            return Truth(stamp_ns, text_of(content, "activity"))
        return Tick(at_ns)

    def _state(self, at_ns: int, content: Mapping[str, Any]) -> StateChange:
        sensor, state = content.get("sensor"), content.get("state")
        if not isinstance(sensor, str) or sensor not in self._infos or state not in ("ok", "lost"):
            raise ValueError(f"it says that {sensor!r:.80} is {state!r:.80}, which is not a sensor and its state")
        return StateChange(sensor, at_ns, str(state), text_of(content, "reason"))

    def _correction(self, at_ns: int, content: Mapping[str, Any]) -> Correction:
        sensor, taken_off_ns = content.get("sensor"), content.get("taken_off_ns")
        if not isinstance(sensor, str) or sensor not in self._infos:
            raise ValueError(f"it corrects {sensor!r:.80}, which is not a sensor")
        if type(taken_off_ns) is not int or abs(taken_off_ns) > _MOST_TAKEN_OFF_NS:
            raise ValueError(f"it takes {taken_off_ns!r:.40} ns off, which is not a number of at most ten seconds")
        return Correction(sensor, at_ns, taken_off_ns)


def _read_raw(data: bytes) -> bytes:
    return BytesValue.FromString(data).value
