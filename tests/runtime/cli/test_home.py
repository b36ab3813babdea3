from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.alarms.last import standing
from cosmo_runtime.runtime.episodes.entries import ALARM, entries
from cosmo_runtime.runtime.state import acknowledge, log_folder
from tests.runtime.homes import WALKS, OpenHome, wait_until

_CONFIG = f"""{WALKS}[[alarms]]
name = "no data"
no_data = true
held_s = 5
"""


@pytest.fixture
def start(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Any]:
    homes: List[OpenHome] = []

    def begin() -> OpenHome:
        for home in homes:
            home.close()
        homes[:] = [OpenHome(tmp_path, _CONFIG, tiny_bundle)]
        return homes[0]

    yield begin
    for home in homes:
        home.close()


def _told(home: OpenHome) -> Tuple[str, bool, int, int]:
    last = home.last("walks")
    return last["state"], last["lasts"], last["number"], last["times"]


def test_the_next_run_knows_whether_an_alarm_still_went_on_and_how_often_it_was_raised(
    start: Any, tmp_path: Path
) -> None:
    first = start()
    for activity in ("walk", "wave", "walk"):
        first.does(activity, 2)
    wait_until(lambda: _told(first) == ("raised", True, 2, 2))
    goes_on = start()
    goes_on.does("walk", 2)
    wait_until(lambda: _told(goes_on) == ("repeated", True, 2, 2))
    over = start()
    over.does("wave", 2)
    wait_until(lambda: _told(over) == ("repeated", False, 2, 2))
    kept = sorted(entries(log_folder(tmp_path), kinds=(ALARM,)), key=lambda entry: int(entry["id"]))
    assert [entry["state"] for entry in kept] == ["raised", "over", "raised", "repeated", "over", "repeated"]
    again = start()
    again.does("walk", 2)
    wait_until(lambda: _told(again) == ("raised", True, 3, 3))


def test_data_that_was_missing_for_less_than_ten_seconds_raises_an_alarm_of_fewer(start: Any, tmp_path: Path) -> None:
    home = start()

    def told() -> List[Tuple[str, str]]:
        kept = entries(log_folder(tmp_path), kinds=(ALARM,))
        return [(entry["state"], entry["name"]) for entry in kept if entry["name"] != "walks"]

    home.does("wave", 2)
    home.misses(4.5)
    home.does("wave", 1)
    home.misses(6)
    home.does("wave", 1)
    wait_until(lambda: len(told()) == 2)
    assert told() == [("raised", "no data"), ("over", "no data")]
    last = home.last("no data")
    assert (last["evidence"]["seconds"], last["stands"], last["times"]) == (6.0, False, 1)


def test_an_acknowledgement_of_what_was_seen_before_a_restart_leaves_what_came_after(
    start: Any, cosmo: Any, tmp_path: Path
) -> None:
    first = start()
    for activity in ("walk", "wave", "walk", "wave"):
        first.does(activity, 2)
    wait_until(lambda: _told(first) == ("over", False, 2, 2))
    since = first.last("walks")["evidence"]["since"]
    acknowledge(tmp_path, "walks", 1)
    first.does("wave", 2)
    wait_until(lambda: _told(first) == ("acknowledged", False, 2, 1))
    (row,) = [line for line in cosmo("alarms", "--home", tmp_path).out.splitlines() if "acknowledged" in line]
    assert row.split("walks", 1)[1].split() == ["acknowledged,", "but", "not", "the", "last", "1", "walk"]
    after = start()
    after.does("wave", 7)
    after.does("walk", 2)
    wait_until(lambda: _told(after) == ("raised", True, 3, 2))
    (alarm,) = standing(log_folder(tmp_path))
    assert (alarm["since"], alarm["times"]) == (since, 2)
    assert alarm["latest"] > since
