"""Keeps a broker up to date: for states only the latest counts, but every entry of the log must arrive.

The log itself is the backlog. A file holds the number of the last entry that the broker has acknowledged. Later entries
are sent when there is a broker again, even after weeks and restarts. An entry may arrive twice, with the same ``id``,
but is never lost. An alarm that the log cannot store now, such as on a full disk, is sent from memory, too.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Set, Tuple

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.runtime.episodes.entries import LogError, after, last_id
from cosmo_runtime.runtime.mqtt.client import NO_BROKER, make_client, refusal, unreachable
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.runtime.mqtt.topics import OFFLINE, ONLINE, Topics, event_of

_LOOK_S = 0.5
_IN_FLIGHT = 20
_MOST_QUEUED = 1000  # states, or alarms without a log, while a broker has stopped answering or is gone
_LAST_WORDS_S = 3.0
_KEEP_ALIVE_S = 30
_LISTEN_S = 3.0  # after a broker is back, its subscribers must return first, or they would miss entries
_SETTLE_S = 0.3  # after connecting, paho first repeats unacknowledged messages, and no state may come before those

_log = logging.getLogger(__name__)


class _Sent(NamedTuple):
    """An entry on its way."""

    id: int  # 0 for one that is not in the log yet
    message: Optional[int]  # None for an entry that is not sent


class Publisher:
    """Talks to the broker in its own threads. Only ``close`` waits for it, for a moment.

    Args:
        config: the broker's configuration.
        topics: this device's topics.
        log: folder of the log of episodes and alarms, whose entries are sent.
        cursor: the file that stores which entries were sent.
        on_message: called with topic and payload of incoming messages, in another thread.
        on_change: called when ``trouble`` comes or goes, in another thread.

    Raises:
        MqttError: paho-mqtt is not installed, or the password or certificates cannot be read.
    """

    def __init__(
        self,
        config: MqttConfig,
        topics: Topics,
        log: Path,
        cursor: Path,
        on_message: Callable[[str, str], None],
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self._topics = topics
        self._log_folder = log
        self._cursor_file = cursor
        self._on_message = on_message
        self._on_change = on_change
        self._states: Dict[str, str] = {}  # the latest payload by topic
        self._dirty: Set[str] = set()
        self._unlogged: Deque[Tuple[str, str]] = deque(maxlen=_MOST_QUEUED)
        self._acknowledged: Set[int] = set()  # numbers of messages
        self._sent: Deque[_Sent] = deque()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._connected = False
        self._was_connected = False
        self._settled_at = self._listened_at = 0.0
        self._complaint = self._failure = self._confusion = ""
        self._run_id = uuid.uuid4().hex
        self._other_runs: Set[str] = set()
        self._where = config.where
        self._client = make_client(config, f"cosmo-{self._run_id}"[:23])  # two of one id would throw each other out
        self._prepare()
        # now, because an entry that comes before the thread runs is a new one
        self._sent_before = self._read_cursor(last_id(log))
        self._client.connect_async(config.host, config.broker_port, _KEEP_ALIVE_S)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, name="MQTT", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""
        return self._connected

    @property
    def trouble(self) -> str:
        """Why nothing reaches the broker now; empty if nothing is known to be wrong."""
        wrong = self._failure or self._complaint or self._confusion
        return f"MQTT {self._where}: {wrong}" if wrong else ""

    def state(self, topic: str, payload: str) -> None:
        """Sets a retained state. It is sent when there is a broker, and again after each reconnection."""
        with self._lock:
            if self._states.get(topic) != payload:
                self._states[topic] = payload
                self._dirty.add(topic)
                self._wake.set()

    def at_once(self, topic: str, payload: str) -> None:
        """Sends an event that is not in the log. An empty topic is not sent."""
        if topic:
            self._unlogged.append((topic, payload))
            self._wake.set()

    def look(self) -> None:
        """Sends new entries of the log soon."""
        self._wake.set()

    def close(self) -> None:
        """Sends what it can within a moment, reports the device as offline, and disconnects."""
        self._stop.set()
        self._wake.set()
        self._thread.join(_LAST_WORDS_S)
        if self._connected:
            with suppress(ValueError, RuntimeError):
                self._client.publish(self._topics.availability, OFFLINE, qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _prepare(self) -> None:
        client = self._client
        client.will_set(self._topics.availability, OFFLINE, qos=1, retain=True)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(_MOST_QUEUED)
        client.reconnect_delay_set(1, 60)
        client.on_connect, client.on_disconnect = self._when_connected, self._when_disconnected
        client.on_connect_fail = self._when_unreachable
        client.on_message, client.on_publish = self._when_heard, self._when_published

    # in paho's thread

    def _when_connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._complain(refusal(reason))
            return
        topics = self._topics
        heard = (topics.birth, topics.acknowledgements, topics.run, topics.availability)
        client.subscribe([(topic, 1) for topic in heard])
        client.publish(self._topics.run, self._run_id, qos=1)
        client.publish(self._topics.availability, ONLINE, qos=1, retain=True)
        if self._complaint:
            _log.warning("the MQTT broker %s is back", self._where)
            self._complaint = ""
            self._on_change()
        self._settled_at = time.monotonic() + _SETTLE_S
        if self._was_connected:
            self._listened_at = time.monotonic() + _LISTEN_S
        self._connected = self._was_connected = True
        self._send_all_states()

    def _when_disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        was_connected, self._connected = self._connected, False
        if self._stop.is_set():
            return
        if was_connected:
            self._complain(f"the connection is gone ({reason}); what happens meanwhile is sent later")
        elif not self._complaint:
            self._complain(NO_BROKER)

    def _when_unreachable(self, client: Any, data: Any) -> None:
        words = f"{unreachable()}. What happens meanwhile is sent later"
        if self._complaint:  # it is known to be away, and the reason may change with every attempt
            self._complaint = words
        else:
            self._complain(words)

    def _when_heard(self, client: Any, data: Any, message: Any) -> None:
        payload = message.payload.decode("utf-8", "replace")
        if message.topic == self._topics.birth:
            if payload == ONLINE:
                self._send_all_states()
        elif message.topic == self._topics.run:
            self._hear_of_run(payload)
        elif message.topic == self._topics.availability:
            if payload == OFFLINE and not message.retain and not self._stop.is_set():
                self._contradict()
        elif not message.retain:
            self._on_message(message.topic, payload)

    def _when_published(self, client: Any, data: Any, message: int, *_: Any) -> None:
        with self._lock:
            self._acknowledged.add(message)
        self._wake.set()

    def _hear_of_run(self, run_id: str) -> None:
        """Complains of another run under the same name, and answers it, so that it complains as well."""
        if run_id == self._run_id or run_id in self._other_runs:
            return
        self._other_runs.add(run_id)
        self._client.publish(self._topics.run, self._run_id, qos=1)
        self._confusion = (
            f"another run is called {self._topics.device} as well, so nobody can tell them apart: give each a `device` "
            "of its own in [mqtt], and start both again"
        )
        _log.error("MQTT %s: %s", self._where, self._confusion)
        self._on_change()

    def _contradict(self) -> None:
        """Says that this run is there, after another one has ended, or the broker has given up a lost connection."""
        self._client.publish(self._topics.availability, ONLINE, qos=1, retain=True)
        self._send_all_states()
        self._other_runs.clear()
        self._client.publish(self._topics.run, self._run_id, qos=1)  # another one that is still there answers
        if self._confusion:
            _log.warning("MQTT %s: no other run is called %s any more", self._where, self._topics.device)
            self._confusion = ""
            self._on_change()

    def _send_all_states(self) -> None:
        with self._lock:
            self._dirty.update(self._states)
        self._wake.set()

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            self._complaint = words
            _log.warning("MQTT %s: %s", self._where, words)
            self._on_change()

    # in this class's thread

    def _run(self) -> None:
        sent = self._sent_before
        try:
            while True:
                stopping = self._stop.is_set()
                if self._connected and time.monotonic() >= self._settled_at:
                    self._send_states()
                    if stopping or time.monotonic() >= self._listened_at:
                        self._send_unlogged()
                        sent = self._send_entries(sent)
                if stopping and not (self._connected and (self._sent or self._unlogged)):
                    return
                self._wake.wait(0.05 if self._sent else _LOOK_S)
                self._wake.clear()
        except Exception as error:  # an alarm that cannot be sent is at least logged
            self._failure = f"nothing is sent any more: {error}"
            _log.exception("MQTT %s: %s", self._where, self._failure)
            self._on_change()

    def _send_states(self) -> None:
        with self._lock:
            waiting = {topic: self._states[topic] for topic in sorted(self._dirty)}  # discovery's topic comes last
            self._dirty.clear()
        for topic, payload in waiting.items():
            self._client.publish(topic, payload, qos=1, retain=True)

    def _send_unlogged(self) -> None:
        while self._unlogged and len(self._sent) < _IN_FLIGHT:
            self._sent.append(_Sent(0, self._client.publish(*self._unlogged.popleft(), qos=1).mid))

    def _send_entries(self, sent: int) -> int:
        """Sends the next entries, and notes which have arrived. Returns the last one sent."""
        entries: List[Dict[str, Any]] = []
        with suppress(LogError):  # whoever writes it complains, and its entries come later
            entries = after(self._log_folder, sent, _IN_FLIGHT - len(self._sent))
        for entry in entries:
            topic, payload = event_of(self._topics, entry)
            message = self._client.publish(topic, payload, qos=1).mid if topic else None
            self._sent.append(_Sent(entry["id"], message))
            sent = entry["id"]
        arrived = 0
        with self._lock:
            while self._sent and (self._sent[0].message is None or self._sent[0].message in self._acknowledged):
                arrived = self._sent.popleft().id or arrived
            self._acknowledged &= {item.message for item in self._sent if item.message is not None}
        if arrived:
            self._write_cursor(arrived)
        return sent

    def _read_cursor(self, newest: Optional[int]) -> int:
        """What was sent before; all that there is when nothing ever was, or when the log is another one."""
        try:
            number = int(json.loads(self._cursor_file.read_text("utf-8"))["sent"])
        except (OSError, ValueError, KeyError, TypeError):
            number = newest or 0
            self._write_cursor(number)
        return number if newest is None or number <= newest else 0

    def _write_cursor(self, number: int) -> None:
        try:
            write_whole(self._cursor_file, json.dumps({"sent": number}).encode())
        except OSError as error:  # then an entry comes twice
            _log.info("%s cannot be written: %s", self._cursor_file, error.strerror)
