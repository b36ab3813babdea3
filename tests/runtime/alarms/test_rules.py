from __future__ import annotations

import unicodedata
from datetime import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from cosmo_runtime.runtime.alarms.rules import AlarmRule, Watch, as_word
from cosmo_runtime.runtime.config import ConfigError, load_config
from cosmo_runtime.runtime.episodes.rule import Episode, Hold


@pytest.mark.parametrize(
    ("at", "quiet"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59", True), ("07:00", False)],
)
def test_quiet_hours_may_span_midnight(at: str, quiet: bool) -> None:
    rule = AlarmRule(name="fall", activity="fall", quiet="22:00-07:00")
    assert rule.is_quiet(time.fromisoformat(at)) is quiet


def test_quiet_hours_of_one_day() -> None:
    rule = AlarmRule(name="fall", activity="fall", quiet="13:00-14:30")
    assert [rule.is_quiet(time(hour)) for hour in (12, 13, 14, 15)] == [False, True, True, False]


@pytest.mark.parametrize(
    "name", ["fall", "Sturz in der Küche", "no_data-2", "падение", "転倒", "गिरना", "ล้ม", "é" * 32]
)
def test_a_name_may_have_letters_of_every_language(name: str) -> None:
    assert AlarmRule(name=name, activity="fall").name == name
    assert AlarmRule(name=unicodedata.normalize("NFD", name), activity="fall").name == name


def test_a_name_in_a_topic_or_file_keeps_its_letters_with_their_marks() -> None:
    assert as_word("Sturz in  der_Küche-2", "_", also="_-") == "sturz_in_der_küche-2"
    assert as_word("Sturz in der_Küche", "-") == "sturz-in-der-küche"
    assert as_word("गिरना", "_") == "गिरना" != as_word("गरना", "_")


@pytest.mark.parametrize(
    "name", ["", " fall", "-", "fall/bath", "fall\n", "a\tb", "\u0301fall", "fall.1", "+", "#", "@1", "%", "a" * 33]
)
def test_what_no_topic_or_file_may_be_called_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits, spaces, - and _, at most 32 in all"):
        AlarmRule(name=name, activity="fall")


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "fall"},
        {"name": "fall", "activity": "fall", "no_data": True},
        {"name": "Fall/../", "activity": "fall"},
        {"name": "fall", "activity": "fall", "quiet": "22-7"},
        {"name": "fall", "activity": "fall", "quiet": "22:00-25:00"},
        {"name": "fall", "activity": "fall", "quiet": "22:00-22:00"},
        {"name": "fall", "nothing_but": []},
        {"name": "fall", "activity": "fall", "held_s": -1},
        {"name": "fall", "activity": "fall", "held_s": 10_800_000},
        {"name": "fall", "activity": "fall", "hold": 2},
    ],
)
def test_what_makes_no_sense_is_refused(keys: dict) -> None:
    with pytest.raises(ValidationError):
        AlarmRule(**keys)


def test_no_data_is_over_when_data_comes_and_all_else_must_be_acknowledged() -> None:
    assert not AlarmRule(name="a", no_data=True).stands_until_acknowledged
    assert AlarmRule(name="a", no_data=True, until="acknowledged").stands_until_acknowledged
    assert AlarmRule(name="a", activity="fall").stands_until_acknowledged
    assert not AlarmRule(name="a", activity="fall", until="over").stands_until_acknowledged


def test_the_configuration_has_alarms(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    fall = '[[alarms]]\nname = "fall"\nactivity = "fall"\n'
    path.write_text(fall + '[[alarms]]\nname = "lies"\nnothing_but = ["lie"]\n')
    assert [rule.name for rule in load_config(path).alarms] == ["fall", "lies"]
    path.write_text(fall * 2)
    with pytest.raises(ConfigError, match="a name of its own"):
        load_config(path)
    path.write_text("".join(f'[[alarms]]\nname = "{name}"\nno_data = true\n' for name in ("no data", "no_data")))
    with pytest.raises(ConfigError, match="'no data' and 'no_data': give each alarm a name of its own"):
        load_config(path)  # both would have one topic


def test_a_name_is_the_same_where_a_person_sees_no_difference() -> None:
    fall = Episode("fall", 0, 2 * 10**9)
    assert Watch(AlarmRule(name="fall", activity="Fall ", held_s=2)).met(fall)
    assert Watch(AlarmRule(name="fall", nothing_but=["FALL"], held_s=2)).met(fall)
    assert not Watch(AlarmRule(name="fall", activity="falls", held_s=2)).met(fall)


def test_the_times_of_an_activity_are_found_whatever_its_case(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text("[episodes.activities]\nFall = {on_s = 7}\n")
    assert load_config(path).episodes.hold("fall").on_s == 7
    path.write_text("[episodes.activities]\nFall = {on_s = 7}\nfall = {on_s = 1}\n")
    with pytest.raises(ConfigError, match="name each activity once"):
        load_config(path)


def test_what_is_no_activity_neither_raises_nor_ends_that_nothing_else_was_done() -> None:
    """Nobody, unclear moments and gaps: an empty room may look like somebody who is still."""
    watch = Watch(AlarmRule(name="still", nothing_but=["still"], held_s=60))
    assert not watch.met(Episode("still", 0, 50 * 10**9))
    for activity in ("nobody", "uncertain", "gap"):
        assert not watch.met(Episode(activity, 50 * 10**9, 5000 * 10**9))
    assert watch.met(Episode("still", 5000 * 10**9, 5002 * 10**9))
    assert watch.since_ns(Episode("still", 5000 * 10**9, 5002 * 10**9)) == 0
    for activity in ("nobody", "uncertain", "gap"):
        assert watch.met(Episode(activity, 5002 * 10**9, 5010 * 10**9)), "or it would be raised again each time"
    assert not watch.met(Episode("walk", 5010 * 10**9, 5020 * 10**9))
    assert not watch.met(Episode("uncertain", 5020 * 10**9, 9000 * 10**9))


def test_a_fall_needs_less_time_than_other_activities_unless_the_configuration_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    path.write_text("[episodes]\non_s = 5\n")
    assert load_config(path).episodes.hold("Fall") == Hold(on_s=1.0, off_s=4.0, least_s=1.0)
    assert load_config(path).episodes.hold("walk").on_s == 5
    path.write_text("[episodes]\non_s = 0.5\nleast_s = 0.5\n")
    assert load_config(path).episodes.hold("fall") == Hold(on_s=0.5, off_s=4.0, least_s=0.5)
    path.write_text("[episodes.activities]\nfall = {on_s = 3}\n")
    assert load_config(path).episodes.hold("fall") == Hold(on_s=3.0, off_s=4.0, least_s=1.0)
