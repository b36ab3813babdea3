"""The line of a label table that says which recording the table belongs to, by the time when that recording began.

    # recording began 2026-11-23T19:19:30.250Z

A recording keeps its begin when it is renamed or moved, and no two have the same. Its wall clock need not be right. The
line is a comment, because a person, a spreadsheet or another tool may leave it out; then the table's name decides.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Optional

from cosmo_runtime.runtime.labels.times import EPOCH, readings
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.segments import deleted_before

_LINE = re.compile(r"#\s*recording began\s+(.+?)\s*", re.I)
_ROUNDED_NS = 2_000_000


def began_line(recording: Recording) -> str:
    """The line of a recording's table; empty if a broken clock showed a time that no calendar has."""
    began = _began(recording)
    return f"# recording began {began}\n" if began else ""


def began_in(comment: str) -> Optional[str]:
    """The time in a comment that is such a line; None for any other comment."""
    match = _LINE.fullmatch(comment)
    return match[1] if match else None


def check_began(began: str, recording: Recording) -> None:
    """Compares the time in such a line with a recording.

    Raises:
        ValueError: the line is of another recording. The message says how to mend that.
    """
    began_ns = recording.start_ns + recording.wall_offset_ns
    told_ns = began_ns
    with suppress(ValueError):
        times = [time.at_ns for time in readings(began, None) if time.is_wall]
        if any(abs(at_ns - began_ns) < _ROUNDED_NS for at_ns in times):
            return
        told_ns = min(times, default=began_ns)
    deleted = deleted_before(recording.path)
    mending = "take its own table, or delete this line if these are its labels"
    if deleted and told_ns < began_ns:
        first = f"first {deleted} segments are" if deleted > 1 else "first segment is"
        mending = (
            f"its {first} deleted, as --keep does. If these are its labels, take {(began_ns - told_ns) / 1e9:.3f} off "
            "each time in seconds, drop the rows that end before 0, and delete this line"
        )
    raise ValueError(
        f"these labels are of a recording that began {began}, but {recording.path.name} began "
        f"{_began(recording) or 'at an unknown time'}: {mending}"
    )


def _began(recording: Recording) -> str:
    try:
        began = EPOCH + timedelta(microseconds=(recording.start_ns + recording.wall_offset_ns) // 1000)
    except OverflowError:
        return ""
    return began.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
