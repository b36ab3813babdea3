from __future__ import annotations

from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.names import GAP
from cosmo_runtime.runtime.episodes.rule import Episode, EpisodeRule, Hold, Observation

_HOP = 10**9 // 2
_HOLD = Hold(on_s=1, off_s=1.5, least_s=1)


def _rule(hold: Hold = _HOLD) -> EpisodeRule:
    return EpisodeRule(lambda _: hold, gap_s=3)


def _seen(step: int, activity: str, confidence: float = 0.8) -> Observation:
    return Observation(step * _HOP, (step + 1) * _HOP, activity, confidence, ("imu",), "person")


def _episodes(words: str, rule: EpisodeRule | None = None) -> List[Tuple[str, float, float]]:
    """Feeds a window a letter: ``?`` is uncertain, ``.`` no window; returns activity, start and end in seconds."""
    rule = rule or _rule()
    ended: List[Episode] = []
    for step, letter in enumerate(words):
        if letter != ".":
            ended += rule.feed(_seen(step, "uncertain" if letter == "?" else letter))
    ended += rule.finish()
    return [(episode.activity, episode.start_ns / 1e9, episode.end_ns / 1e9) for episode in ended]


def test_an_activity_begins_with_the_first_of_the_windows_that_made_it_sure() -> None:
    assert _episodes("??aaaa") == [("uncertain", 0, 1), ("a", 1, 3)]


def test_one_window_begins_nothing_and_ends_nothing() -> None:
    assert _episodes("aaaabaaaa") == [("a", 0, 4.5)]
    assert _episodes("aaaa?aaaa") == [("a", 0, 4.5)]


def test_a_rest_belongs_to_the_activity_around_it_and_a_longer_one_ends_it() -> None:
    rule = _rule(Hold(on_s=1, off_s=2, least_s=1))
    rest, pause = ["none"] * 3, ["none"] * 4
    seen = ["a"] * 4 + rest + ["a"] * 4 + pause + ["b"] * 4
    ended = [episode for step, activity in enumerate(seen) for episode in rule.feed(_seen(step, activity))]
    told = [(episode.activity, episode.start_ns / 1e9, episode.end_ns / 1e9) for episode in ended + rule.finish()]
    assert told == [("a", 0, 5.5), ("none", 5.5, 7.5), ("b", 7.5, 9.5)]


def test_what_lies_between_two_activities_is_shared() -> None:
    assert _episodes("aaaa??bbbb") == [("a", 0, 2.5), ("b", 2.5, 5)]
    assert _episodes("aaaa???bbbb") == [("a", 0, 2), ("uncertain", 2, 3.5), ("b", 3.5, 5.5)]


def test_an_activity_that_is_not_seen_any_more_ends_where_it_was_seen_last() -> None:
    assert _episodes("aaaa????") == [("a", 0, 2), ("uncertain", 2, 4)]


def test_unsure_windows_do_not_count_towards_an_activity_and_do_no_harm() -> None:
    assert _episodes("??a?a??") == [("uncertain", 0, 1), ("a", 1, 3.5)]
    assert _episodes("??a???a??") == [("uncertain", 0, 4.5)]


def test_doing_nothing_is_an_activity_and_none_of_the_others() -> None:
    rule = _rule()
    ended: List[Episode] = []
    for step, activity in enumerate(["none"] * 4 + ["uncertain"] * 4):
        ended += rule.feed(_seen(step, activity))
    assert [episode.activity for episode in ended] == ["none"]
    assert rule.current and rule.current.activity == "uncertain"


def test_a_short_lack_of_windows_is_passed_over_and_a_long_one_is_a_gap() -> None:
    assert _episodes("aaaa.....aaaa") == [("a", 0, 6.5)]
    assert _episodes("aaaa" + "." * 8 + "aaaa") == [("a", 0, 2), ("gap", 2, 6), ("a", 6, 8)]


def test_a_gap_is_known_while_it_lasts_and_says_why() -> None:
    rule = _rule()
    for step in range(4):
        rule.feed(_seen(step, "a"))
    assert rule.silent(3 * 10**9, "imu: lost") == []
    assert rule.current and rule.current.activity == "a"
    (ended,) = rule.silent(6 * 10**9, "imu: lost")
    assert (ended.activity, ended.seconds) == ("a", 2)
    rule.silent(16 * 10**9, "imu: lost")
    assert rule.current == Episode(GAP, 2 * 10**9, 16 * 10**9, reason="imu: lost")
    (gap,) = rule.feed(_seen(31, "a"))  # its middle lies before the time at which the gap was last told
    assert (gap.activity, gap.start_ns, gap.end_ns) == (GAP, 2 * 10**9, 31 * _HOP)


def test_what_was_too_short_to_be_believed_is_told_as_uncertain() -> None:
    rule = _rule(Hold(on_s=1, off_s=1.5, least_s=3))
    assert _episodes("aaaaaaaabbbcccccccc", rule) == [("a", 0, 4), ("uncertain", 4, 5.5), ("c", 5.5, 9.5)]


def test_uncertain_ones_beside_each_other_stay_apart_because_what_has_ended_is_told_at_once() -> None:
    rule = _rule(Hold(on_s=1, off_s=1.5, least_s=3))
    told = [("a", 0, 4), ("uncertain", 4, 5.5), ("uncertain", 5.5, 7.5), ("c", 7.5, 11.5)]
    assert _episodes("aaaaaaaabbb????cccccccc", rule) == told


def test_an_episode_tells_how_sure_it_is_and_what_it_was_seen_by() -> None:
    rule = _rule()
    for step, (confidence, sensors) in enumerate([(0.9, ("imu", "depth")), (0.7, ("depth",)), (0.8, ("depth",))]):
        rule.feed(Observation(step * _HOP, (step + 1) * _HOP, "a", confidence, sensors, "person"))
    (episode,) = rule.finish()
    assert episode.confidence == pytest.approx(0.8)
    assert (episode.sensors, episode.windows, episode.bundle) == (("depth",), 3, "person")


_WORDS = st.text("aab?.n", max_size=60)
_HOLDS = st.builds(Hold, *[st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0])] * 3)


@given(_WORDS, _HOLDS, st.lists(st.integers(0, 60), max_size=6))
def test_episodes_follow_one_another_without_a_hole_or_an_overlap(words: str, hold: Hold, silences: List[int]) -> None:
    rule = _rule(hold)
    ended: List[Episode] = []
    first = last = None
    for step, letter in enumerate(words):
        if letter != ".":
            first = step * _HOP if first is None else first
            last = (step + 1) * _HOP
            ended += rule.feed(_seen(step, "uncertain" if letter == "?" else letter))
        elif step in silences and first is not None:
            ended += rule.silent(step * _HOP, "silence")
            last = step * _HOP if rule.current and rule.current.activity == GAP else last
    ended += rule.finish()
    if first is None:
        assert ended == []
        return
    assert (ended[0].start_ns, ended[-1].end_ns) == (first, last)
    assert all(before.end_ns == after.start_ns for before, after in zip(ended, ended[1:]))
    assert all(episode.start_ns < episode.end_ns for episode in ended)
    for episode in ended:
        if episode.activity not in (GAP, "uncertain"):
            assert episode.seconds >= hold.least_s


@given(_WORDS, _HOLDS)
def test_what_is_told_while_it_lasts_is_what_is_kept_in_the_end(words: str, hold: Hold) -> None:
    rule = _rule(Hold(hold.on_s, hold.off_s, 0))
    ended: List[Episode] = []
    told = []
    for step, letter in enumerate(words):
        if letter != ".":
            ended += rule.feed(_seen(step, "uncertain" if letter == "?" else letter))
            told.append(rule.current)
    ended += rule.finish()
    kept = {(episode.activity, episode.start_ns) for episode in ended}
    assert {(now.activity, now.start_ns) for now in told if now and now.activity != "uncertain"} <= kept
