"""Tells a person what to do and when, and keeps what was done as labels.

What is to be done stands in a text file, an activity a line, with seconds and, where it is not three times, how often:

    # activity, seconds, times
    wave, 5
    sit down, 4, 6

Everything is done once before anything is done again, so that each part of a recording holds all of it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from runtime.recognizer import UNCERTAIN
from runtime.truth import Segment
from sensors.events import Event, Tick

_TIMES = 3
_MOST_S, _MOST_TIMES = 3600, 1000
_COUNTDOWN_S = 3
_HELD_UP_NS = 1_000_000_000  # between two ticks, which come many times a second: a stopped process, a stalled machine
_REACTION_NS = 500_000_000  # people follow a signal a little late; this much is asked of them beyond what is labelled


class PromptError(Exception):
    """The file of activities cannot be read; all that is wrong with it, by line."""


class Activity(NamedTuple):
    """A line of the file."""

    name: str
    seconds: float
    times: int


class Cue(NamedTuple):
    """What the person is told at a moment.

    Attributes:
        activity: to do now, or next.
        doing: whether it is to be done now.
        left_s: until it begins, or ends.
        number: of it among all that is to be done, from 1.
        total: how many there are.
        after: what comes after it; None at the end.
    """

    activity: str
    doing: bool
    left_s: float
    number: int
    total: int
    after: Optional[str]


class _Step(NamedTuple):
    activity: str
    start_ns: int
    end_ns: int


def read_activities(path: Path) -> List[Activity]:
    """Reads a file of activities.

    Raises:
        PromptError: it cannot be read, holds none, or a line of it is wrong.
    """
    activities, problems = [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise PromptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: is no UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                activities.append(_activity(line))
            except (ValueError, csv.Error) as error:
                problems.append(f"line {number}: {error}")
    if problems or not activities:
        problems = problems or ["holds no activity; a line is: activity, seconds, times"]
        raise PromptError("\n  ".join([f"{path}: these activities cannot be prompted:", *problems]))
    return activities


class Prompter:
    """Leads a person through activities, on the clock of a live run.

    Args:
        activities: what is to be done.
        rest_s: before each of them; it holds the countdown.
        say: told the person line by line, what is to be done now and next.
        beep: called at each second of the countdown, at the start and at the end.
        on_done: called with all that was done so far, each time something was.

    Attributes:
        cue: what the person is told at present; None before it begins and after it ended.
        done: what was done from its start to its end, on the host's monotonic clock.
    """

    def __init__(
        self,
        activities: Sequence[Activity],
        rest_s: float,
        say: Callable[[str], object],
        beep: Callable[[], object],
        on_done: Callable[[Sequence[Segment]], object],
    ) -> None:
        self.cue: Optional[Cue] = None
        self.done: List[Segment] = []
        self._steps = _plan(activities, rest_s)
        self._say = say
        self._beep = beep
        self._on_done = on_done

    @property
    def total(self) -> int:
        """How many times an activity is to be done."""
        return len(self._steps)

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self._steps[-1].end_ns / 1e9

    def lead(self, events: Iterable[Event]) -> Iterator[Event]:
        """Passes events on from the first tick's time to the end of the last activity."""
        began_ns: Optional[int] = None
        before_ns = 0
        for event in events:
            if isinstance(event, Tick):
                if began_ns is None:
                    began_ns = event.now_ns
                elif event.now_ns - before_ns > _HELD_UP_NS:  # nobody was led meanwhile, so the rest comes later
                    began_ns += event.now_ns - before_ns
                before_ns = event.now_ns
                self._advance(began_ns, event.now_ns - began_ns)
                if self.cue is None:
                    return
            yield event

    def _advance(self, began_ns: int, now_ns: int) -> None:
        """Tells what has become due at a time since the beginning."""
        number = len(self.done)
        while number < len(self._steps) and self._steps[number].end_ns <= now_ns:
            step = self._steps[number]
            self.done.append(Segment(began_ns + step.start_ns + _REACTION_NS, began_ns + step.end_ns, step.activity))
            number += 1
            self._say("   stop")
            self._beep()
            self._on_done(self.done)
        if number == len(self._steps):
            self._say("done: that was all")
            self.cue = None
            return
        before, self.cue = self.cue, self._cue(number, now_ns)
        self._announce(before, self.cue)

    def _cue(self, number: int, now_ns: int) -> Cue:
        step = self._steps[number]
        doing = step.start_ns <= now_ns
        left_s = ((step.end_ns if doing else step.start_ns) - now_ns) / 1e9
        after = self._steps[number + 1].activity if number + 1 < len(self._steps) else None
        return Cue(step.activity, doing, left_s, number + 1, len(self._steps), after)

    def _announce(self, before: Optional[Cue], cue: Cue) -> None:
        """Says and sounds what is new since the cue before."""
        if before is None or before.number != cue.number:
            self._say(f"{cue.number} of {cue.total}: {cue.activity}, in {cue.left_s:.0f} s")
        elif cue.doing and not before.doing:
            self._say(f"   now: {cue.activity}, for {cue.left_s:.0f} s")
            self._beep()
        elif not cue.doing and int(cue.left_s) < int(before.left_s) <= _COUNTDOWN_S:
            self._beep()


def _activity(line: str) -> Activity:
    cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    if len(cells) not in (2, 3):
        raise ValueError(f"{line.strip()!r} is not of the form: activity, seconds, times")
    name = cells[0]
    if not name or not name.isprintable() or name == UNCERTAIN:
        raise ValueError(f"{name!r} is no name of an activity")
    try:
        seconds = float(cells[1])
        times = int(cells[2]) if len(cells) == 3 else _TIMES
    except ValueError:
        seconds, times = 0.0, 0
    if not 1 <= seconds <= _MOST_S or not 1 <= times <= _MOST_TIMES:
        raise ValueError(f"{', '.join(cells[1:])!r}: expected seconds from 1 on and a number of times, such as 5, 3")
    return Activity(name, seconds, times)


def _plan(activities: Sequence[Activity], rest_s: float) -> List[_Step]:
    """Everything once, then everything that is to be done more often again, with a rest before each."""
    steps: List[_Step] = []
    now_ns = 0
    for turn in range(max(activity.times for activity in activities)):
        for activity in activities:
            if turn < activity.times:
                start_ns = now_ns + round(rest_s * 1e9)
                now_ns = start_ns + round(activity.seconds * 1e9) + _REACTION_NS
                steps.append(_Step(activity.name, start_ns, now_ns))
    return steps
