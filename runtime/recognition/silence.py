"""Explains why a run gives no answers: all sensors are lost, or their data fills no window."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Collection, Dict, Mapping

from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import StateChange

_AGAIN_S = 10.0
_HELD_UP_S = 1.0


@dataclass(frozen=True)
class Silence:
    """There are no answers at present.

    Attributes:
        at_ns: the time, on the host's monotonic clock.
        sensors: each sensor's state: ``lost``, ``absent`` (it sends too little for a window) or ``ok``.
        reason: describes what is missing from which sensor.
    """

    at_ns: int
    sensors: Mapping[str, str]
    reason: str


class SilenceWatch:
    """Decides when to report that there are no answers: at once if all sensors are lost, else every ten seconds.

    Args:
        sensors: names of the rig's sensors.
        patience_s: how much longer the first answer may take.

    Attributes:
        lost: the reason for each lost sensor.
    """

    def __init__(self, sensors: Collection[str], patience_s: float = 0.0) -> None:
        self.lost: Dict[str, str] = {}
        self._sensors = set(sensors)
        self._looked_at = time.monotonic()
        self._report_at = self._looked_at + patience_s + _AGAIN_S
        self._excused = False

    @property
    def all_lost(self) -> bool:
        """Whether all sensors are lost."""
        return set(self.lost) == self._sensors

    def change(self, change: StateChange) -> None:
        """Notes a sensor's new state."""
        if change.sensor not in self._sensors:
            return
        if change.state != "lost":
            self.lost.pop(change.sensor, None)
            return
        self.lost[change.sensor] = change.reason
        if self.all_lost:
            self._report_at = self._looked_at = time.monotonic()

    def answered(self) -> None:
        """Notes that a window was answered."""
        self._report_at = time.monotonic() + _AGAIN_S
        self._excused = False

    def should_report(self) -> bool:
        """Whether to report now. If so, the next report follows in ten seconds."""
        now = time.monotonic()
        if now - self._looked_at > _HELD_UP_S and not self._excused:
            self._excused = True  # a process that was stopped could not answer, so wait ten more seconds
            self._report_at = max(self._report_at, now + _AGAIN_S)
        self._looked_at = now
        if now < self._report_at:
            return False
        self._report_at = now + _AGAIN_S
        return True


def explain(
    aligner: Aligner, sensors: Collection[str], lost: Mapping[str, str], at_ns: int, behind: bool = False
) -> Silence:
    """Describes what the newest window lacks.

    Args:
        aligner: cuts the windows.
        sensors: names of the rig's sensors.
        lost: the reason for each lost sensor.
        at_ns: the present time.
        behind: whether windows are dropped because they come too late.
    """
    newest_ns = max(ring.newest_stamp_ns for ring in aligner.rings.values())
    states: Dict[str, str] = {}
    reasons: Dict[str, str] = {}
    for modality in aligner.spec.modalities:
        name = modality.sensor
        if name not in sensors:
            continue
        if name in lost:
            states[name], reasons[name] = "lost", f"lost ({lost[name]})" if lost[name] else "lost"
            continue
        lacks = aligner.lacks(modality, newest_ns)
        states[name] = "absent" if lacks else "ok"
        if lacks:
            reasons[name] = lacks
    words = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    if not words:
        words = "this machine cannot keep up" if behind else f"no window of {aligner.spec.window_s:g} s was full"
    return Silence(at_ns, states, words)
