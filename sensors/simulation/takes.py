"""A simulated person's acts as a data set plays them: one take after another, and rests in which time stands still.

``simulation.utd`` plays real trials in the same way: in the first half of a rest the last take's end is seen, then the
beginning of the next one. The radar sees no motion, and the IMU passes smoothly from one to the other.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Tuple

import numpy as np

from cosmo_runtime.sensors.simulation.motion import ActivityStart, noise_at
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.returns import false_alarms

REST = "rest"
"""The name of what is between two takes."""

_REST_S = 1.0
_MOST_BEFORE_S, _MOST_AFTER_S = 0.5, 0.8  # of the pauses around an act, that belong to its take
_MOST_S = 5.5


class Take(NamedTuple):
    """From ``start_s`` to ``end_s``, the person is seen from their own ``from_s`` on."""

    start_s: float
    end_s: float
    from_s: float
    activity: str


class Takes:
    """Takes of a person who acts with pauses between (``Setting.brisk``).

    Args:
        person: who acts.
        duration_s: how long to play; the last take may be cut.
        seed: seed of how much of the pauses belongs to a take, and of the radar's false alarms.
    """

    def __init__(self, person: SimulatedPerson, duration_s: float, seed: int) -> None:
        self._person = person
        self._seed = seed
        rng = np.random.default_rng((seed, 91))
        self._jitter_mps = rng.uniform(0.0, 0.08)
        self.takes: List[Take] = []
        now_s = _REST_S
        acts = person.activities(4 * duration_s + 60)
        for before, this, after, later in zip(acts, acts[1:], acts[2:], acts[3:]):
            if this.activity == "stand still":
                continue
            starts_s, ends_s = this.start_s, after.start_s
            if before.activity == "stand still":
                starts_s -= rng.uniform(0, min(_MOST_BEFORE_S, 0.4 * (starts_s - before.start_s)))
            if after.activity == "stand still":
                ends_s += rng.uniform(0, min(_MOST_AFTER_S, later.start_s - ends_s))
            lasts_s = min(ends_s - starts_s, _MOST_S)
            self.takes.append(Take(now_s, now_s + lasts_s, starts_s, this.activity))
            now_s += lasts_s + _REST_S
            if now_s > duration_s:
                break
        self._switch_s = np.array([take.start_s - _REST_S / 2 for take in self.takes[1:]])

    def activities(self, until_s: float) -> List[ActivityStart]:
        """Returns every act and rest that starts before ``until_s``, oldest first."""
        starts = [ActivityStart(0.0, REST)]
        for take in self.takes:
            starts += [ActivityStart(take.start_s, take.activity), ActivityStart(take.end_s, REST)]
        return [start for start in starts if start.start_s < until_s]

    def imu(self, times_s: np.ndarray) -> np.ndarray:
        """Returns (n, 9) as ``motion.Motion`` describes, from the wrist."""
        own_s, _ = self._own_times(times_s)
        values = self._person.imu(own_s)
        for before, after in zip(self.takes, self.takes[1:]):
            resting = (times_s >= before.end_s) & (times_s < after.start_s)
            if resting.any():
                share = ((times_s[resting] - before.end_s) / _REST_S)[:, None]
                share = share * share * (3 - 2 * share)
                last, first = self._person.imu(np.array([self._end_of(before), after.from_s]))
                values[resting] = (1 - share) * last + share * first
        return values

    def depths(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """Yields (height, width) uint16 for each time, in steps of the camera's depth scale."""
        return self._person.depths(self._own_times(times_s)[0])

    def radars(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """Yields (n, 5) float32 for each time: x, y, z (m), radial speed (m/s), SNR (dB)."""
        own_s, moving = self._own_times(times_s)
        seen = self._person.radars(own_s, self._jitter_mps)
        for time_s, points, moves in zip(times_s, seen, moving):
            yield points if moves else false_alarms(noise_at(self._seed, 92, time_s))

    def _own_times(self, times_s: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """The person's own times (n,), and whether a take is played then, not a rest."""
        index = np.searchsorted(self._switch_s, times_s, side="right")
        starts_s, ends_s, from_s = (
            np.array([getattr(take, name) for take in self.takes])[index] for name in ("start_s", "end_s", "from_s")
        )
        own_s = from_s + np.clip(times_s, starts_s, ends_s) - starts_s
        return own_s, (times_s >= starts_s) & (times_s < ends_s)

    @staticmethod
    def _end_of(take: Take) -> float:
        return take.from_s + take.end_s - take.start_s
