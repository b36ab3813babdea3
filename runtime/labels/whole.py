"""Checks labels in seconds before they are written, so that nothing is written that could not be read."""

from __future__ import annotations

from typing import Iterable, List

from cosmo_runtime.runtime.labels.exchange import Label
from cosmo_runtime.runtime.labels.span import SLIP_NS


def checked(labels: Iterable[Label], duration_s: float) -> List[Label]:
    """Labels of a recording, to the millisecond, oldest first. A small overlap, or overrun at its end, is cut off.

    Args:
        labels: the labels, with valid names.
        duration_s: the length of the recording.

    Raises:
        ValueError: one ends before it starts, lies outside the recording, or overlaps another.
    """
    last_s = duration_s + SLIP_NS / 1e9
    inside: List[Label] = []
    for start_s, end_s, activity in labels:
        if not (0 <= start_s <= last_s and 0 <= end_s <= last_s):
            raise ValueError(f"{activity}, {start_s:g} to {end_s:g} s: the recording has 0 to {duration_s:.3f} s.")
        label = Label(round(start_s, 3), round(min(end_s, duration_s), 3), activity)
        if label.end_s <= label.start_s:
            raise ValueError(f"{activity}, {start_s:g} to {end_s:g} s: a label ends after its start.")
        inside.append(label)
    inside.sort()
    apart: List[Label] = []
    for label in inside:
        if apart and label.start_s < apart[-1].end_s:
            before = apart[-1]
            if label.start_s < before.end_s - SLIP_NS / 1e9 or label.end_s <= before.end_s:
                raise ValueError(f"{before.activity} and {label.activity} overlap at {label.start_s:g} s.")
            label = label._replace(start_s=before.end_s)
        apart.append(label)
    return apart
