from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from cosmo_runtime.runtime.alarms.board import AlarmBoard, News
from cosmo_runtime.runtime.alarms.last import lasted
from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.episodes.clock import ClockWatch
from cosmo_runtime.runtime.episodes.entries import local
from cosmo_runtime.runtime.episodes.rule import Episode

_MIDNIGHT_NS = round(datetime.fromisoformat("2026-11-28T00:00:00+01:00").timestamp()) * 10**9

pytestmark = pytest.mark.usefixtures("berlin")


def _local_time(at_ns: int) -> datetime:
    return local(_MIDNIGHT_NS + at_ns)


def _clock() -> ClockWatch:
    return ClockWatch(lambda at_ns: 0, lambda: 0)


class Home:
    """Episodes in seconds, and what was told of them."""

    def __init__(
        self,
        *rules: AlarmRule,
        local_time: Callable[[int], datetime] = _local_time,
        clock: Optional[ClockWatch] = None,
        **more: Any,
    ) -> None:
        self.news: List[News] = []
        self.board = AlarmBoard(rules, [self.news.append], local_time, clock or _clock(), **more)

    def does(self, activity: str, start_s: float, end_s: float, step_s: float = 0.5, seen_s: float = 0) -> None:
        at_s = max(start_s, seen_s)
        while at_s < end_s:
            at_s = min(at_s + step_s, end_s)
            episode = Episode(activity, round(start_s * 1e9), round(at_s * 1e9), 0.9, ("imu",), 4, "person", "lost")
            self.board.now(episode)

    @property
    def told(self) -> List[Tuple[str, float]]:
        return [(news.state, news.at_ns / 1e9) for news in self.news if not news.quiet]


def _left(*names: str, **more: Any) -> Dict[str, Any]:
    """The last entries of alarms that an earlier run left standing."""
    evidence = {"activity": "fall", "since": "2026-11-27T23:00:00.000+01:00", "seconds": 2.0}
    return {name: {"state": "over", "quiet": True, "stands": True, "evidence": evidence, **more} for name in names}


def _fall(**keys: Any) -> AlarmRule:
    return AlarmRule(name="fall", activity="fall", held_s=2, **keys)


def test_an_alarm_is_raised_once_it_was_held_for_so_long_with_what_it_was_raised_for() -> None:
    home = Home(_fall())
    home.does("walk", 0, 10)
    home.does("fall", 10, 11.5)
    assert home.told == []
    home.does("fall", 10, 16, seen_s=11.5)
    assert home.told == [("raised", 12)]
    assert home.news[0].stands
    assert home.news[0].evidence == {
        "since": "2026-11-28T00:00:10.000+01:00",
        "activity": "fall",
        "seconds": 2.0,
        "confidence": 0.9,
        "sensors": ["imu"],
        "windows": 4,
        "bundle": "person",
    }


def test_a_shorter_one_raises_nothing() -> None:
    home = Home(_fall())
    home.does("fall", 0, 1.5)
    home.does("get up", 1.5, 5)
    home.does("fall", 5, 6)
    assert home.told == []


def test_it_stands_until_it_is_acknowledged_and_is_told_again_until_then() -> None:
    home = Home(_fall(repeat_s=60))
    home.does("fall", 0, 10)
    home.does("walk", 10, 140)
    assert home.told == [("raised", 2), ("over", 10.5), ("repeated", 62), ("repeated", 122)]
    assert [news.lasts for news in home.news] == [True, False, False, False]
    assert list(home.board.standing) == ["fall"]
    home.board.acknowledge("fall")
    home.does("walk", 10, 300, seen_s=140)
    assert home.told[4:] == [("acknowledged", 140.5)]
    assert not home.news[-1].stands
    assert home.board.standing == {}
    home.does("fall", 300, 303)
    assert home.told[5:] == [("raised", 302)]


def test_acknowledged_while_it_lasts_it_is_not_raised_again_before_it_is_over() -> None:
    home = Home(_fall(repeat_s=60))
    home.does("fall", 0, 10)
    home.board.acknowledge("fall")
    home.does("fall", 0, 300, seen_s=10)
    assert [state for state, _ in home.told] == ["raised", "acknowledged"]
    home.does("walk", 300, 310)
    home.does("fall", 310, 320)
    assert [state for state, _ in home.told] == ["raised", "acknowledged", "over", "raised"]


def test_a_second_fall_before_anybody_came_is_raised_anew() -> None:
    home = Home(_fall())
    home.does("fall", 0, 10)
    home.does("walk", 10, 20)
    home.does("fall", 20, 30)
    assert home.told == [("raised", 2), ("over", 10.5), ("raised", 22)]


def _counted(home: Home) -> List[Tuple[str, int, Any, bool]]:
    return [(news.state, news.times, news.first and news.first[11:19], news.stands) for news in home.news]


def test_falls_that_nobody_has_acknowledged_are_counted_with_the_time_of_the_first() -> None:
    home = Home(_fall())
    for start_s in (0, 20, 40):
        home.does("fall", start_s, start_s + 5)
        home.does("walk", start_s + 5, start_s + 20)
    assert [news.evidence["since"][11:19] for news in home.news[::2]] == ["00:00:00", "00:00:20", "00:00:40"]
    assert [(times, first) for state, times, first, _ in _counted(home) if state == "raised"] == [
        (1, "00:00:00"),
        (2, "00:00:00"),
        (3, "00:00:00"),
    ]
    home.board.acknowledge("fall")
    home.does("walk", 60, 61)
    home.does("fall", 61, 64)
    assert _counted(home)[-2:] == [("acknowledged", 0, None, False), ("raised", 1, "00:01:01", True)]
    assert home.news[-1].number == 4


def test_who_acknowledges_what_was_seen_acknowledges_nothing_newer() -> None:
    seen: Dict[str, int] = {}
    home = Home(_fall(), acknowledged=lambda: seen)
    for start_s in (0, 20, 40):
        home.does("fall", start_s, start_s + 5)
        home.does("walk", start_s + 5, start_s + 20)
    seen["fall"] = 1  # the page showed the first one when the second came
    home.does("walk", 60, 62)
    assert _counted(home)[-1] == ("acknowledged", 2, "00:00:20", True)
    assert list(home.board.standing) == ["fall"]
    seen["fall"] = 3
    home.does("walk", 62, 64)
    assert _counted(home)[-1] == ("acknowledged", 0, None, False)
    home.does("fall", 64, 70)
    assert _counted(home)[-1] == ("raised", 1, "00:01:04", True), "a page that is behind says 3 again"


def test_one_that_is_raised_with_the_very_window_that_takes_an_acknowledgement_stands() -> None:
    home = Home(_fall())
    home.does("fall", 0, 5)
    home.does("walk", 5, 20)
    home.does("fall", 20, 21.5)
    home.board.acknowledge("fall")
    home.does("fall", 20, 22, seen_s=21.5)
    assert [state for state, *_ in _counted(home)[-2:]] == ["acknowledged", "raised"]
    assert _counted(home)[-1] == ("raised", 1, "00:00:20", True)


def test_a_run_counts_on_where_the_one_before_ended() -> None:
    first = Home(_fall())
    for start_s in (0, 20):
        first.does("fall", start_s, start_s + 5)
        first.does("walk", start_s + 5, start_s + 20)
    home = Home(_fall(), last={"fall": {**first.news[-1]._asdict(), "name": "fall"}})
    home.does("fall", 60, 65)
    assert (home.news[-1].number, *_counted(home)[-1]) == (3, "raised", 3, "00:00:00", True)
    home = Home(_fall(), last={"fall": {**home.news[-1]._asdict(), "stands": False, "times": 0}})
    home.does("fall", 80, 85)
    assert (home.news[-1].number, *_counted(home)[-1]) == (4, "raised", 1, "00:01:20", True)


def test_the_times_of_standing_alarms_follow_when_the_clock_is_set_and_those_of_an_earlier_run_stay() -> None:
    offset_ns = 0  # 1970-01-01, in winter
    clock = ClockWatch(lambda at_ns: offset_ns, lambda: 0)
    rules = [_fall(), AlarmRule(name="walks", activity="walk"), AlarmRule(name="left", activity="stairs")]
    home = Home(*rules, local_time=lambda at_ns: local(at_ns + offset_ns), clock=clock, last=_left("left"))
    home.does("walk", 0, 1)
    for start_s in (10, 20):
        home.does("fall", start_s, start_s + 5)
        home.does("walk", start_s + 5, start_s + 10)
    offset_ns = round(datetime.fromisoformat("2026-07-01T10:00:00+02:00").timestamp()) * 10**9
    before = len(home.news)
    home.does("walk", 25, 40, seen_s=30)
    corrected = {news.rule.name: news for news in home.news[before:]}
    assert {news.state for news in corrected.values()} == {"corrected"}
    assert corrected.keys() == {"fall", "walks"}
    fall = corrected["fall"]
    assert (fall.first, fall.evidence["since"]) == ("2026-07-01T10:00:10.000+02:00", "2026-07-01T10:00:20.000+02:00")
    assert fall.on and fall.stands and fall.times == 2
    assert home.board.standing["left"]["since"] == "2026-11-27T23:00:00.000+01:00"
    home.does("fall", 60, 65)
    assert (home.news[-1].first, home.news[-1].times) == (fall.first, 3)


def test_when_the_clock_is_set_a_raise_of_an_earlier_run_keeps_its_time_beside_one_of_this_run() -> None:
    offset_ns = 0
    clock = ClockWatch(lambda at_ns: offset_ns, lambda: 0)
    home = Home(_fall(), local_time=lambda at_ns: local(at_ns + offset_ns), clock=clock, last=_left("fall"))
    home.does("fall", 0, 5)
    offset_ns = _MIDNIGHT_NS
    home.does("fall", 0, 10, seen_s=5)
    corrected = home.news[-1]
    assert (corrected.state, corrected.times, corrected.first) == ("corrected", 2, "2026-11-27T23:00:00.000+01:00")
    assert corrected.evidence["since"] == "2026-11-28T00:00:00.000+01:00"


def test_a_computer_that_slept_corrects_no_alarm() -> None:
    slept_ns = 0
    home = Home(_fall(), clock=ClockWatch(lambda at_ns: slept_ns, lambda: slept_ns))
    home.does("fall", 0, 5)
    slept_ns = 3600 * 10**9
    home.does("fall", 0, 10, seen_s=5)
    assert [news.state for news in home.news] == ["raised"]


def test_very_many_falls_keep_little_and_are_counted_all_the_same() -> None:
    home = Home(_fall())
    for start_s in range(0, 3000, 20):
        home.does("fall", start_s, start_s + 5, step_s=5)
        home.does("walk", start_s + 5, start_s + 20, step_s=15)
    assert (home.news[-1].times, home.news[-1].first) == (150, "2026-11-28T00:00:00.000+01:00")
    assert len(home.board._standing["fall"].raises) == 100


def test_one_that_stands_only_while_it_lasts_is_over_by_itself() -> None:
    home = Home(_fall(until="over", repeat_s=5))
    home.does("fall", 0, 10)
    home.does("walk", 10, 100)
    assert home.told == [("raised", 2), ("repeated", 7), ("over", 10.5)]
    assert not home.news[-1].stands


def test_quiet_hours_do_not_take_back_an_alarm_that_was_told_before() -> None:
    home = Home(_fall(quiet="00:01-07:00"))
    home.does("fall", 50, 70)
    home.does("walk", 70, 75)
    home.does("fall", 75, 80)
    home.does("walk", 80, 85)
    assert [(news.state, news.quiet, news.on) for news in home.news] == [
        ("raised", False, True),
        ("over", True, True),
        ("raised", True, True),
        ("over", True, True),
    ]
    home.board.acknowledge("fall")
    home.does("walk", 80, 90, seen_s=85)
    assert (home.news[-1].state, home.news[-1].on) == ("acknowledged", False)
    home.does("fall", 90, 95)
    assert (home.news[-1].state, home.news[-1].on) == ("raised", False)


def test_a_fall_in_quiet_hours_is_quiet_when_the_one_before_is_acknowledged() -> None:
    seen: Dict[str, int] = {}
    home = Home(_fall(quiet="00:01-07:00"), acknowledged=lambda: seen)
    home.does("fall", 50, 70)
    home.does("walk", 70, 75)
    home.does("fall", 75, 80)
    seen["fall"] = 1
    home.does("walk", 80, 85)
    told = [(news.state, news.times, news.on) for news in home.news[-2:]]
    assert told == [("acknowledged", 1, False), ("over", 1, False)]


def test_an_alarm_of_an_earlier_run_that_was_on_stays_on_in_quiet_hours() -> None:
    home = Home(_fall(quiet="00:00-07:00"), last=_left("fall", on=True))
    home.does("fall", 0, 5)
    assert [(news.state, news.on) for news in home.news] == [("raised", True)]


def test_in_quiet_hours_it_is_kept_and_told_when_they_are_over() -> None:
    home = Home(_fall(quiet="23:00-00:01"))
    home.does("fall", 0, 20)
    home.does("walk", 20, 90)
    assert [(news.state, news.quiet) for news in home.news[:2]] == [("raised", True), ("over", True)]
    assert home.told == [("repeated", 60)]


def test_nothing_but_lying_is_not_broken_by_what_is_unknown() -> None:
    home = Home(AlarmRule(name="lies", nothing_but=["lie"], held_s=3600))
    home.does("lie", 0, 1000, 10)
    home.does("uncertain", 1000, 1500, 10)
    home.does("lie", 1500, 2000, 10)
    home.does("nobody", 2000, 2400, 10)  # who lies perfectly still
    home.does("gap", 2400, 3700, 10)
    assert home.told == []
    home.does("lie", 3700, 3800, 10)
    assert home.told == [("raised", 3710)]
    evidence = home.news[0].evidence
    since = "2026-11-28T00:00:00.000+01:00"
    assert (evidence["since"], evidence["seconds"]) == (since, 3710), "not only of the last episode"


def test_nothing_but_lying_begins_anew_after_anything_else() -> None:
    home = Home(AlarmRule(name="lies", nothing_but=["lie"], held_s=3600))
    home.does("lie", 0, 3000, 10)
    home.does("walk", 3000, 3005)
    home.does("lie", 3005, 6600, 5)
    assert home.told == []
    home.does("lie", 3005, 6610, 5)
    assert home.told == [("raised", 6605)]


def test_no_data_for_long_is_an_alarm_that_says_why() -> None:
    home = Home(AlarmRule(name="no data", no_data=True, held_s=600))
    home.does("gap", 0, 590, 10)
    assert home.told == []
    home.does("gap", 0, 620, 10)
    home.does("walk", 620, 622)
    assert home.told == [("raised", 600), ("over", 620.5)]
    assert home.news[0].evidence["reason"] == "lost"


def test_what_a_run_before_left_standing_is_told_again_and_can_be_acknowledged() -> None:
    seen: Dict[str, int] = {}
    home = Home(_fall(), last=_left("fall"), acknowledged=lambda: seen)
    home.does("walk", 0, 10)
    assert home.told == [("repeated", 0.5)]
    seen["fall"] = 1
    home.does("walk", 10, 20)
    assert home.told[1:] == [("acknowledged", 10.5)]


def test_one_that_stands_only_while_it_lasts_is_over_after_a_restart_and_that_is_told() -> None:
    rule = AlarmRule(name="no data", no_data=True, held_s=60)
    home = Home(rule, last=_left("no data"))
    home.does("walk", 0, 10)
    assert home.told == [("over", 0.5)]
    assert not home.news[0].stands
    assert home.board.standing == {}


def test_what_still_went_on_when_a_run_was_killed_is_over_in_the_next_one_also_in_quiet_hours() -> None:
    home = Home(_fall(quiet="00:00-07:00"), last=_left("fall", "without a rule", lasts=True))
    home.does("walk", 0, 10)
    assert [(news.rule.name, news.state, news.stands, news.lasts) for news in home.news] == [
        ("fall", "over", True, False),
        ("without a rule", "over", True, False),
    ]


def test_what_goes_on_after_a_restart_is_not_over() -> None:
    home = Home(_fall(), last=_left("fall", lasts=True))
    home.does("fall", -10, 1, seen_s=0)
    assert [(news.state, news.lasts) for news in home.news] == [("repeated", True)]


def test_what_goes_on_after_a_restart_is_not_over_while_the_run_does_not_know_it_yet() -> None:
    home = Home(_fall(), last=_left("fall", state="raised", lasts=True))
    home.does("uncertain", 0, 1.5)
    home.does("fall", 0, 8, seen_s=1.5)
    assert [(news.state, news.lasts, news.times) for news in home.news] == [("repeated", True, 1)]
    home.does("walk", 8, 9)
    home.does("fall", 9, 12)
    assert [(news.state, news.times) for news in home.news[1:]] == [("over", 1), ("raised", 2)]


@pytest.mark.parametrize(
    ("rule", "shown", "over_s"),
    [
        (_fall(), "uncertain", 15),  # not for ever
        (_fall(), "nobody", 0.5),
        (AlarmRule(name="fall", nothing_but=["lie"], held_s=600), "nobody", None),
        (AlarmRule(name="fall", nothing_but=["lie"], held_s=600), "lie", None),
        (AlarmRule(name="fall", nothing_but=["lie"], held_s=600), "walk", 0.5),
        (AlarmRule(name="fall", no_data=True, held_s=600), "gap", None),
        (AlarmRule(name="fall", no_data=True, held_s=600), "uncertain", 0.5),
    ],
)
def test_what_a_run_before_saw_is_over_once_this_one_sees_something_else(
    rule: AlarmRule, shown: str, over_s: Optional[float]
) -> None:
    home = Home(rule, last=_left("fall", state="raised", lasts=True))
    home.does(shown, 0, 30)
    assert [news.at_ns / 1e9 for news in home.news if news.state == "over"] == ([] if over_s is None else [over_s])


def test_one_whose_rule_is_gone_stands_until_it_is_acknowledged() -> None:
    home = Home(_fall(), last=_left("walking"))
    home.does("sit", 0, 10)
    assert (home.told, list(home.board.standing)) == ([], ["walking"])
    home.board.acknowledge("walking")
    home.does("sit", 10, 11)
    assert [(news.rule.name, news.state, news.stands) for news in home.news] == [("walking", "acknowledged", False)]
    assert home.board.standing == {}
    home.board.acknowledge("walking")
    home.does("walk", 11, 15)
    assert len(home.news) == 1


def test_a_log_that_fails_keeps_no_broker_from_hearing() -> None:
    def full(news: News) -> None:
        raise OSError("no room")

    heard: List[News] = []
    board = AlarmBoard([_fall()], [full, heard.append], _local_time, _clock())
    with pytest.raises(OSError, match="no room"):
        board.now(Episode("fall", 0, 3 * 10**9, 0.9, ("imu",), 4, "person"))
    assert [news.state for news in heard] == ["raised"]


@pytest.mark.parametrize(
    ("last", "goes_on"),
    [
        ({"state": "raised"}, True),
        ({"state": "repeated"}, False),  # earlier versions did not write it, and it may be over by then
        ({"state": "over"}, False),
        ({"state": "repeated", "lasts": True}, True),
    ],
)
def test_whether_an_alarm_goes_on_is_in_its_last_entry(last: Dict[str, Any], goes_on: bool) -> None:
    assert lasted(last) == goes_on
