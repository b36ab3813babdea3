"""What was so before a recording began. Each recording begins with it, so that it can be played by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional

from cosmo_runtime.sensors.events import Correction, Event, StateChange, Truth


class Standing:
    """Remembers the state and the correction of each sensor, and the true activity."""

    def __init__(self) -> None:
        self._states: Dict[str, StateChange] = {}
        self._corrections: Dict[str, Correction] = {}
        self._truth: Optional[Truth] = None

    def note(self, event: Event) -> None:
        """Takes the next event. Samples and ticks change nothing."""
        if isinstance(event, StateChange):
            self._states[event.sensor] = event
        elif isinstance(event, Correction):
            self._corrections[event.sensor] = event
        elif isinstance(event, Truth):
            self._truth = event

    def events(self, at_ns: int) -> List[Event]:
        """What stands, as events of the time at which a recording begins. An activity that begins later keeps its time.

        With an earlier time in it, the recording would seem to begin then.
        """
        told: List[Event] = [replace(state, at_ns=at_ns) for state in self._states.values()]
        told += [replace(correction, at_ns=at_ns) for correction in self._corrections.values()]
        if self._truth:
            told.append(replace(self._truth, stamp_ns=max(at_ns, self._truth.stamp_ns)))
        return told
