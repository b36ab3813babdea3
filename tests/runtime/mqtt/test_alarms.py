"""Alarms in a real broker, of the parts that ``--home`` opens."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.alarms.last import standing
from cosmo_runtime.runtime.state import log_folder
from tests.full_disk import full_at
from tests.runtime.homes import WALKS, OpenHome, wait_until

_CONFIG = f"""{WALKS}[[alarms]]
name = "at night"
activity = "walk"
quiet = "00:00-23:59"
[[alarms]]
name = "Läuft in der Küche"
activity = "walk"
until = "over"
[mqtt]
host = "127.0.0.1"
device = "cosmo-test"
port = """
_EVENTS, _STATE = "cosmo/cosmo-test/alarms", "cosmo/cosmo-test/alarm/walks"

pytestmark = pytest.mark.usefixtures("berlin")


@pytest.fixture
def run(broker: Any, tmp_path: Path, tiny_bundle: Bundle) -> Iterator[OpenHome]:
    run = OpenHome(tmp_path / "home", f"{_CONFIG}{broker.port}\n", tiny_bundle)
    yield run
    run.close()


def _events(home: Any) -> List[Dict[str, Any]]:
    """Those of the alarm that stays."""
    return [event for event in _heard(home, _EVENTS) if event["name"] == "walks"]


def _heard(home: Any, topic: str) -> List[Dict[str, Any]]:
    return [json.loads(payload) for payload in home.payloads(topic)]


def test_when_the_clock_is_set_the_times_of_standing_alarms_follow(
    run: OpenHome, broker: Any, make_home: Callable[..., Any]
) -> None:
    home = make_home(broker)
    run.does("walk", 2)
    run.does("wave", 2)
    home.wait_for(lambda: any(state["state"] == "ON" for state in _heard(home, _STATE)))
    assert _heard(home, _STATE)[-1]["since"].startswith("1970-01-01T01:00:00")
    run.offset_ns = round(datetime(2026, 7, 1, 10).timestamp()) * 10**9 + 10**8  # so that a microsecond does not matter
    run.does("wave", 1)
    home.wait_for(lambda: _heard(home, _STATE)[-1]["since"].startswith("2026-07-01T10:00:00"))
    state = json.loads(home.retained()[_STATE])
    assert (state["state"], state["first"][:10]) == ("ON", "2026-07-01")
    wait_until(lambda: {alarm["since"][:10] for alarm in standing(log_folder(run.folder))} == {"2026-07-01"})
    home.wait_for(lambda: [event["event_type"] for event in _events(home)] == ["raised", "over"])


def test_the_name_of_an_alarm_may_have_letters_of_every_language(
    run: OpenHome, broker: Any, make_home: Callable[..., Any]
) -> None:
    home, topic = make_home(broker), "cosmo/cosmo-test/alarm/läuft_in_der_küche"
    run.does("walk", 2)
    home.wait_for(lambda: [state["state"] for state in _heard(home, topic)][-1:] == ["ON"])
    home.say(f"{topic}/acknowledge", "PRESS")
    wait_until(lambda: run.home.standing() == ["walks", "at night"] or run.does("walk", 0.5))
    home.wait_for(lambda: _heard(home, topic)[-1]["state"] == "OFF")
    told = [(event["name"], event["event_type"]) for event in _heard(home, _EVENTS)]
    assert ("Läuft in der Küche", "raised") in told


def test_an_alarm_on_a_full_disk_is_heard_at_once_and_what_comes_again_is_recognised(
    run: OpenHome, broker: Any, make_home: Callable[..., Any]
) -> None:
    home = make_home(broker)
    run.does("wave", 2)

    def events() -> List[Any]:
        return [(event["event_type"], event["id"] is not None) for event in _events(home)]

    with full_at(0):
        run.does("walk", 2)
        home.wait_for(lambda: events() == [("raised", False)])
        broker.kill()  # what is on its way just then comes before the home listens again
        wait_until(lambda: any(trouble.words.startswith("MQTT") for trouble in run.home.troubles()))
        run.does("wave", 2)
        broker.start()
        home.wait_for(lambda: ("over", False) in events())
    run.does("walk", 1)  # now there is room
    home.wait_for(lambda: len({event["id"] for event in _events(home)} - {None}) == 3)
    heard = {(event["event_type"], event["event_id"]) for event in _events(home)}
    assert sorted(state for state, _ in heard) == ["over", "raised", "raised"]
    first = _events(home)[0]
    again = next(event for event in _events(home) if event["id"] and event["event_id"] == first["event_id"])
    assert {**again, "id": None} == first
