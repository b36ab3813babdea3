"""When recordings expire, and how they are deleted.

A recording's metadata ``expires`` says when it expires. Without it, a recording never expires. Each segment of a folder
has its own, so that a run of months keeps no more than it was told to.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from pydantic import BeforeValidator
from typing_extensions import Annotated

from cosmo_runtime.runtime.labels.table import is_of_one_recording, tables_of
from cosmo_runtime.sensors.recording import Recording, RecordingError, recordings_below
from cosmo_runtime.sensors.recording.segments import delete_recording, segments_of, size_and_change

_KEY = "expires"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_525)  # so that any such time before or after now has a date
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs
_LONGEST_LINE = 1000  # a recording whose metadata are very large is read without them
_GROWING_S = 10.0  # an unfinished recording that changed this recently is still being written
CLOCK_IS_SET = datetime(2025, 1, 1, tzinfo=timezone.utc)  # a Jetson without a battery starts long before this


class ClockNotSet(Exception):
    """The wall clock is so wrong that an expiry would be meaningless."""


class Fate(NamedTuple):
    """What happens to one recording, or to a folder that is not searched for them.

    Attributes:
        recording: its path, or that of a segment that has expired before the others.
        expired: whether it has expired and will be deleted.
        why: the reason, for people.
        labels: the tables of labels to delete with it.
        who: whom it says that it shows; empty if it does not say.
        unread: whether it cannot be read, so that nobody knows whom it shows.
    """

    recording: Path
    expired: bool
    why: str
    labels: Tuple[Path, ...] = ()
    who: str = ""
    unread: bool = False


def parse_lifetime(text: str) -> timedelta:
    """Reads ``90m``, ``12h``, ``7d`` or ``2w``, up to 100 years.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if not match:
        raise ValueError(f"{text!r}: expected a time such as 90m, 12h, 7d or 2w")
    lifetime = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if lifetime > _LONGEST:
        raise ValueError(f"{text!r}: more than 100 years")
    return lifetime


def _lifetime(given: Any) -> Any:
    if isinstance(given, timedelta):
        return given
    return parse_lifetime(given if isinstance(given, str) else f"{given}")  # a number has no unit, and is refused


Lifetime = Annotated[timedelta, BeforeValidator(_lifetime)]
"""A time in a configuration, such as ``12h``, ``7d`` or ``2w``."""


def expires(lifetime: Optional[timedelta], latest: Optional[str] = None) -> Dict[str, str]:
    """Returns the metadata on the expiry of a recording that begins now.

    Args:
        lifetime: after which it expires; None for never.
        latest: the expiry of the recording that it is copied from, which it must not outlive.

    Raises:
        ClockNotSet: the wall clock is years behind.
    """
    if lifetime is None:
        return {}
    now = datetime.now(timezone.utc)
    if now < CLOCK_IS_SET:
        raise ClockNotSet(f"--expires: this machine believes it is {now:%Y-%m-%d}; set its clock, then record")
    expiry = now + lifetime
    with suppress(ValueError, TypeError):  # that one states no time, or one without a zone
        expiry = min(expiry, datetime.fromisoformat(latest or ""))
    return {_KEY: expiry.isoformat(timespec="seconds")}


def fates(paths: Iterable[Path], now: datetime, participant: Optional[str] = None) -> Iterator[Fate]:
    """Decides what happens to each recording, but deletes nothing.

    Args:
        paths: recordings, and folders to search for them, with their subfolders.
        now: the present time, with its zone.
        participant: delete exactly this person's recordings, whether or not they have expired.
    """
    paths = list(paths)
    closed: Dict[Path, Tuple[Path, str]] = {}
    found: Set[Path] = set()  # one path may lie below another

    def note_closed(folder: Path, why: str) -> None:
        closed.setdefault(folder.absolute(), (folder, why))

    for path in paths:
        for recording in recordings_below(path, note_closed):
            if recording.absolute() in found:
                continue
            found.add(recording.absolute())
            whole = _fate(recording, now, participant)
            yield whole
            if not whole.expired and participant is None:
                with suppress(OSError):  # a folder that cannot be read, as its fate says
                    earlier = (_fate(segment, now, None) for segment in segments_of(recording)[:-1])
                    yield from (fate for fate in earlier if fate.expired)
    searched = {path.resolve() for path in paths}
    for folder, why in closed.values():
        target = folder.resolve()
        inside = os.path.islink(folder) and not searched.isdisjoint([target, *target.parents])  # noqa: PTH114  never raises
        yield Fate(folder, False, why, unread=not inside)  # what lies inside is searched anyway


def one_line(text: str) -> str:
    """Reads a name or a note that a recording carries: one line of text, up to 1000 characters.

    Raises:
        ValueError: anything else.
    """
    if not text.strip() or any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValueError(f"{text[:80]!r}: expected one line of text")
    if len(text) > _LONGEST_LINE:
        raise ValueError(f"{text[:80]!r} …: more than {_LONGEST_LINE} characters")
    return text.strip()


def same_person(who: str, participant: str) -> bool:
    """Whether two names look the same to people: however an accent is encoded. No name is nobody's."""
    return bool(who) and unicodedata.normalize("NFC", who) == unicodedata.normalize("NFC", participant)


def delete(recordings: Iterable[Path], labels: Iterable[Path]) -> None:
    """Deletes as many of the recordings and label tables as possible. A file that is already gone is not an error.

    Raises:
        OSError: the first one that could not be deleted, after trying all.
    """
    errors: List[OSError] = []
    for path in [*labels, *recordings]:  # a kill in between leaves the recording, which knows its own expiry
        try:
            delete_recording(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _fate(path: Path, now: datetime, participant: Optional[str]) -> Fate:
    try:
        if path.is_symlink():
            return Fate(path, False, "is a link; name its target instead")
        recording = Recording(path)
        newest = segments_of(path)[-1:]
        metadata = Recording(newest[0]).metadata if newest else recording.metadata
        modified_s = size_and_change(path)[1] / 1e9
    except RecordingError as error:
        return Fate(path, False, str(error).replace(f"{path} ", "", 1), unread=True)
    except OSError as error:
        return Fate(path, False, f"cannot be read: {error.strerror}", unread=True)
    delete, why = _expired(metadata, now) if participant is None else _is_of(metadata, participant)
    who = metadata.get("participant", "")
    if not delete:
        return Fate(path, False, why, who=who)
    if recording.cut and time.time() - modified_s < _GROWING_S:
        return Fate(path, False, f"{why}, and is still being written", who=who)
    tables = tables_of(path)
    own = tuple(table for table in tables if is_of_one_recording(table))
    for table in tables:
        if table not in own:
            why += f"; {table.name} stays: it may belong to other recordings, too"
    return Fate(path, True, why, own, who)


def _is_of(metadata: Mapping[str, str], participant: str) -> Tuple[bool, str]:
    who = metadata.get("participant")
    return same_person(who or "", participant), f"belongs to {who}" if who else "names no participant"


def _expired(metadata: Mapping[str, str], now: datetime) -> Tuple[bool, str]:
    """Whether a recording, or the consent to store it, has expired; and why."""
    stated = metadata.get(_KEY)
    consent = metadata.get("consent_until")
    try:
        if consent and now.astimezone().date() > date.fromisoformat(consent):
            return True, f"consent ended with {consent}"
    except ValueError:
        return False, f"says that consent ends {consent!r}, which is not a day"
    if stated is None:
        return False, f"consent until {consent}" if consent else "has no expiry"
    try:
        expiry = datetime.fromisoformat(stated)
        left = expiry - now
    except (ValueError, TypeError):  # not a time, or one without a zone
        return False, f"says that it expires {stated!r}, which is not a time"
    when = expiry.astimezone().isoformat(" ", "minutes")
    return (False, f"expires {when}") if left > timedelta(0) else (True, f"expired {when}")
