"""A whole run in a process, a real broker, and what a home hears."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from cosmo_runtime.models.bundle import Bundle


@pytest.fixture
def start(tmp_path: Path, tiny_bundle: Bundle, broker: Any) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a run of the emulated IMU and radar that tells the broker."""
    config = tmp_path / "cosmo.toml"
    config.write_text(f"""
[recognition]
min_confidence = 0
[[alarms]]
name = "any"
nothing_but = ["walk", "wave", "none", "nobody"]
[mqtt]
host = "127.0.0.1"
port = {broker.port}
device = "cosmo-test"
name = "Test room"
""")
    words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(tiny_bundle.path), "--output", "-"]
    processes = []

    def run() -> subprocess.Popen:
        command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words, "--config", str(config)]
        processes.append(subprocess.Popen([*command, "--home", str(tmp_path / "home")], stdout=subprocess.DEVNULL))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def _json(text: str) -> Dict[str, Any]:
    return dict(json.loads(text))


def test_home_assistant_finds_the_device_and_all_that_it_publishes(start: Any, broker: Any, make_home: Any) -> None:
    home = make_home(broker)
    start()
    topic = "homeassistant/device/cosmo-test/config"
    home.wait_for(lambda: home.payloads(topic) and home.payloads("cosmo/cosmo-test/activity"), 60)
    found = _json(home.payloads(topic)[0])
    assert found["dev"]["name"] == "Test room"
    assert {"name", "sw", "url"} <= set(found["o"])
    assert found["availability_topic"] == "cosmo/cosmo-test/availability"
    components = found["cmps"]
    assert components["activity"]["options"] == ["walk", "wave", "none", "nobody", "uncertain", "gap"]
    assert set(components) == {
        "activity", "confidence", "episode", "alarm_any", "acknowledge_any", "alarms", "health",
        "sensor_imu", "sensor_radar",
    }  # fmt: skip
    assert len({component["unique_id"] for component in components.values()}) == len(components)
    assert all("p" in component for component in components.values())
    state = _json(home.payloads("cosmo/cosmo-test/activity")[-1])
    assert state["activity"] in components["activity"]["options"]
    states = "cosmo/cosmo-test/sensor/imu"  # a busy machine may miss it at first
    imu = home.wait_for(lambda: [told for told in map(_json, home.payloads(states)) if told["state"] == "OFF"], 60)[0]
    assert imu["condition"] in ("ok", "not worn")  # the person may stand still at first


def test_an_alarm_is_on_until_the_home_acknowledges_it_also_across_a_restart(
    start: Any, broker: Any, make_home: Any
) -> None:
    home = make_home(broker)
    process = start()
    alarm = "cosmo/cosmo-test/alarm/any"

    def told() -> List[str]:
        return [_json(payload)["event_type"] for payload in home.payloads("cosmo/cosmo-test/alarms")]

    home.wait_for(lambda: any(_json(payload)["state"] == "ON" for payload in home.payloads(alarm)), 60)
    home.wait_for(lambda: home.payloads("cosmo/cosmo-test/alarms"))
    raised = _json(home.payloads("cosmo/cosmo-test/alarms")[0])
    assert (raised["event_type"], raised["name"]) == ("raised", "any")
    assert raised["evidence"]["activity"] in ("walk", "wave", "none", "nobody")
    process.terminate()
    assert process.wait(60) == 0
    assert _json(home.retained()[alarm])["state"] == "ON"
    assert home.retained()["cosmo/cosmo-test/availability"] == "offline"
    start()
    home.wait_for(lambda: home.payloads("cosmo/cosmo-test/availability")[-1] == "online", 60)
    home.wait_for(lambda: "repeated" in told(), 60)
    before = len(home.payloads(alarm))
    home.say(f"{alarm}/acknowledge", "PRESS")
    home.wait_for(lambda: any(_json(payload)["state"] == "OFF" for payload in home.payloads(alarm)[before:]), 60)
    home.wait_for(lambda: "acknowledged" in told())
    assert told().count("raised") == 1  # it goes on


def test_the_home_acknowledges_an_alarm_whose_rule_is_gone(
    start: Any, broker: Any, make_home: Any, tmp_path: Path
) -> None:
    home, alarm, config = make_home(broker), "cosmo/cosmo-test/alarm/any", tmp_path / "cosmo.toml"
    process = start()
    home.wait_for(lambda: any(_json(payload)["state"] == "ON" for payload in home.payloads(alarm)), 60)
    process.terminate()
    assert process.wait(60) == 0
    config.write_text(config.read_text().replace('name = "any"', 'name = "another"'))
    start()
    home.wait_for(lambda: home.payloads("cosmo/cosmo-test/availability")[-1] == "online", 60)
    home.say(f"{alarm}/acknowledge", "PRESS")
    home.wait_for(lambda: _json(home.payloads(alarm)[-1])["state"] == "OFF", 60)


@pytest.mark.slow
def test_a_broker_that_is_never_there_makes_a_run_ill(start: Any, broker: Any, tmp_path: Path) -> None:
    broker.kill()
    start()
    health, end = tmp_path / "home" / "health.json", time.monotonic() + 60
    while not health.exists() or not _json(health.read_text())["troubles"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    [trouble] = _json(health.read_text())["troubles"]
    assert trouble.startswith(f"MQTT 127.0.0.1:{broker.port}: cannot be reached (Connection refused)")
    assert not _json(health.read_text())["well"]
