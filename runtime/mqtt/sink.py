"""Publishes a run by MQTT: the activity, the alarms, and each sensor's state."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from cosmo_runtime.runtime.alarms.board import News
from cosmo_runtime.runtime.alarms.last import first, is_on, times
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.mqtt.publisher import Publisher
from cosmo_runtime.runtime.mqtt.topics import Device, Topics, event_of
from cosmo_runtime.runtime.recognition.loop import WORKING, Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence

_CONFIDENCE_NS = 10 * 10**9  # a number that changes with every window would fill the home's database

_log = logging.getLogger(__name__)


class MqttSink(Sink):
    """Turns a run into states. The publisher sends them, together with the log's entries.

    Args:
        publisher: sends the states.
        topics: this device's topics.
        device: what this device publishes.
        last_alarms: the last log entry of each alarm, by name.
        current: returns the present episode.
        local_time: the local time at a time of the host's monotonic clock.
    """

    def __init__(
        self,
        publisher: Publisher,
        topics: Topics,
        device: Device,
        last_alarms: Mapping[str, Mapping[str, Any]],
        current: Callable[[], Optional[Episode]],
        local_time: Callable[[int], datetime],
    ) -> None:
        self._publisher = publisher
        self._topics = topics
        self._device = device
        self._current = current
        self._local_time = local_time
        self._classes: Sequence[str] = ()
        self._published: Optional[Episode] = None
        self._published_ns = 0
        self._behind_ms: Mapping[str, float] = {}
        self._corrected_ms: Mapping[str, float] = {}
        for rule in device.alarms:
            last = last_alarms.get(rule.name)
            told = (
                {"times": times(last), "first": first(last) if times(last) else None, **last["evidence"]}
                if last
                else {}
            )
            self._alarm(rule.name, bool(last and is_on(last)), told)

    @property
    def trouble(self) -> str:
        """Why nothing reaches the broker now; empty if nothing is known to be wrong."""
        return self._publisher.trouble

    def outcome(self, outcome: Outcome) -> None:
        """Publishes the activity and the sensors."""
        classes = list(outcome.prediction.probabilities)
        if classes != self._classes:  # for the first window, or another model
            self._classes = classes
            payload = self._topics.discovery_payload(self._device, classes)
            self._publisher.state(self._topics.discovery, payload)
        self._tell(outcome.sensors)

    def silence(self, silence: Silence) -> None:
        """Publishes that nothing is recognised."""
        self._tell(silence.sensors, silence.reason)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Notes it for the states of the sensors."""
        self._behind_ms = behind_ms

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Notes it for the states of the sensors."""
        self._corrected_ms = taken_off_ms

    def alarm(self, news: News) -> None:
        """Publishes a change of an alarm. The log has it already."""
        self._alarm(news.rule.name, news.on, {"times": news.times, "first": news.first, **news.evidence})
        self._publisher.look()

    def unlogged(self, entry: Mapping[str, Any]) -> None:
        """Publishes an entry that waits for the log. It comes again from the log, with the same ``event_id``."""
        self._publisher.at_once(*event_of(self._topics, entry))

    def health(self, message: str) -> None:
        """Publishes the device's health. Any thread may call this."""
        self._publisher.state(self._topics.health, message)

    def close(self) -> None:
        """Disconnects from the broker."""
        self._publisher.close()

    def _alarm(self, name: str, on: bool, told: Mapping[str, Any]) -> None:
        self._publisher.state(self._topics.alarm(name), json.dumps({"state": "ON" if on else "OFF", **told}))

    def _tell(self, sensors: Mapping[str, str], reason: str = "") -> None:
        now, before = self._current(), self._published
        changed = now and (before is None or (now.activity, now.start_ns) != (before.activity, before.start_ns))
        if now and (changed or now.end_ns - self._published_ns >= _CONFIDENCE_NS):
            self._published, self._published_ns = now, now.end_ns
            state: Dict[str, Any] = {
                "activity": now.activity,
                "confidence": round(now.confidence, 3),
                "since": self._local_time(now.start_ns).isoformat(timespec="seconds"),
                "sensors": list(now.sensors),
            }
            self._publisher.state(self._topics.activity, json.dumps(state))
        for name, condition in sensors.items():
            fault: Dict[str, Any] = {"state": "OFF" if condition in WORKING else "ON", "condition": condition}
            if condition not in WORKING and reason:
                fault["reason"] = reason
            if name in self._behind_ms:
                fault["behind_ms"] = self._behind_ms[name]
            if name in self._corrected_ms:
                fault["corrected_ms"] = self._corrected_ms[name]
            self._publisher.state(self._topics.sensor(name), json.dumps(fault))
