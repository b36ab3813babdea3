"""Tells a person what to do and when, and writes what was done as labels.

A text file lists the activities, one per line, with seconds and how often to do each (three times by default):

    # activity, seconds, times
    wave, 5
    sit down, 4, 6

Each activity is done once before any is repeated, so that each part of a recording holds all of them.
"""

from __future__ import annotations

import csv
import logging
from collections import deque
from pathlib import Path
from typing import Callable, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from cosmo_runtime.models.activity_names import as_known, label_name
from cosmo_runtime.runtime.labels.plain_text import foreign_byte, read_text
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Event, Tick

_TIMES = 3
_MOST_S, _MOST_TIMES = 3600, 1000
_MOST_PROBLEMS = 20  # that are told; a file of another kind may have thousands
_COUNTDOWN_S = 3
_HELD_UP_NS = 1_000_000_000  # ticks come many times a second; a longer gap means a stopped process or a stalled machine
_REACTION_NS = 500_000_000  # people react a little late, so they do this much more than is labelled

_log = logging.getLogger(__name__)


class PromptError(Exception):
    """The file of activities cannot be used. The message lists errors by line."""


class Activity(NamedTuple):
    """One line of the file."""

    name: str
    seconds: float
    times: int


class Cue(NamedTuple):
    """The instruction at a moment.

    Attributes:
        activity: the activity to do now or next.
        doing: whether to do it now.
        left_s: time until it begins or ends.
        number: its number among all activities to do, from 1.
        total: how many there are.
        after: the activity after it; None at the end.
        paused: whether time stands still until the person continues.
    """

    activity: str
    doing: bool
    left_s: float
    number: int
    total: int
    after: Optional[str]
    paused: bool = False


class _Step(NamedTuple):
    activity: str
    length_ns: int


def read_activities(path: Path) -> List[Activity]:
    """Reads a file of activities, as ``parse_activities`` does.

    Raises:
        PromptError: the file cannot be read, holds no activities, or a line is wrong.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise PromptError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PromptError(f"{path}: {error}") from error
    return parse_activities(text, str(path))


def parse_activities(text: str, source: str) -> List[Activity]:
    """Reads activities, one per line.

    A name that looks the same as an earlier one to a person counts as that one, with a warning.

    Args:
        text: the lines.
        source: where they come from, for messages.

    Raises:
        PromptError: there are no activities, or a line is wrong.
    """
    activities: List[Activity] = []
    problems: List[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                activity = _activity(line)
            except (ValueError, csv.Error) as error:
                problems.append(f"line {number}: {error}")
                continue
            known = as_known(activity.name, [earlier.name for earlier in activities])
            if known != activity.name:
                _log.warning("%s: line %d: %r is taken for %r", source, number, activity.name, known)
            activities.append(activity._replace(name=known))
    if problems or not activities:
        problems = problems or ["holds no activity; a line has the form: activity, seconds, times"]
        if len(problems) > _MOST_PROBLEMS:
            problems = [*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more lines"]
        raise PromptError("\n  ".join([f"{source}: these activities cannot be prompted:", *problems]))
    return activities


class Prompter:
    """Leads a person through activities, on the clock of a live run.

    The person can give commands meanwhile: ``repeat`` takes back and repeats the last activity, or restarts the present
    one; ``skip`` moves on to the next; ``pause`` waits, and a second ``pause`` continues; ``end`` ends.

    Args:
        activities: the activities to do.
        rest_s: the rest before each of them, which includes the countdown.
        say: called with each line of instructions, what to do now and next.
        beep: called at each second of the countdown, at the start and at the end.
        on_done: called with everything done so far, whenever that changes.

    Attributes:
        cue: the present instruction; None before the beginning and after the end.
        done: the completed activities, on the host's monotonic clock.
        ended: whether there is nothing more to do.
    """

    WORDS = ("repeat", "skip", "pause", "end")

    def __init__(
        self,
        activities: Sequence[Activity],
        rest_s: float,
        say: Callable[[str], object],
        beep: Callable[[], object],
        on_done: Callable[[Sequence[Segment]], object],
    ) -> None:
        self.cue: Optional[Cue] = None
        self.ended = False
        self._steps = _plan(activities)
        self._rest_ns = round(rest_s * 1e9)
        self._done: Dict[int, Segment] = {}  # by the step's number
        self._number = 0  # number of the present or next step
        self._began_ns = self._now_ns = -1  # the first is when the rest before that step began
        self._paused = False
        self._words: Deque[str] = deque()
        self._say = say
        self._beep = beep
        self._on_done = on_done

    @property
    def done(self) -> List[Segment]:
        """The completed activities, oldest first."""
        return sorted(self._done.values())

    @property
    def total(self) -> int:
        """How many activities there are to do, counting repeats."""
        return len(self._steps)

    @property
    def seconds(self) -> float:
        """How long everything takes."""
        return sum(self._rest_ns + step.length_ns for step in self._steps) / 1e9

    def obey(self, word: str) -> None:
        """Gives one of the commands in ``WORDS``, from any thread. It takes effect with the next ``advance``."""
        if word not in self.WORDS:
            raise ValueError(f"{word!r}: expected one of {', '.join(self.WORDS)}")
        self._words.append(word)

    def lead(self, events: Iterable[Event]) -> Iterator[Event]:
        """Passes events on from the first tick's time to the end of the last activity."""
        for event in events:
            if isinstance(event, Tick):
                self.advance(event.now_ns)
                if self.ended:
                    return
            yield event

    def advance(self, now_ns: int) -> None:
        """Moves on to a time of the host's monotonic clock, and gives the instructions up to it."""
        if self.ended:
            return
        if self._began_ns < 0:
            self._began_ns = self._now_ns = now_ns
        now_ns = max(now_ns, self._now_ns)  # sensors are read in turn
        if self._paused or now_ns - self._now_ns > _HELD_UP_NS:  # no instructions came meanwhile
            self._began_ns += now_ns - self._now_ns
        self._now_ns = now_ns
        while self._words:
            self._follow(self._words.popleft())
        while self._number < len(self._steps) and not self._paused and self._step_end_ns <= self._now_ns:
            step, end_ns = self._steps[self._number], self._step_end_ns
            start_ns = self._began_ns + self._rest_ns + _REACTION_NS
            self._done[self._number] = Segment(start_ns, end_ns, step.activity)
            self._number += 1
            self._began_ns = end_ns
            self._say("   stop")
            self._beep()
            self._on_done(self.done)
        if self._number >= len(self._steps):
            self._say("done: that was all")
            self.ended, self.cue = True, None
            return
        before, self.cue = self.cue, self._cue()
        self._announce(before, self.cue)

    @property
    def _step_end_ns(self) -> int:
        return self._began_ns + self._rest_ns + self._steps[self._number].length_ns

    def _follow(self, word: str) -> None:
        if self._number >= len(self._steps):
            return
        doing = self._began_ns + self._rest_ns <= self._now_ns
        if word == "pause":
            self._paused = not self._paused
            self._say("   pause" if self._paused else "   continue")
            if self._paused and not doing:
                return
        elif word == "repeat" and not doing and self._number:
            self._number -= 1
            if self._done.pop(self._number, None):
                self._on_done(self.done)
        elif word == "skip":
            self._number += 1
        elif word == "end":
            self._number = len(self._steps)
        self._began_ns = self._now_ns
        self.cue = None  # so that it is announced again

    def _cue(self) -> Cue:
        step = self._steps[self._number]
        start_ns = self._began_ns + self._rest_ns
        doing = start_ns <= self._now_ns
        left_s = ((self._step_end_ns if doing else start_ns) - self._now_ns) / 1e9
        after = self._steps[self._number + 1].activity if self._number + 1 < len(self._steps) else None
        return Cue(step.activity, doing, left_s, self._number + 1, len(self._steps), after, self._paused)

    def _announce(self, before: Optional[Cue], cue: Cue) -> None:
        """Says and sounds what is new since the previous cue."""
        if before is None or before.number != cue.number:
            self._say(f"{cue.number} of {cue.total}: {cue.activity}, in {cue.left_s:.0f} s")
        elif cue.doing and not before.doing:
            self._say(f"   now: {cue.activity}, for {cue.left_s:.0f} s")
            self._beep()
        elif not cue.doing and int(cue.left_s) < int(before.left_s) <= _COUNTDOWN_S:
            self._beep()


def _activity(line: str) -> Activity:
    foreign = foreign_byte(line)
    if foreign:
        raise ValueError(foreign)
    cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    if len(cells) not in (2, 3):
        raise ValueError(f"{line.strip()!r} does not have the form: activity, seconds, times")
    name = label_name(cells[0])
    try:
        seconds = float(cells[1])
        times = int(cells[2]) if len(cells) == 3 else _TIMES
    except ValueError:
        seconds, times = 0.0, 0
    if not 1 <= seconds <= _MOST_S or not 1 <= times <= _MOST_TIMES:
        raise ValueError(f"{', '.join(cells[1:])!r}: expected seconds from 1 on and a number of times, such as 5, 3")
    return Activity(name, seconds, times)


def _plan(activities: Sequence[Activity]) -> List[_Step]:
    """Each activity once, then again those that need more repeats, and so on."""
    return [
        _Step(activity.name, round(activity.seconds * 1e9) + _REACTION_NS)
        for turn in range(max(activity.times for activity in activities))
        for activity in activities
        if turn < activity.times
    ]
