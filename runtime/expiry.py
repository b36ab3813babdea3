"""How long a recording may be kept, and deleting it with all that was made of it.

A recording says itself when it expires, in its metadata ``expires``. One that does not say is kept for ever.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional

from runtime.session import is_of_one_recording, labels_beside
from sensors.recording import Recording, RecordingError

_KEY = "expires"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_GROWING_S = 10.0  # a recording without an end that was written to so lately is still being made
_CLOCK_IS_SET = datetime(2025, 1, 1, tzinfo=timezone.utc)  # a Jetson without a battery wakes up long before


class ClockNotSet(Exception):
    """The wall clock is so far off that an expiry would mean nothing."""


class Fate(NamedTuple):
    """What becomes of one recording.

    Attributes:
        recording: its path.
        expired: whether its time has come, and it goes.
        why: in words.
        labels: the table that goes with it, where there is one.
    """

    recording: Path
    expired: bool
    why: str
    labels: Optional[Path] = None


def parse_lifetime(text: str) -> timedelta:
    """Reads ``90m``, ``12h``, ``7d`` or ``2w``.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if not match:
        raise ValueError(f"{text!r}: expected a time such as 90m, 12h, 7d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def expires(lifetime: Optional[timedelta]) -> Dict[str, str]:
    """What a recording that begins now says of its expiry, in its metadata.

    Raises:
        ClockNotSet: the wall clock is years behind.
    """
    if lifetime is None:
        return {}
    now = datetime.now(timezone.utc)
    if now < _CLOCK_IS_SET:
        raise ClockNotSet(f"--expires: this machine believes it is {now:%Y-%m-%d}; set its clock, then record")
    return {_KEY: (now + lifetime).isoformat(timespec="seconds")}


def fates(paths: Iterable[Path], now: datetime) -> Iterator[Fate]:
    """Says of each recording what is to become of it; deletes nothing.

    Args:
        paths: recordings, and folders that are searched for them, with all that lies below.
        now: the present time, with its zone.
    """
    for path in paths:
        for recording in sorted(path.rglob("*.mcap")) if path.is_dir() else [path]:
            yield _fate(recording, now)


def delete(recordings: Iterable[Path], labels: Iterable[Path]) -> None:
    """Deletes recordings and tables of labels, all that it can; those that are gone already are no error.

    Raises:
        OSError: the first that could not be deleted, after trying all.
    """
    errors: List[OSError] = []
    for path in [*labels, *recordings]:  # a kill in between leaves what says itself when it expires
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _fate(path: Path, now: datetime) -> Fate:
    if path.is_symlink():
        return Fate(path, False, "is a link; give what it points to")
    try:
        recording = Recording(path)
        modified_s = path.stat().st_mtime
    except RecordingError as error:
        return Fate(path, False, str(error).replace(f"{path} ", "", 1))
    except OSError as error:
        return Fate(path, False, f"cannot be read: {error.strerror}")
    said = recording.metadata.get(_KEY)
    if said is None:
        return Fate(path, False, "has no expiry")
    try:
        expiry = datetime.fromisoformat(said)
        left = expiry - now
    except (ValueError, TypeError):  # no time, or one without its zone
        return Fate(path, False, f"says that it expires {said!r}, which is no time")
    when = expiry.astimezone().isoformat(" ", "minutes")
    if left > timedelta(0):
        return Fate(path, False, f"expires {when}")
    if recording.cut and time.time() - modified_s < _GROWING_S:
        return Fate(path, False, f"expired {when}, and is still being written")
    labels = labels_beside(path)
    if not labels.exists():
        return Fate(path, True, f"expired {when}")
    if labels.is_symlink() or not is_of_one_recording(labels):
        return Fate(path, True, f"expired {when}; {labels.name} stays: it is not this one's labels alone")
    return Fate(path, True, f"expired {when}", labels)
