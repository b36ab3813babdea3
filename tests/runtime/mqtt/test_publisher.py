from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from cosmo_runtime.runtime.alarms.board import AlarmBoard
from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.episodes.clock import ClockWatch
from cosmo_runtime.runtime.episodes.entries import DATABASE
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.mqtt.client import MqttError, why_no_broker
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.runtime.mqtt.publisher import Publisher
from cosmo_runtime.runtime.mqtt.sink import MqttSink
from cosmo_runtime.runtime.mqtt.topics import Device as Described
from cosmo_runtime.runtime.mqtt.topics import Topics
from cosmo_runtime.runtime.recognition.silence import Silence
from tests.full_disk import full_at

_TOPICS = Topics("cosmo-test", "homeassistant")


class Device:
    """A log and its publisher."""

    def __init__(self, folder: Path, port: int, **keys: Any) -> None:
        self.log = EpisodeLog(folder / "log", lambda _: 0)
        self.heard: List[Tuple[str, str]] = []
        config = MqttConfig(host="127.0.0.1", port=port, **keys)
        self.publisher = Publisher(
            config, _TOPICS, self.log.folder, folder / "mqtt.json", lambda *words: self.heard.append(words)
        )
        self._count = 0
        self._closed = False

    def does(self, activity: str) -> None:
        self._count += 1
        self.log.ended(Episode(activity, self._count * 10**9, (self._count + 1) * 10**9, 0.9, ("imu",), 2, "person"))
        self.publisher.look()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.log.close()
            self.publisher.close()


@pytest.fixture
def make_device(tmp_path: Path) -> Iterator[Callable[..., Device]]:
    devices: List[Device] = []

    def make(port: int, **keys: Any) -> Device:
        devices.append(Device(tmp_path, port, **keys))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


def _activities(home: Any) -> List[str]:
    return [json.loads(payload)["activity"] for payload in home.payloads(_TOPICS.episodes)]


def _local_time(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9)


def _wait(found: Callable[[], Any], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_entry_that_comes_before_the_publisher_runs_is_sent(
    broker: Any, make_home: Any, make_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_late(publisher: Publisher, run: Callable[[Publisher], None] = Publisher._run) -> None:
        time.sleep(0.3)
        run(publisher)

    monkeypatch.setattr(Publisher, "_run", run_late)
    home, device = make_home(broker), make_device(broker.port)
    device.does("walk")
    home.wait_for(lambda: _activities(home) == ["walk"])


@pytest.mark.parametrize("name", ["cosmo-test", "cosmo-kitchen-upstairs-2"])
def test_two_runs_of_one_name_complain_and_one_that_was_started_again_does_not(
    broker: Any, make_home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_TOPICS", Topics(name, "homeassistant"))
    first, again = Device(tmp_path / "one", broker.port), Device(tmp_path / "other", broker.port)
    _wait(lambda: first.publisher.trouble and again.publisher.trouble)
    assert f"another run is called {name} as well" in again.publisher.trouble
    for device in (first, again):
        device.close()
    alone, home = Device(tmp_path / "one", broker.port), make_home(broker)
    alone.does("walk")
    home.wait_for(lambda: _activities(home) == ["walk"])
    assert not alone.publisher.trouble
    alone.close()


def test_who_stays_after_another_run_of_the_same_name_is_online_with_its_own_states_and_well(
    broker: Any, make_home: Any, tmp_path: Path
) -> None:
    stays, goes = Device(tmp_path / "one", broker.port), Device(tmp_path / "other", broker.port)
    home = make_home(broker)
    stays.publisher.state(_TOPICS.activity, "walk")
    _wait(lambda: stays.publisher.trouble and goes.publisher.trouble)
    goes.publisher.state(_TOPICS.activity, "fall")
    home.wait_for(lambda: home.payloads(_TOPICS.activity)[-1:] == ["fall"])
    goes.close()
    _wait(lambda: home.retained() == {_TOPICS.availability: "online", _TOPICS.activity: "walk"})
    _wait(lambda: not stays.publisher.trouble)
    third = Device(tmp_path / "third", broker.port)
    _wait(lambda: stays.publisher.trouble and third.publisher.trouble)
    for device in (stays, third):
        device.close()
    assert home.retained()[_TOPICS.availability] == "offline"


def test_states_are_retained_and_entries_are_events(broker: Any, make_home: Any, make_device: Any) -> None:
    home, device = make_home(broker), make_device(broker.port)
    device.publisher.state(_TOPICS.activity, "walk")
    device.does("walk")
    home.wait_for(lambda: _activities(home) == ["walk"] and home.payloads(_TOPICS.activity))
    assert json.loads(home.payloads(_TOPICS.episodes)[0])["event_type"] == "ended"
    assert home.retained() == {_TOPICS.availability: "online", _TOPICS.activity: "walk"}
    device.close()
    home.wait_for(lambda: home.payloads(_TOPICS.availability)[-1] == "offline")
    assert home.retained()[_TOPICS.availability] == "offline"


def test_a_broker_that_was_killed_gets_all_states_and_every_entry_when_it_is_back(
    broker: Any, make_home: Any, make_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    home, device = make_home(broker), make_device(broker.port)
    device.publisher.state(_TOPICS.activity, "walk")
    device.publisher.state(_TOPICS.sensor("imu"), "OFF")
    device.does("a")
    home.wait_for(lambda: _activities(home) == ["a"])
    broker.kill()
    _wait(lambda: not device.publisher.connected)
    for number in range(50):
        device.does(f"b{number}")
        device.publisher.state(_TOPICS.activity, f"b{number}")
    broker.start()
    home.wait_for(lambda: len(set(_activities(home))) == 51)
    assert list(dict.fromkeys(_activities(home))) == ["a", *(f"b{number}" for number in range(50))]
    home.wait_for(lambda: home.payloads(_TOPICS.activity)[-1] == "b49")
    assert home.retained() == {
        _TOPICS.availability: "online",
        _TOPICS.activity: "b49",
        _TOPICS.sensor("imu"): "OFF",
    }
    assert "the connection is gone" in caplog.text
    assert "is back" in caplog.text


def test_what_happened_without_a_broker_is_sent_by_the_next_run(broker: Any, make_home: Any, make_device: Any) -> None:
    home, first = make_home(broker), make_device(broker.port)
    first.does("a")
    home.wait_for(lambda: _activities(home) == ["a"])
    broker.kill()
    _wait(lambda: not first.publisher.connected)
    first.does("b")
    first.close()
    broker.start()
    _wait(lambda: home.hears)
    second = make_device(broker.port)
    second.does("c")
    home.wait_for(lambda: list(dict.fromkeys(_activities(home))) == ["a", "b", "c"])


def test_a_log_from_before_there_was_a_broker_is_not_poured_out(
    broker: Any, make_home: Any, make_device: Any, tmp_path: Path
) -> None:
    log = EpisodeLog(tmp_path / "log", lambda _: 0)
    log.ended(Episode("old", 0, 10**9))
    log.close()
    home, device = make_home(broker), make_device(broker.port)
    _wait(lambda: (tmp_path / "mqtt.json").exists())
    device.does("new")
    home.wait_for(lambda: _activities(home))
    assert _activities(home) == ["new"]


def test_a_log_that_is_only_made_later_is_sent_then(
    broker: Any, make_home: Any, make_device: Any, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("in the way")
    home, device = make_home(broker), make_device(broker.port)
    device.does("a")
    device.publisher.state(_TOPICS.health, "{}")
    home.wait_for(lambda: home.payloads(_TOPICS.health))
    (tmp_path / "log").unlink()
    device.does("b")
    home.wait_for(lambda: _activities(home) == ["a", "b"])
    assert device.publisher.trouble == ""


def test_a_log_that_cannot_be_read_at_the_start_is_not_sent_again(
    broker: Any, make_home: Any, make_device: Any, tmp_path: Path
) -> None:
    home, device = make_home(broker), make_device(broker.port)
    device.does("a")
    home.wait_for(lambda: _activities(home))
    _wait(lambda: json.loads((tmp_path / "mqtt.json").read_text()) == {"sent": 1})
    device.close()
    (tmp_path / "log" / f"{DATABASE}-wal").write_bytes(b"what a killed run has left")
    with full_at(0):
        device = make_device(broker.port)
    device.does("b")
    home.wait_for(lambda: "b" in _activities(home))
    assert _activities(home) == ["a", "b"]


def test_a_broker_that_answers_nothing_holds_nobody_up_and_gets_all_later(
    broker: Any, make_home: Any, make_device: Any
) -> None:
    home, device = make_home(broker), make_device(broker.port)
    _wait(lambda: device.publisher.connected)
    broker.pause()
    began = time.monotonic()
    for number in range(100):
        device.does(f"b{number}")
        device.publisher.state(_TOPICS.activity, f"b{number}")
    assert time.monotonic() - began < 30  # the broker goes on only below
    time.sleep(0.5)
    broker.go_on()
    home.wait_for(lambda: len(set(_activities(home))) == 100)
    home.wait_for(lambda: home.payloads(_TOPICS.activity)[-1] == "b99")


def test_a_home_that_starts_anew_is_told_of_everything_again(broker: Any, make_home: Any, make_device: Any) -> None:
    home, device = make_home(broker), make_device(broker.port)
    device.publisher.state(_TOPICS.discovery, "{}")
    home.wait_for(lambda: len(home.payloads(_TOPICS.discovery)) == 1)
    home.say("homeassistant/status", "online")
    home.wait_for(lambda: len(home.payloads(_TOPICS.discovery)) == 2)


def test_an_acknowledgement_is_heard_and_an_old_retained_one_is_not(
    broker: Any, make_home: Any, make_device: Any
) -> None:
    home, device = make_home(broker), make_device(broker.port)
    home.wait_for(lambda: home.payloads(_TOPICS.availability) == ["online"])  # it listens before it says so
    home.say(_TOPICS.acknowledge("fall"), "PRESS")
    _wait(lambda: device.heard == [("cosmo/cosmo-test/alarm/fall/acknowledge", "PRESS")])


def test_a_device_that_is_killed_is_offline(broker: Any, make_home: Any, tmp_path: Path) -> None:
    code = f"""
import os, pathlib, time
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.mqtt.client import MqttError, why_no_broker
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.runtime.mqtt.publisher import Publisher
from cosmo_runtime.runtime.mqtt.topics import Topics
folder = pathlib.Path({str(tmp_path)!r})
log = EpisodeLog(folder / "log", lambda _: 0)
Publisher(MqttConfig(host="127.0.0.1", port={broker.port}), Topics("cosmo-test", "homeassistant"), log.folder,
          folder / "mqtt.json", print)
time.sleep(60)
"""
    home = make_home(broker)
    process = subprocess.Popen([sys.executable, "-c", code])
    home.wait_for(lambda: home.payloads(_TOPICS.availability) == ["online"])
    process.kill()
    process.wait()
    home.wait_for(lambda: home.payloads(_TOPICS.availability) == ["online", "offline"])


def test_a_password_is_read_from_a_file_and_a_wrong_one_is_said_once(
    make_broker: Any, make_home: Any, make_device: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto_passwd is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "cosmo", "right"], check=True, capture_output=True)
    passwords.chmod(0o644)
    broker = make_broker(f"allow_anonymous false\npassword_file {passwords}")
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    device = make_device(broker.port, username="cosmo", password_file=secret)
    _wait(lambda: "the broker refuses" in caplog.text)
    time.sleep(2.5)
    assert caplog.text.count("check username and password_file") == 1
    assert "the broker refuses" in device.publisher.trouble
    device.close()
    secret.write_text("right\n")
    device = make_device(broker.port, username="cosmo", password_file=secret)
    _wait(lambda: device.publisher.connected)


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path, broker: Any) -> None:
    config = MqttConfig(host="127.0.0.1", port=broker.port, username="cosmo", password_file=tmp_path / "nowhere")
    with pytest.raises(MqttError, match=r"^\[mqtt\] password_file .*/nowhere: No such file or directory$"):
        Publisher(config, _TOPICS, tmp_path, tmp_path / "mqtt.json", print)


def test_tls_checks_the_broker_s_certificate(
    make_broker: Any, make_device: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate} -subj /CN=127.0.0.1"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    key.chmod(0o644)
    broker = make_broker(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
    stranger = make_device(broker.port, tls=True)
    _wait(lambda: stranger.publisher.trouble)
    assert re.search(r"cannot be reached \(.*certificate", stranger.publisher.trouble), stranger.publisher.trouble
    assert not stranger.publisher.connected
    stranger.close()
    device = make_device(broker.port, tls=True, ca_file=certificate)
    _wait(lambda: device.publisher.connected)


def test_the_state_of_a_sensor_says_how_far_it_is_out_of_step_and_what_put_it_in_step(
    broker: Any, make_home: Any, make_device: Any
) -> None:
    home, publisher = make_home(broker), make_device(broker.port).publisher
    described = Described("Test room", "1", ["imu", "radar"], [])
    sink = MqttSink(publisher, _TOPICS, described, {}, lambda: None, _local_time)
    states = {"imu": "ok", "radar": "ok"}

    def told() -> dict:
        return json.loads((home.payloads(_TOPICS.sensor("radar")) or ["{}"])[-1])

    sink.out_of_step({"radar": 180.0})
    sink.silence(Silence(0, states, "made up"))
    home.wait_for(lambda: told() == {"state": "OFF", "condition": "ok", "behind_ms": 180.0})
    sink.out_of_step({})
    sink.corrected({"radar": 180.0})
    sink.silence(Silence(0, states, "made up"))
    home.wait_for(lambda: told() == {"state": "OFF", "condition": "ok", "corrected_ms": 180.0})
    assert all("_ms" not in payload for payload in home.payloads(_TOPICS.sensor("imu")))


def test_the_state_of_an_alarm_says_how_often_it_was_raised_and_when_first(
    broker: Any, make_home: Any, make_device: Any
) -> None:
    home, publisher = make_home(broker), make_device(broker.port).publisher
    rule = AlarmRule(name="fall", activity="fall")
    described = Described("Test room", "1", ["imu"], [rule])
    evidence = {"activity": "fall", "since": "2026-11-28T00:10:00.000+01:00", "seconds": 1.0}
    left = {"stands": True, "on": True, "number": 4, "times": 2, "first": "2026-11-28T00:05:00.000+01:00"}
    sink = MqttSink(publisher, _TOPICS, described, {"fall": {**left, "evidence": evidence}}, lambda: None, _local_time)

    def told() -> List[Any]:
        payloads = map(json.loads, home.payloads(_TOPICS.alarm("fall")))
        return [(state["state"], state["times"], state["first"] and state["first"][11:16]) for state in payloads]

    home.wait_for(lambda: told() == [("ON", 2, "00:05")])
    last = {"fall": {**left, "state": "over", "evidence": evidence}}
    board = AlarmBoard([rule], [sink.alarm], _local_time, ClockWatch(lambda at_ns: 0), last)
    board.now(Episode("fall", 0, 10**9))
    home.wait_for(lambda: told()[1:] == [("ON", 3, "00:05")])
    board.acknowledge("fall")
    board.now(Episode("fall", 0, 2 * 10**9))
    home.wait_for(lambda: told()[2:] == [("OFF", 0, None)])
    last["fall"] = {**left, "stands": False, "on": False, "times": 0, "first": None, "evidence": evidence}
    MqttSink(publisher, _TOPICS, described, last, lambda: None, _local_time)  # as after a restart
    publisher.state(_TOPICS.health, "later")
    home.wait_for(lambda: home.payloads(_TOPICS.health) == ["later"])
    assert told()[3:] in ([], [("OFF", 0, None)])


def test_a_broker_that_was_never_reached_is_told_once_and_again_when_it_is_there(
    broker: Any, make_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker.kill()
    device = make_device(broker.port)
    said = f"MQTT 127.0.0.1:{broker.port}: cannot be reached (Connection refused); check host, port and tls"
    _wait(lambda: said in caplog.text)
    assert device.publisher.trouble.startswith(said)
    time.sleep(1.5)  # another attempt
    assert caplog.text.count("cannot be reached") == 1
    broker.start()
    _wait(lambda: device.publisher.connected)
    _wait(lambda: "is back" in caplog.text)
    assert device.publisher.trouble == ""


def test_what_is_no_broker_is_told(make_device: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        device = make_device(other.getsockname()[1])
        other.accept()[0].close()
        _wait(lambda: device.publisher.trouble.endswith("what answers there is no broker; check port and tls"))


def test_a_broker_is_tried_once(broker: Any) -> None:
    config = MqttConfig(host="127.0.0.1", port=broker.port)
    assert why_no_broker(config) == ""
    broker.kill()
    assert why_no_broker(config) == "cannot be reached (Connection refused); check host, port and tls"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_one = MqttConfig(host="127.0.0.1", port=silent.getsockname()[1])
        assert why_no_broker(silent_one).startswith("there is no answer within 3 s")
