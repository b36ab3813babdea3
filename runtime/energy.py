"""Energy meters that machines have: the rails of a Jetson, NVIDIA's counters, RAPL; and what work costs above idle.

A meter of power (mW) is sampled and integrated, a counter of energy (mJ) is read; both are a ``Source``. A machine may
have none: then there is no energy, which is not an energy of zero.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from statistics import mean, stdev
from types import TracebackType
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

SAMPLING_S = 0.05
"""Between two readings of a meter."""

BLOCK_S = 1.0
"""Idle power is the mean over blocks this long; how far they differ is what the meter cannot tell from work."""

SETTLING_S = 1.0
"""After work, before idleness is measured: clocks and voltages come down."""

IDLE_S = 5.0
"""For so long idleness is measured before work, and again after it."""

ROUNDING = 1e-6
"""What sums of floating-point numbers may stray by, as a share of idle power."""

_TOTAL_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
_INSIDE_OTHERS = ("VDDQ_VDD2_1V8AO",)  # fed by VIN_SYS_5V0 of the AGX Orin, which is there as well


class EnergyError(Exception):
    """A meter that was found and then cannot be read; the message names it."""


class Source(NamedTuple):
    """One meter.

    Attributes:
        name: as its maker calls it.
        covers: what draws the power that it sees.
        read: its reading now; raises ``EnergyError``.
        counts: the reading is energy used so far, in mJ; else it is power, in mW.
        wraps_at_mj: where a counter begins at 0 again; 0 when it never does.
    """

    name: str
    covers: str
    read: Callable[[], float]
    counts: bool
    wraps_at_mj: float = 0.0


class Found(NamedTuple):
    """Meters of which no two see the same power, and what a person should know of those that cannot be used."""

    sources: List[Source]
    notes: List[str]


def find_sources(sys: Path = Path("/sys")) -> Found:
    """Looks for every kind of meter; a Jetson's rails see all of its module, so there the others are left out.

    Args:
        sys: where sysfs is mounted.
    """
    rails = [*_tx2_rails(sys), *_hwmon_rails(sys)]
    total = [rail for rail in rails if rail.name in _TOTAL_RAILS]
    if rails:
        parts = [rail for rail in rails if rail.name not in _INSIDE_OTHERS]
        return Found([rail._replace(covers="the whole module") for rail in total[:1]] or parts, [])
    processors, notes = _rapl(sys)
    gpus, gpu_notes = _nvml()
    return Found([*processors, *gpus], [*notes, *gpu_notes])


class Reading(NamedTuple):
    """Energy that a meter has added up, and the time until which; on a busy machine not quite that of asking."""

    time_s: float
    energy_mj: float


class Meter:
    """Adds up what sources have used since it was opened; a context manager.

    A thread reads them all along, which integrates power and sees each time that a counter wraps.
    """

    def __init__(self, sources: Sequence[Source], interval_s: float = SAMPLING_S) -> None:
        self._sources = sources
        self._interval_s = interval_s
        self._energy_mj = [0.0] * len(sources)
        self._readings: List[Tuple[float, float]] = []  # time and value, by source
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
        """Energy of all sources since the meter was opened, up to now.

        Raises:
            EnergyError: a source does not answer.
        """
        with self._lock:
            self._advance()
            return Reading(self._readings[-1][0], sum(self._energy_mj))

    def powers_mw(self, seconds: float) -> List[float]:
        """Waits, and returns the mean power of each block of ``BLOCK_S`` meanwhile; at least two blocks.

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
        """The smallest step between different readings of power so far, of all sources; counters have none."""
        with self._lock:
            ordered = [sorted(powers) for powers in self._powers_mw]
        return sum(min((b - a for a, b in zip(powers, powers[1:])), default=0.0) for powers in ordered)

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            with contextlib.suppress(EnergyError), self._lock:  # one missed reading is bridged by the next
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
    """Energy of work above that of idleness.

    Attributes:
        energy_mj: of the work, idle power subtracted.
        uncertainty_mj: how far idleness alone would have strayed: two standard deviations of its power over blocks
            before and after the work, or one step of the meter where that is more, for as long as the work took.
        power_mw: mean, idle power not subtracted.
        idle_mw: mean of idleness.
        idle_spread_mw: standard deviation of its blocks.
        idle_blocks: how many there were.
        seconds: of the work.
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
        """Whether the work can be told from idleness at all."""
        return self.energy_mj > self.uncertainty_mj

    def as_dict(self, pieces: int = 1) -> Dict[str, Optional[float]]:
        """Returns all figures for machines, the energy that of one of so many pieces of work; null if not resolved."""
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
    """Subtracts idle power.

    Args:
        energy_mj: used during the work, by everything.
        seconds: that the work took.
        idle_mw: power in blocks of idleness before and after it, two or more.
        step_mw: the meter's smallest.
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
    """Measures work against the idleness before and after it; a context manager around all three.

    What is opened before ``work`` and closed after it, inside the context, is part of neither::

        with Measurement(sources) as measurement:
            ...
            with measurement.work():
                ...
        measurement.net

    Attributes:
        net: the work's energy; None without sources, which also takes no time.

    Args:
        sources: what measures.
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
        """Around the work.

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


def _tx2_rails(sys: Path) -> List[Source]:
    """INA3221 under the kernel of JetPack 4: ``rail_name_N`` beside ``in_powerN_input`` in mW."""
    rails = []
    for name in sorted(sys.glob("bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*")):
        power = name.with_name(f"in_power{name.name[len('rail_name_') :]}_input")
        rails.append(_rail(name.read_text().strip(), lambda power=power: _number(power)))  # type: ignore[misc]
    return _answering(rails)


def _hwmon_rails(sys: Path) -> List[Source]:
    """INA3221 under newer kernels: ``inN_label``, ``inN_input`` in mV and ``currN_input`` in mA."""
    rails = []
    for label in sorted(sys.glob("bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label")):
        number = label.name[len("in") : -len("_label")]
        voltage, current = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        read = lambda v=voltage, c=current: _number(v) * _number(c) / 1000  # noqa: E731
        rails.append(_rail(label.read_text().strip(), read))
    return _answering(rails)  # one label is of a sum of shunt voltages, which has no current


def _rail(name: str, read: Callable[[], float]) -> Source:
    return Source(name, f"the rail {name}", read, counts=False)


def _rapl(sys: Path) -> Tuple[List[Source], List[str]]:
    """Processor packages, and memory where it has a counter of its own; the cores are within their package."""
    sources, locked = [], False
    for zone in sorted(sys.glob("class/powercap/intel-rapl:*")):
        kind, counter = (zone / "name").read_text().strip(), zone / "energy_uj"
        if not kind.startswith(("package", "dram")):
            continue
        try:
            _number(counter)
            wraps_at_mj = _number(zone / "max_energy_range_uj") / 1000
        except EnergyError as error:
            locked = locked or isinstance(error.__cause__, PermissionError)
            continue
        covers = "the memory" if kind == "dram" else "the processor"
        read = lambda counter=counter: _number(counter) / 1000  # noqa: E731
        sources.append(Source(f"RAPL {zone.name[len('intel-rapl:') :]} {kind}", covers, read, True, wraps_at_mj))
    note = (
        "RAPL, the processor's energy counter, is there, but only root may read it: run as root, or let others read "
        "it until the next start: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
    )
    return sources, [note] if locked else []


def _nvml() -> Tuple[List[Source], List[str]]:
    """NVIDIA GPUs: the counter of energy, or the power where there is none. On a Jetson neither answers."""
    try:
        import pynvml
    except ImportError:
        there = Path("/proc/driver/nvidia/version").exists()
        note = "an NVIDIA GPU is there; to read its energy: pip install 'cosmo-runtime[energy]'"
        return [], [note] if there else []
    try:
        pynvml.nvmlInit()
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return [], []
    sources = []
    for index, gpu in enumerate(gpus):
        queries: Mapping[Callable[[object], float], bool] = {
            pynvml.nvmlDeviceGetTotalEnergyConsumption: True,
            pynvml.nvmlDeviceGetPowerUsage: False,
        }
        for query, counts in queries.items():

            def read(query: Callable[[object], float] = query, gpu: object = gpu, index: int = index) -> float:
                try:
                    return float(query(gpu))
                except pynvml.NVMLError as error:
                    raise EnergyError(f"NVML does not answer for GPU {index}: {error}") from error

            answering = _answering([Source(f"NVML {index}", f"GPU {index}", read, counts)])
            if answering:
                sources += answering
                break
    return sources, []


def _answering(sources: Iterable[Source]) -> List[Source]:
    answering = []
    for source in sources:
        with contextlib.suppress(EnergyError):
            source.read()
            answering.append(source)
    return answering


def _number(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError) as error:
        raise EnergyError(f"{file} cannot be read: {error}") from error
