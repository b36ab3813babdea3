"""Hands a live run over to the page in small messages, ten times a second, whatever the sensors' rates."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.json_lines import as_json
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.web.pictures import FAR_M, NEAR_M, small_picture
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.sensors.sensor import SensorInfo

PERIOD_NS = 100_000_000
_STATES_NS = 500_000_000
_RATE_NS = 2_000_000_000
_IMU_HZ = 50  # of the curve on the page

Payload = Union[str, bytes]
Send = Callable[[str, Payload], object]


def packed(head: Mapping[str, Any], data: bytes) -> bytes:
    """A message with numbers: its head as a line of JSON, then the bytes."""
    return json.dumps(head, ensure_ascii=True).encode() + b"\n" + data


class PageFeed(Sink):
    """Shows a run on the page.

    Args:
        send: takes a key and a message. Of two messages with the same key, a slow browser only needs the later one.
        spec: the model's spec.
        infos: the sensors' infos.
        title: where the data comes from, in words.
        wall_offset_ns: returns the wall clock minus the host's monotonic clock, at a time of the latter.
        recordings: the run's recordings; the page shows when one has stopped.
    """

    def __init__(
        self,
        send: Send,
        spec: ModelSpec,
        infos: Mapping[str, SensorInfo],
        title: str,
        wall_offset_ns: Callable[[int], int],
        recordings: Sequence[RecordingSink] = (),
    ) -> None:
        self._send = send
        self._recordings = recordings
        self._infos = infos
        self._wall_offset_ns = wall_offset_ns
        self._states = dict.fromkeys(infos, "waiting")
        self._behind_ms: Mapping[str, float] = {}
        self._corrected_ms: Mapping[str, float] = {}
        self._traces: Dict[str, List[np.ndarray]] = {name: [] for name in infos}
        self._frames: Dict[str, Sample] = {}
        self._skip = {name: samples_a_point(info) for name, info in infos.items()}
        self._seen = dict.fromkeys(infos, 0)
        self._rates: Dict[str, float] = dict.fromkeys(infos, 0.0)
        self._counted = dict.fromkeys(infos, 0)
        self._counted_ns = time.monotonic_ns()
        self._flushed_ns = self._told_ns = 0
        sensors = {name: {"kind": info.kind, "device": info.device} for name, info in infos.items()}
        self._tell(
            "run", title=title, sensors=sensors, activities=list(spec.classes), window_s=spec.window_s, hop_s=spec.hop_s
        )
        self._tell_states()

    def event(self, event: Event) -> None:
        """Notes what to draw, and hands it over ten times a second."""
        if isinstance(event, Sample) and event.sensor in self._infos:
            self._take(event)
            if event.arrival_ns - self._flushed_ns >= PERIOD_NS:
                self._flushed_ns = event.arrival_ns
                self._flush()
        elif isinstance(event, StateChange) and event.sensor in self._states:
            self._states[event.sensor] = event.state
            self._tell_states()

    def outcome(self, outcome: Outcome) -> None:
        """Hands over one prediction."""
        told = as_json(outcome, self._wall_offset_ns(outcome.window.end_ns))
        told["end_ms"] = (outcome.window.end_ns + self._wall_offset_ns(outcome.window.end_ns)) / 1e6
        self._tell("prediction", **told)
        for name, state in outcome.sensors.items():
            if self._states.get(name) != "lost":
                self._states[name] = state

    def silence(self, silence: Silence) -> None:
        """Hands over the reason why there are no predictions."""
        self._tell("silence", reason=silence.reason)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Hands over which sensors are out of step."""
        self._behind_ms = behind_ms
        self._tell_states()

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Hands over what is taken off the sensors' times."""
        self._corrected_ms = taken_off_ms
        self._tell_states()

    def idle(self) -> None:
        """Hands over the sensors' states, even if all sensors are silent."""
        if time.monotonic_ns() - self._told_ns >= _STATES_NS:
            self._tell_states()

    def _take(self, sample: Sample) -> None:
        name, kind = sample.sensor, self._infos[sample.sensor].kind
        if kind in ("depth", "radar"):
            self._frames[name] = sample
        elif kind == "imu":
            self._seen[name] += 1
            if self._seen[name] % self._skip[name] == 0:
                stamp_ms = (sample.stamp_ns + self._wall_offset_ns(sample.stamp_ns)) / 1e6 % 1e6
                self._traces[name].append(np.array([stamp_ms, *sample.data[:6]], np.float32))

    def _flush(self) -> None:
        for name, rows in self._traces.items():
            if rows:
                head = {"kind": "imu", "sensor": name, "rows": len(rows)}
                self._send(f"imu {name}", packed(head, np.stack(rows).tobytes()))
                rows.clear()
        for name, sample in self._frames.items():
            self._send(f"frame {name}", frame_message(sample, self._infos[name]))
        self._frames.clear()
        if time.monotonic_ns() - self._told_ns >= _STATES_NS:
            self._tell_states()

    def _tell_states(self) -> None:
        self._told_ns = now_ns = time.monotonic_ns()
        if now_ns - self._counted_ns >= _RATE_NS:
            for name, info in self._infos.items():
                count = info.counts["samples"]
                self._rates[name] = (count - self._counted[name]) * 1e9 / (now_ns - self._counted_ns)
                self._counted[name] = count
            self._counted_ns = now_ns
        sensors = {
            name: {
                "state": self._states[name],
                "rate_hz": round(self._rates[name], 1),
                "losses": info.losses,
                "behind_ms": self._behind_ms.get(name, 0),
                "corrected_ms": self._corrected_ms.get(name, 0),
            }
            for name, info in self._infos.items()
        }
        troubles = [recording.trouble for recording in self._recordings if recording.trouble]
        self._tell("sensors", sensors=sensors, troubles=troubles)

    def _tell(self, kind: str, **content: Any) -> None:
        self._send(kind, json.dumps({"kind": kind, **content}))


def samples_a_point(info: SensorInfo) -> int:
    """Of how many samples of an IMU the page's curve draws one."""
    return max(1, round(info.rate_hz / _IMU_HZ))


def frame_message(sample: Sample, info: SensorInfo, at_s: Optional[float] = None) -> bytes:
    """A depth image or a radar's points for the page to draw; ``at_s`` is their time in a recording."""
    head: Dict[str, Any] = {"kind": info.kind, "sensor": sample.sensor}
    if at_s is not None:
        head["at_s"] = round(at_s, 4)
    if info.kind == "depth":
        picture = small_picture(sample.data, info.depth_scale_m)
        head.update(columns=picture.shape[1], rows=picture.shape[0], near_m=NEAR_M, far_m=FAR_M)
        return packed(head, picture.tobytes())
    points = np.ascontiguousarray(sample.data[:, :4], np.float32)
    return packed({**head, "points": len(points)}, points.tobytes())
