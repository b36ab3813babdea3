"""Measures the energy of work, above what the machine uses when idle."""

from __future__ import annotations

import contextlib
import threading
import time
from statistics import mean, stdev
from types import TracebackType
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from cosmo_runtime.tools.measure.meters import EnergyError, Source

SAMPLING_S = 0.05
"""The time between two readings of a meter."""

BLOCK_S = 1.0
"""Idle power is the mean over blocks of this length. The meter cannot resolve less than their variation."""

SETTLING_S = 1.0
"""Clocks and voltages fall after work, so idle power is measured only after this time."""

IDLE_S = 5.0
"""How long idle power is measured before work, and again after it."""

ROUNDING = 1e-6
"""The largest rounding error of sums of floating-point numbers, as a share of idle power."""


class Reading(NamedTuple):
    """The energy that a meter has added up, and the time of its last reading, just before it was requested."""

    time_s: float
    energy_mj: float


class Meter:
    """Adds up the energy that sources have used since it was opened; a context manager.

    A thread reads them all the time, to integrate power and to notice each wrap of a counter.
    """

    def __init__(self, sources: Sequence[Source], interval_s: float = SAMPLING_S) -> None:
        self._sources = sources
        self._interval_s = interval_s
        self._energy_mj = [0.0] * len(sources)
        self._readings: List[Tuple[float, float]] = []  # time and value, for each source
        self._powers_mw: List[Set[float]] = [set() for _ in sources]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Meter:
        self._readings = [(time.monotonic(), source.read()) for source in self._sources]
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> Reading:
        """The energy of all sources since the meter was opened.

        Raises:
            EnergyError: a source does not answer.
        """
        with self._lock:
            self._advance()
            return Reading(self._readings[-1][0], sum(self._energy_mj))

    def powers_mw(self, seconds: float) -> List[float]:
        """Waits, and returns the mean power of each block of ``BLOCK_S`` in that time; at least two blocks.

        Raises:
            EnergyError: a source does not answer.
        """
        blocks = max(2, round(seconds / BLOCK_S))
        powers = []
        before = self.read()
        for _ in range(blocks):
            time.sleep(seconds / blocks)
            now = self.read()
            powers.append((now.energy_mj - before.energy_mj) / (now.time_s - before.time_s))
            before = now
        return powers

    def step_mw(self) -> float:
        """The smallest step between different power readings so far, summed over the sources. Counters have none."""
        with self._lock:
            ordered = [sorted(powers) for powers in self._powers_mw]
        return sum(min((b - a for a, b in zip(powers, powers[1:])), default=0.0) for powers in ordered)

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            with contextlib.suppress(EnergyError), self._lock:  # the next reading makes up for a missed one
                self._advance()

    def _advance(self) -> None:
        for index, source in enumerate(self._sources):
            before_s, before = self._readings[index]
            now, now_s = source.read(), time.monotonic()
            if not source.counts:
                self._energy_mj[index] += (before + now) / 2 * (now_s - before_s)
                self._powers_mw[index].add(now)
            elif source.wraps_at_mj:
                self._energy_mj[index] += (now - before) % source.wraps_at_mj
            else:
                self._energy_mj[index] += now - before
            self._readings[index] = (now_s, now)


class NetEnergy(NamedTuple):
    """The energy of work above idle energy.

    Attributes:
        energy_mj: the energy of the work, with idle power subtracted.
        uncertainty_mj: the variation of idle energy over the duration of the work: two standard deviations of idle
            power over blocks before and after the work, or one step of the meter if that is more.
        power_mw: mean power, idle power not subtracted.
        idle_mw: mean idle power.
        idle_spread_mw: standard deviation of idle power over the blocks.
        idle_blocks: the number of blocks.
        seconds: the duration of the work.
    """

    energy_mj: float
    uncertainty_mj: float
    power_mw: float
    idle_mw: float
    idle_spread_mw: float
    idle_blocks: int
    seconds: float

    @property
    def is_resolved(self) -> bool:
        """Whether the work can be distinguished from idle power at all."""
        return self.energy_mj > self.uncertainty_mj

    def as_dict(self, pieces: float = 1) -> Dict[str, Optional[float]]:
        """Returns all figures for machines, with the energy divided by the pieces of work; null if not resolved."""
        return {
            "energy_mj": round(self.energy_mj / pieces, 6) if self.is_resolved else None,
            "uncertainty_mj": round(self.uncertainty_mj / pieces, 6),
            "power_mw": round(self.power_mw, 1),
            "idle_power_mw": round(self.idle_mw, 1),
            "idle_spread_mw": round(self.idle_spread_mw, 1),
            "idle_blocks": self.idle_blocks,
            "seconds": round(self.seconds, 3),
        }


def above_idle(energy_mj: float, seconds: float, idle_mw: Sequence[float], step_mw: float = 0.0) -> NetEnergy:
    """Subtracts idle energy.

    Args:
        energy_mj: the energy of everything during the work.
        seconds: the duration of the work.
        idle_mw: idle power in two or more blocks before and after the work.
        step_mw: the smallest step of the meter.
    """
    spread = stdev(idle_mw)
    return NetEnergy(
        energy_mj=energy_mj - mean(idle_mw) * seconds,
        uncertainty_mj=max(2 * spread, step_mw, ROUNDING * mean(idle_mw)) * seconds,
        power_mw=energy_mj / seconds,
        idle_mw=mean(idle_mw),
        idle_spread_mw=spread,
        idle_blocks=len(idle_mw),
        seconds=seconds,
    )


class Measurement:
    """Measures work against idle power before and after it; a context manager around all three.

    What is opened before ``work`` and closed after it, inside the context, counts as neither::

        with Measurement(sources) as measurement:
            ...
            with measurement.work():
                ...
        measurement.net

    Attributes:
        net: the work's energy; None without sources, in which case measuring also takes no time.

    Args:
        sources: the meters.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.net: Optional[NetEnergy] = None
        self._meter = Meter(sources) if sources else None
        self._idle_mw: List[float] = []
        self._seconds = self._energy_mj = 0.0

    def __enter__(self) -> Measurement:
        if self._meter:
            self._meter.__enter__()
            self._idle()
        return self

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """A context manager around the work.

        Raises:
            EnergyError: a source does not answer.
        """
        if not self._meter:
            yield
            return
        before = self._meter.read()
        yield
        after = self._meter.read()
        self._seconds, self._energy_mj = after.time_s - before.time_s, after.energy_mj - before.energy_mj

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if not self._meter:
            return
        try:
            if kind is None:
                self._idle()
                self.net = above_idle(self._energy_mj, self._seconds, self._idle_mw, self._meter.step_mw())
        finally:
            self._meter.__exit__(kind, error, trace)

    def _idle(self) -> None:
        assert self._meter
        time.sleep(SETTLING_S)
        self._idle_mw += self._meter.powers_mw(IDLE_S)
