"""A person is told in time what to do, and only what was done to its end counts."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.runtime.labels.prompt import Activity, Cue, Prompter, PromptError, read_activities
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Event, StateChange, Tick

BEGAN_NS = 7 * 10**12
STEP_NS = 20_000_000


def ticks(until_s: float) -> Iterator[Tick]:
    return (Tick(BEGAN_NS + k * STEP_NS) for k in range(round(until_s * 1e9) // STEP_NS))


class Told:
    """A prompter led by ticks, and all that it said and sounded, with the seconds since its beginning."""

    def __init__(
        self, activities: List[Activity], rest_s: float, until_s: float = 1e4, stop_s: Tuple[float, float] = (0, 0)
    ) -> None:
        self.now_s = 0.0
        self.lines: List[Tuple[float, str]] = []
        self.beeps: List[float] = []
        self.kept: List[List[Segment]] = []
        self.cues: List[Optional[Cue]] = []
        self.prompter = Prompter(activities, rest_s, self._say, self._beep, lambda done: self.kept.append(list(done)))
        self._stop_s = stop_s
        for _ in self.prompter.lead(self._watched(until_s)):
            self.cues.append(self.prompter.cue)

    def _watched(self, until_s: float) -> Iterator[Event]:
        for tick in ticks(until_s):
            self.now_s = (tick.now_ns - BEGAN_NS) / 1e9
            if not self._stop_s[0] < self.now_s < self._stop_s[1]:
                yield tick

    def _say(self, line: str) -> None:
        self.lines.append((self.now_s, line))

    def _beep(self) -> None:
        self.beeps.append(self.now_s)


def test_a_file_of_activities(tmp_path: Path) -> None:
    path = tmp_path / "activities.txt"
    path.write_text('# activity, seconds, times\n\nwave, 5\n  sit down ,4.5, 6\n"turn, then stop",10,1\n')
    assert read_activities(path) == [
        Activity("wave", 5, 3),
        Activity("sit down", 4.5, 6),
        Activity("turn, then stop", 10, 1),
    ]


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "activities.txt"
    path.write_text(
        "wave\nwave 5\nwave, soon\nwave, 5, 0\nwave, 0.5\nuncertain, 5\n, 5\nwave, nan\nwave,5,3,1\nwalk, 5\n"
    )
    with pytest.raises(PromptError) as raised:
        read_activities(path)
    first, *lines = str(raised.value).split("\n  ")
    assert first == f"{path}: these activities cannot be prompted:"
    assert [int(line.split(":")[0].split()[1]) for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert lines[1] == "line 2: 'wave 5' does not have the form: activity, seconds, times"
    assert "expected seconds from 1 on and a number of times" in lines[2]
    assert lines[5].startswith("line 6: 'uncertain' is not an activity")
    assert lines[6] == "line 7: names no activity"


def test_a_file_of_another_kind_is_told_in_a_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n" * 5000)
    with pytest.raises(PromptError) as raised:
        read_activities(path)
    _, *lines = str(raised.value).split("\n  ")
    assert len(lines) == 21
    assert lines[-1] == "and 4980 more lines"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_names_that_are_the_same_to_a_person_are_prompted_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    path = tmp_path / "activities.txt"
    path.write_text("g\u00e4hnen, 5\nga\u0308hnen, 4\nsit  down, 5\nSit down, 5\nNone, 5\n", encoding=encoding)
    assert [name for name, *_ in read_activities(path)] == ["g\u00e4hnen"] * 2 + ["sit down"] * 2 + ["none"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: line 4: 'Sit down' is taken for 'sit down'",
        f"{path}: line 5: 'None' is taken for 'none'",
    ]


def test_other_encodings_do_no_harm_in_a_comment_and_are_named_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "activities.txt"
    path.write_bytes("# f\u00fcr Montag\nwave, 5\ng\u00e4hnen, 5\nwave\x1b, 5\n".encode("latin-1"))
    with pytest.raises(PromptError) as raised:
        read_activities(path)
    assert str(raised.value).split("\n  ")[1:] == [
        "line 3: holds the byte 0xe4, which is not UTF-8: save the file as UTF-8",
        r"line 4: the name 'wave\x1b' contains a control character or a line end",
    ]


@pytest.mark.parametrize(
    "content, wrong",
    [(b"# nothing\n", "holds no activity"), (b"\xff\xfea", "begins as UTF-16"), (None, "cannot be read: No such file")],
)
def test_a_file_without_activities(tmp_path: Path, content: Optional[bytes], wrong: str) -> None:
    path = tmp_path / "activities.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PromptError, match=wrong):
        read_activities(path)


@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.txt"
    path.write_bytes(content)
    try:
        assert read_activities(path)
    except PromptError as error:
        assert str(path) in str(error)


def test_each_activity_is_announced_counted_down_to_begun_and_ended() -> None:
    told = Told([Activity("wave", 2, 2), Activity("walk", 4, 1)], rest_s=5)
    assert told.lines == [
        (0, "1 of 3: wave, in 5 s"),
        (5, "   now: wave, for 2 s"),
        (7.5, "   stop"),
        (7.5, "2 of 3: walk, in 5 s"),
        (12.5, "   now: walk, for 4 s"),
        (17, "   stop"),
        (17, "3 of 3: wave, in 5 s"),
        (22, "   now: wave, for 2 s"),
        (24.5, "   stop"),
        (24.5, "done: that was all"),
    ]
    assert told.beeps[:5] == pytest.approx([2, 3, 4, 5, 7.5], abs=0.03)
    assert told.prompter.cue is None
    assert told.prompter.seconds == 24.5


def test_what_was_done_is_labelled_from_half_a_second_after_the_signal() -> None:
    told = Told([Activity("wave", 2, 2), Activity("walk", 4, 1)], rest_s=5)
    assert told.prompter.done == [
        Segment(BEGAN_NS + 5_500_000_000, BEGAN_NS + 7_500_000_000, "wave"),
        Segment(BEGAN_NS + 13_000_000_000, BEGAN_NS + 17_000_000_000, "walk"),
        Segment(BEGAN_NS + 22_500_000_000, BEGAN_NS + 24_500_000_000, "wave"),
    ]
    assert told.kept == [told.prompter.done[:count] for count in (1, 2, 3)]


@pytest.mark.parametrize("until_s, done", [(7.4, 0), (7.6, 1), (16.9, 1), (17.1, 2)])
def test_what_was_broken_off_is_not_labelled(until_s: float, done: int) -> None:
    told = Told([Activity("wave", 2, 2), Activity("walk", 4, 1)], 5, until_s)
    assert len(told.prompter.done) == done
    assert told.prompter.cue is not None


@pytest.mark.parametrize("stop_s", [(1.0, 61.0), (6.0, 66.0)])
def test_nothing_is_done_while_nobody_is_told(stop_s: Tuple[float, float]) -> None:
    """As after Ctrl-Z: the rest comes later, and is announced as ever."""
    told = Told([Activity("wave", 2, 2)], rest_s=5, stop_s=stop_s)
    first, second = told.prompter.done
    assert (first.end_ns - BEGAN_NS) / 1e9 == pytest.approx(7.5 + 60, abs=0.03)
    assert (second.end_ns - first.end_ns) / 1e9 == pytest.approx(7.5)
    assert [line for _, line in told.lines if "now: " in line] == ["   now: wave, for 2 s"] * 2


def test_the_cue_counts_down_and_names_what_comes_next() -> None:
    cues = [cue for cue in Told([Activity("wave", 2, 1), Activity("walk", 4, 1)], 5).cues if cue]
    assert cues[0] == Cue("wave", False, 5.0, 1, 2, "walk")
    assert cues[250] == Cue("wave", True, 2.5, 1, 2, "walk")
    assert cues[-1] == Cue("walk", True, 0.02, 2, 2, None)
    assert all(a.left_s > b.left_s for a, b in zip(cues, cues[1:]) if (a.number, a.doing) == (b.number, b.doing))


def test_events_pass_unchanged_until_all_is_done() -> None:
    change = StateChange("imu", BEGAN_NS, "ok")
    given_events: List[Event] = [change, *ticks(20), change]
    prompter = Prompter([Activity("wave", 2, 1)], 1, lambda _: None, lambda: None, lambda _: None)
    passed = list(prompter.lead(iter(given_events)))
    assert passed == given_events[: len(passed)]
    assert isinstance(passed[-1], Tick)
    assert passed[-1].now_ns == BEGAN_NS + 3_500_000_000 - STEP_NS


def _prompter() -> Prompter:
    prompter = Prompter(
        [Activity("wave", 2, 2), Activity("walk", 2, 1)], 1, lambda _: None, lambda: None, lambda _: None
    )
    prompter.advance(BEGAN_NS)
    return prompter


def _run_to(prompter: Prompter, second: float) -> None:
    for tick in ticks(second):
        assert isinstance(tick, Tick)
        prompter.advance(tick.now_ns)


def test_the_last_one_is_taken_back_and_repeated() -> None:
    prompter = _prompter()
    _run_to(prompter, 3.6)
    assert [segment.activity for segment in prompter.done] == ["wave"]
    prompter.obey("repeat")
    _run_to(prompter, 3.7)
    assert prompter.done == []
    assert prompter.cue is not None
    assert (prompter.cue.activity, prompter.cue.number, prompter.cue.doing) == ("wave", 1, False)


def test_what_is_skipped_is_not_labelled() -> None:
    prompter = _prompter()
    prompter.obey("skip")
    _run_to(prompter, 30)
    assert [segment.activity for segment in prompter.done] == ["walk", "wave"]
    assert prompter.ended


def test_a_pause_breaks_off_what_is_done_and_begins_it_anew() -> None:
    prompter = _prompter()
    _run_to(prompter, 1.5)  # waving
    prompter.obey("pause")
    _run_to(prompter, 20)
    assert prompter.cue is not None
    assert (prompter.cue.paused, prompter.cue.doing, prompter.done) == (True, False, [])
    prompter.obey("pause")
    _run_to(prompter, 24)
    assert [round((s.end_ns - s.start_ns) / 1e9, 1) for s in prompter.done] == [2.0]


def test_an_end_keeps_what_was_done() -> None:
    prompter = _prompter()
    _run_to(prompter, 3.6)
    prompter.obey("end")
    _run_to(prompter, 3.7)
    assert prompter.ended
    assert len(prompter.done) == 1


def test_another_word_is_none() -> None:
    with pytest.raises(ValueError, match="expected one of repeat, skip, pause, end"):
        _prompter().obey("stop")
