"""What was so before a recording began. Each recording begins with it, so that it can be played by itself."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Deque, Dict, List, Optional

from cosmo_runtime.sensors.events import Correction, Event, StateChange, Truth

_MOST_TRUTHS = 10  # an activity is told up to two seconds before it begins


class Standing:
    """Remembers the state and the correction of each sensor, and the true activity."""

    def __init__(self) -> None:
        self._states: Dict[str, StateChange] = {}
        self._corrections: Dict[str, Correction] = {}
        self._truths: Deque[Truth] = deque(maxlen=_MOST_TRUTHS)

    def note(self, event: Event) -> None:
        """Takes the next event. Samples and ticks change nothing."""
        if isinstance(event, StateChange):
            self._states[event.sensor] = event
        elif isinstance(event, Correction):
            self._corrections[event.sensor] = event
        elif isinstance(event, Truth):
            self._truths.append(event)

    def has(self, event: Event) -> bool:
        """Whether an event says only what stands already, as those at the beginning of each segment do."""
        if isinstance(event, StateChange):
            state = self._states.get(event.sensor)
            return state is not None and state.state == event.state
        if isinstance(event, Correction):
            correction = self._corrections.get(event.sensor)
            return correction is not None and correction.taken_off_ns == event.taken_off_ns
        if isinstance(event, Truth):
            truth = self._truth_at(event.stamp_ns)
            return truth is not None and truth.activity == event.activity
        return False

    def events(self, at_ns: int) -> List[Event]:
        """What stands, as events of the time at which a recording begins. Activities that begin later keep their time.

        With an earlier time in it, the recording would seem to begin then.
        """
        told: List[Event] = [replace(state, at_ns=at_ns) for state in self._states.values()]
        told += [replace(correction, at_ns=at_ns) for correction in self._corrections.values()]
        truth = self._truth_at(at_ns)
        told += [replace(truth, stamp_ns=at_ns)] if truth else []
        return told + [later for later in self._truths if later.stamp_ns > at_ns]

    def _truth_at(self, at_ns: int) -> Optional[Truth]:
        return next((truth for truth in reversed(self._truths) if truth.stamp_ns <= at_ns), None)
