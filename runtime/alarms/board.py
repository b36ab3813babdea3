"""Keeps track of alarms: raised, repeated, over, acknowledged."""

from __future__ import annotations

import logging
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Callable, Deque, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from cosmo_runtime.names import GAP
from cosmo_runtime.runtime.alarms.last import first, is_on, lasted, number, times
from cosmo_runtime.runtime.alarms.rules import ACKNOWLEDGED, CORRECTED, OVER, RAISED, REPEATED, AlarmRule, Watch
from cosmo_runtime.runtime.episodes.clock import ClockWatch
from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.recognition.loop import call_all

_MOST_RAISES = 100  # of one alarm, whose times are kept while nobody acknowledges them
_ALL = sys.maxsize  # somebody has seen whatever was raised

_log = logging.getLogger(__name__)


class News(NamedTuple):
    """A change of an alarm.

    Attributes:
        rule: the alarm's rule.
        state: ``raised``, ``repeated``, ``over``, ``acknowledged``, or ``corrected`` when the wall clock was set.
        at_ns: when it changed, on the host's monotonic clock.
        quiet: whether it is quiet hours: the alarm is logged, but nobody is notified.
        stands: whether nobody has acknowledged it, and it is either not over or stays on after it is over.
        on: whether it stands, and somebody was notified of a raise that nobody has acknowledged. Quiet hours that begin
            later do not take that back.
        lasts: whether what it was raised for still goes on.
        number: of its last raise, counted through all runs.
        times: how often it was raised without being acknowledged.
        first: since when the first of these raises had lasted; None if there is none.
        evidence: what it was last raised for.
    """

    rule: AlarmRule
    state: str
    at_ns: int
    quiet: bool
    stands: bool
    on: bool
    lasts: bool
    number: int
    times: int
    first: Optional[str]
    evidence: Mapping[str, Any]


class _Raise(NamedTuple):
    number: int
    since: str
    here: bool  # in this run, so the time follows when the wall clock is set

    def moved(self, by: timedelta) -> _Raise:
        since = (datetime.fromisoformat(self.since) + by).astimezone()  # summer time may begin in between
        return self._replace(since=_iso(since)) if self.here else self


@dataclass
class _Standing:
    """An alarm that stands.

    Attributes:
        last: its last raise.
        found: what it was raised for then.
        seen: the number of the last raise that somebody has acknowledged.
        raises: those after it, in order. Of very many, some in the middle are missing.
        notified: the number of the last raise that somebody was notified of.
        notified_ns: when somebody was last notified of its last raise.
        over: whether what it was raised for is over.
        inherited: whether it went on when an earlier run ended, and it is not clear yet whether it still does.
    """

    last: _Raise
    found: Mapping[str, Any]
    seen: int
    raises: List[_Raise] = field(default_factory=list)
    notified: int = 0
    notified_ns: Optional[int] = None
    over: bool = False
    inherited: bool = False

    @property
    def acknowledged(self) -> bool:
        return self.seen == self.last.number

    @property
    def evidence(self) -> Mapping[str, Any]:
        return {**self.found, "since": self.last.since}


class AlarmBoard(Listener):
    """Raises alarms by episodes. A standing alarm is raised again only if its cause was over in between.

    Args:
        rules: the alarms' rules.
        tell: callbacks for changes. The first one must store them.
        local_time: the local time at a time of the host's monotonic clock.
        clock: notices when the wall clock is set, and the times of this run's alarms with it.
        last: the last log entry of each alarm, by name. Those that an earlier run left standing still do. If it still
            went on, it does until the first windows show something else. Those without a rule stand until somebody
            acknowledges them.
        acknowledged: names of alarms that somebody has acknowledged, and the number of the last raise that was seen. It
            is called after every window.
    """

    def __init__(
        self,
        rules: Iterable[AlarmRule],
        tell: Sequence[Callable[[News], None]],
        local_time: Callable[[int], datetime],
        clock: ClockWatch,
        last: Optional[Mapping[str, Mapping[str, Any]]] = None,
        acknowledged: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._watches = [Watch(rule) for rule in rules]
        self._tell = tell
        self._local_time = local_time
        self._acknowledged = acknowledged
        self._clock = clock
        self._asked: Deque[str] = deque()
        self._at_ns = 0
        last = last or {}
        self._numbers = {name: number(entry) for name, entry in last.items()}
        self._standing = {name: _left(entry) for name, entry in last.items() if entry["stands"]}
        for watch in self._watches:
            alarm = self._standing.get(watch.rule.name)
            if alarm and not watch.rule.stands_until_acknowledged:
                alarm.over = False  # it is over, unless it goes on; that is told with the first window
        names = [watch.rule.name for watch in self._watches]
        self._without_rule = [
            AlarmRule.model_construct(name=name, activity=alarm.evidence["activity"])
            for name, alarm in self._standing.items()
            if name not in names
        ]
        for rule in self._without_rule:
            _log.warning(
                "alarm %s still stands, but the configuration no longer has its rule: acknowledge it", rule.name
            )

    @property
    def standing(self) -> Dict[str, Mapping[str, Any]]:
        """The evidence, by name, of standing alarms that nobody has acknowledged."""
        return {name: alarm.evidence for name, alarm in list(self._standing.items()) if not alarm.acknowledged}

    def acknowledge(self, name: str) -> None:
        """Acknowledges an alarm, however often it was raised. Any thread may call this.

        It takes effect with the next window.
        """
        self._asked.append(name)

    def ended(self, episode: Episode) -> None:
        """Checks every rule, if it was a gap. Nobody was told of a short one while it lasted."""
        if episode.activity == GAP:
            self.now(episode)

    def now(self, episode: Episode) -> None:
        """Checks every rule."""
        self._at_ns = max(self._at_ns, episode.end_ns)
        seen = {**self._acknowledged(), **{self._asked.popleft(): _ALL for _ in range(len(self._asked))}}
        self._look_at_clock()
        for watch in self._watches:
            self._acknowledge(watch.rule, seen.get(watch.rule.name, 0))  # first, because nobody has seen what comes now
            self._look(watch, episode)
        for rule in self._without_rule:
            self._acknowledge(rule, seen.get(rule.name, 0))
            self._look_without_rule(rule)

    def _look_at_clock(self) -> None:
        """Corrects the times of standing alarms that were raised before the wall clock was set."""
        by = timedelta(microseconds=self._clock.set_by_ns(self._at_ns) // 1000)
        self._clock.note()
        if not by:
            return
        for rule in [*(watch.rule for watch in self._watches), *self._without_rule]:
            alarm = self._standing.get(rule.name)
            if alarm and alarm.last.here:
                alarm.raises = [one.moved(by) for one in alarm.raises]
                alarm.last = alarm.last.moved(by)
                self._say(rule, CORRECTED)

    def _acknowledge(self, rule: AlarmRule, seen: int) -> None:
        alarm = self._standing.get(rule.name)
        if alarm is None or seen <= alarm.seen:
            return
        alarm.seen = min(seen, alarm.last.number)
        alarm.raises = [one for one in alarm.raises if one.number > seen]
        self._say(rule, ACKNOWLEDGED)
        if alarm.over and alarm.acknowledged:
            del self._standing[rule.name]

    def _look(self, watch: Watch, episode: Episode) -> None:
        rule = watch.rule
        met = watch.met(episode)
        alarm = self._standing.get(rule.name)
        if alarm and alarm.inherited:
            alarm.inherited = not met and watch.may_go_on(episode)
            met = met or alarm.inherited
        if met and (alarm is None or alarm.over):
            self._raise(watch, episode)
            return
        if alarm is None:
            return
        if not met and not alarm.over:
            alarm.over = True
            self._say(rule, OVER)
        if alarm.over and (alarm.acknowledged or not rule.stands_until_acknowledged):
            del self._standing[rule.name]
        elif not alarm.acknowledged and not self._is_quiet(rule):
            repeated = rule.repeat_s is not None and alarm.notified_ns is not None
            if alarm.notified_ns is None or (
                repeated and self._at_ns - alarm.notified_ns >= (rule.repeat_s or 0) * 1e9
            ):
                self._say(rule, REPEATED)

    def _raise(self, watch: Watch, episode: Episode) -> None:
        name, since_ns = watch.rule.name, watch.since_ns(episode)
        seconds = round((episode.end_ns - since_ns) / 1e9, 3)
        count = self._numbers[name] = self._numbers.get(name, 0) + 1
        last = _Raise(count, _iso(self._local_time(since_ns)), True)
        alarm = self._standing.setdefault(name, _Standing(last, {}, seen=count - 1))
        alarm.last, alarm.over, alarm.notified_ns = last, False, None
        alarm.found = {"activity": episode.activity, "seconds": seconds, **episode.details()}
        alarm.raises.append(last)
        if len(alarm.raises) > _MOST_RAISES:
            del alarm.raises[1]
        self._say(watch.rule, RAISED)

    def _look_without_rule(self, rule: AlarmRule) -> None:
        """Nobody looks whether it goes on, so it is over."""
        alarm = self._standing.get(rule.name)
        if alarm is None:
            return
        if not alarm.over:
            alarm.over = True
            self._say(rule, OVER)
        if alarm.acknowledged:
            del self._standing[rule.name]

    def _say(self, rule: AlarmRule, state: str) -> None:
        alarm, quiet = self._standing[rule.name], self._is_quiet(rule)
        if not quiet and state in (RAISED, REPEATED):
            alarm.notified_ns, alarm.notified = self._at_ns, alarm.last.number
        stands = not alarm.acknowledged and (not alarm.over or rule.stands_until_acknowledged)
        news = News(
            rule,
            state,
            self._at_ns,
            quiet,
            stands,
            on=stands and alarm.notified > alarm.seen,
            lasts=not alarm.over,
            number=alarm.last.number,
            times=alarm.last.number - alarm.seen,
            first=alarm.raises[0].since if alarm.raises else None,
            evidence=alarm.evidence,
        )
        call_all(self._tell, "__call__", news)
        if not quiet:
            level = logging.WARNING if state in (RAISED, REPEATED) else logging.INFO
            _log.log(level, "alarm %s: %s (%s)", rule.name, state, _words(news))

    def _is_quiet(self, rule: AlarmRule) -> bool:
        return rule.quiet is not None and rule.is_quiet(self._local_time(self._at_ns).time())


def _left(last: Mapping[str, Any]) -> _Standing:
    """An alarm that an earlier run left standing."""
    seen = number(last) - times(last)
    raises = [_Raise(seen + 1, first(last), False)]
    if times(last) > 1:
        raises.append(_Raise(number(last), last["evidence"]["since"], False))
    notified, goes_on = number(last) if is_on(last) else seen, lasted(last)
    return _Standing(raises[-1], last["evidence"], seen, raises, notified, over=not goes_on, inherited=goes_on)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _words(news: News) -> str:
    evidence = news.evidence
    parts: List[str] = [f"{evidence['activity']} for {evidence['seconds']:.1f} s"]
    if "confidence" in evidence:
        parts += [f"{evidence['confidence']:.0%} sure", f"by {', '.join(evidence['sensors']) or 'no sensor'}"]
    if news.times > 1:
        parts.append(f"{news.times} times since {news.first}")
    return ", ".join(parts)
