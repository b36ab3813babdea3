"""Watches during a run whether the sensors are in step, and reports when one is not."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from cosmo_runtime.runtime.sync.estimate import estimate
from cosmo_runtime.runtime.sync.motion import Curves
from cosmo_runtime.sensors.events import Correction, Sample, StateChange
from cosmo_runtime.sensors.sensor import SensorInfo

OUT_OF_STEP_S = 0.1
"""A sensor whose times differ from the others' by more is out of step."""

_AGAIN_NS = 10 * 10**9
_LEAST_NS, _MOST_NS = 60 * 10**9, 120 * 10**9  # of motion to compare
_ENOUGH_NS = 50 * 10**9  # of one sensor's; less after it was lost
_SAME_S = 0.05  # successive estimates as close as this are reported; one as close to the last report is no news


class StepWatch:
    """Compares, every ten seconds, the motion that the sensors saw in the last two minutes.

    Its only clock is that of the events, so a replay reports the same as the run did. While the motion is not
    informative, the last report stays valid. A delay that jumps is reported too small at first, because the two minutes
    begin before the jump. It is reported again once it is known better.

    Args:
        infos: the sensors' infos, by name.
    """

    def __init__(self, infos: Mapping[str, SensorInfo]) -> None:
        self._curves = Curves(infos)
        self._kinds = {name: info.kind for name, info in infos.items()}
        self._began_ns = self._look_at_ns = -1
        self._before: Dict[str, float] = {}
        self._told: Dict[str, float] = {}
        self._taken_off_ns: Dict[str, int] = {}

    def take(self, sample: Sample) -> None:
        """Takes a sample of any sensor, raw or as windows keep it."""
        self._curves.add(sample)
        if self._began_ns < 0:
            self._began_ns = sample.arrival_ns
            self._look_at_ns = self._began_ns + _LEAST_NS

    def change(self, change: StateChange) -> None:
        """Forgets what a lost sensor saw, because it may come back with another delay."""
        if change.state == "lost":
            self._curves.drop(change.sensor)

    def correct(self, correction: Correction) -> None:
        """Moves what a sensor saw as its stamps are moved. Whether it is in step now, the next two looks must tell."""
        before_ns = self._taken_off_ns.get(correction.sensor, 0)
        self._taken_off_ns[correction.sensor] = correction.taken_off_ns
        self._curves.move(correction.sensor, correction.taken_off_ns - before_ns)
        self._before, self._told = {}, {}

    def look(self, now_ns: int) -> Optional[Dict[str, float]]:
        """Checks for news. Best called just after a window was answered, when the next one is not expected yet.

        Returns:
            For each sensor that is out of step, how many milliseconds its times are behind the others'; empty if all
            are in step again. None if there is no news.
        """
        if self._began_ns < 0 or now_ns < self._look_at_ns:
            return None
        self._look_at_ns = now_ns + _AGAIN_NS
        self._curves.forget(now_ns - _MOST_NS)
        found = self._found()
        if found is None:
            return None
        before, self._before = self._before, found
        late = {name for name, delay_s in found.items() if abs(delay_s) > OUT_OF_STEP_S}
        steady = all(
            abs(found[name] - before.get(name, 9.0)) <= _SAME_S for name in late | set(self._told) & set(found)
        )
        told_s = {name: 1e-3 * behind_ms for name, behind_ms in self._told.items()}
        same = late == set(told_s) and all(abs(found[name] - told_s[name]) <= _SAME_S for name in late)
        if not steady or same:
            return None
        self._told = {name: round(1e3 * found[name]) for name in found if name in late}
        return self._told

    def _found(self) -> Optional[Dict[str, float]]:
        """For each sensor with a known delay, the seconds that it is behind the median one."""
        seen = {
            name: moments
            for name, moments in self._curves.moments.items()
            if moments and moments[-1].stamp_ns - moments[0].stamp_ns >= _ENOUGH_NS
        }
        steps = estimate([seen], self._kinds)
        told = {name: step.delay_s for name, step in steps.items() if not step.refusal}
        if len(told) < 2:
            return None
        middle_s = sorted(told.values())[(len(told) - 1) // 2]
        return {name: delay_s - middle_s for name, delay_s in told.items()}


def corrected_in_words(correction: Correction) -> str:
    """A correction, in words for people."""
    taken_off_ms = correction.taken_off_ns / 1e6
    return f"{correction.sensor} is put in step: {taken_off_ms:.0f} ms are taken off its times from now on"


def in_words(out_of_step_ms: Mapping[str, float]) -> str:
    """The sensors that are out of step, in words for people."""
    if not out_of_step_ms:
        return "all sensors are in step again"
    return ", ".join(
        f"{name} is {abs(behind_ms):.0f} ms {'behind' if behind_ms > 0 else 'ahead of'} the others"
        for name, behind_ms in out_of_step_ms.items()
    )
