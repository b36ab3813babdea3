"""``[[alarms]]`` of the configuration: what raises an alarm. And the states of one."""

from __future__ import annotations

import re
import unicodedata
from datetime import time
from typing import List, Literal, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cosmo_runtime.models.activity_names import folded
from cosmo_runtime.names import GAP, NOBODY, UNCERTAIN
from cosmo_runtime.runtime.episodes.rule import Episode

RAISED, REPEATED, OVER, ACKNOWLEDGED = "raised", "repeated", "over", "acknowledged"
CORRECTED = "corrected"  # its times, because the wall clock was set

_WEEK_S = 7 * 86_400.0  # more is a mistake in the unit
_UNCLEAR_S = 15.0  # a run needs some seconds until its first episode has a name


class AlarmRule(BaseModel):
    """The rule of an alarm: an activity lasts, nothing else was done for long, or there was no data for long."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(description="part of topics and file names")
    activity: Optional[str] = Field(None, description="raised while an episode of this activity lasts")
    nothing_but: Optional[List[str]] = Field(
        None, min_length=1, description="raised when only these were done; nobody, uncertain and gap do not count"
    )
    no_data: bool = Field(False, description="raised while there are no windows")
    held_s: float = Field(0.0, ge=0, le=_WEEK_S, description="how long it must last")
    repeat_s: Optional[float] = Field(None, gt=0, description="how often it is repeated until it is acknowledged")
    quiet: Optional[str] = Field(None, description="hours without notification, local time: 22:00-07:00")
    until: Optional[Literal["acknowledged", "over"]] = Field(
        None, description="how long it stands; until acknowledged when absent, until over for no_data"
    )
    clip: bool = Field(False, description="record from before it to after it")

    @field_validator("name")
    @classmethod
    def _is_part_of_names(cls, name: str) -> str:
        name = unicodedata.normalize("NFC", name)
        if len(name) > 32 or not name[:1].isalnum() or not all(_is_of_word(it) or it in " _-" for it in name):
            raise ValueError(
                f"{name!r}: use letters, digits, spaces, - and _, at most 32 in all, and begin with a letter or a digit"
            )
        return name

    @field_validator("quiet")
    @classmethod
    def _is_a_stretch(cls, quiet: Optional[str]) -> Optional[str]:
        if quiet is not None:
            start, end = _hours(quiet)
            if start == end:
                raise ValueError(f"{quiet!r} ends where it begins, so it is never quiet; say two times")
        return quiet

    @model_validator(mode="after")
    def _one_reason(self) -> AlarmRule:
        if sum((self.activity is not None, self.nothing_but is not None, self.no_data)) != 1:
            raise ValueError("say one of activity, nothing_but and no_data")
        return self

    @property
    def stands_until_acknowledged(self) -> bool:
        """Whether it stays on after its cause is over."""
        return (self.until or ("over" if self.no_data else "acknowledged")) == "acknowledged"

    def is_quiet(self, at: time) -> bool:
        """Whether this local time is in the quiet hours."""
        if self.quiet is None:
            return False
        start, end = _hours(self.quiet)
        return start <= at < end if start <= end else at >= start or at < end


class Watch:
    """Follows episodes and says whether a rule is met."""

    def __init__(self, rule: AlarmRule) -> None:
        self.rule = rule
        self._activities = {folded(name) for name in (rule.activity, *(rule.nothing_but or ())) if name is not None}
        self._since_ns: Optional[int] = None
        self._met = False

    def since_ns(self, now: Episode) -> int:
        """Since when what the rule watches for has lasted, in the present episode or before."""
        return now.start_ns if self._since_ns is None else self._since_ns

    def met(self, now: Episode) -> bool:
        """Follows the present episode."""
        rule = self.rule
        if rule.no_data:
            return now.activity == GAP and now.seconds >= rule.held_s
        named = folded(now.activity) in self._activities
        if rule.activity is not None:
            return named and now.seconds >= rule.held_s
        if named:
            self._since_ns = now.start_ns if self._since_ns is None else self._since_ns
            self._met = now.end_ns - self._since_ns >= rule.held_s * 1e9
        elif now.activity not in (
            NOBODY,
            UNCERTAIN,
            GAP,
        ):  # somebody who lies perfectly still is `nobody` after a minute
            self._since_ns, self._met = None, False
        return self._met

    def may_go_on(self, now: Episode) -> bool:
        """Whether what an earlier run saw may go on: it is seen again, if only for a short time, or all is unclear."""
        rule = self.rule
        if rule.no_data:
            return now.activity == GAP
        if folded(now.activity) in self._activities:
            return True
        if rule.activity is None:
            return now.activity in (NOBODY, UNCERTAIN, GAP)
        return now.activity in (UNCERTAIN, GAP) and now.seconds < _UNCLEAR_S


def as_word(name: str, instead: str, also: str = "") -> str:
    """A name in small letters as part of a topic or file name.

    Args:
        name: the name.
        instead: stands for all that is neither a letter nor a digit.
        also: characters that stay, too.
    """
    return re.sub("\0+", instead, "".join(it if _is_of_word(it) or it in also else "\0" for it in name.lower()))


def _is_of_word(character: str) -> bool:
    """Whether this is a letter, a digit, or a mark on a letter, such as most vowels of Hindi."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _hours(text: str) -> Tuple[time, time]:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", text.replace(" ", ""))
    if not match:
        raise ValueError(f"{text!r}: expected hours such as 22:00-07:00")
    return time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
