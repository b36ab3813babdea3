"""Finds the energy meters of this machine: the rails of a Jetson, NVIDIA's counters (NVML), RAPL.

A meter shows either power (mW) or the energy used so far (mJ). Both are a ``Source``. If a machine has no meter, no
energy is reported, which is not the same as an energy of zero.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterable, List, Mapping, NamedTuple, Tuple

_TOTAL_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
_INSIDE_OTHERS = ("VDDQ_VDD2_1V8AO",)  # fed by the AGX Orin's VIN_SYS_5V0, which is measured too


class EnergyError(Exception):
    """A meter was found but cannot be read. The message names it."""


class Source(NamedTuple):
    """One meter.

    Attributes:
        name: the maker's name for it.
        covers: the components whose power it measures.
        read: returns the current reading; raises ``EnergyError``.
        counts: whether the reading is energy used so far, in mJ; otherwise it is power, in mW.
        wraps_at_mj: the value at which a counter starts again at 0; 0 if it never does.
    """

    name: str
    covers: str
    read: Callable[[], float]
    counts: bool
    wraps_at_mj: float = 0.0


class Found(NamedTuple):
    """Meters that do not overlap, and notes for people about those that cannot be used."""

    sources: List[Source]
    notes: List[str]


def find_sources(sys: Path = Path("/sys")) -> Found:
    """Looks for every kind of meter. A Jetson's rails cover its whole module, so other meters are left out there.

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
    return _answering(rails)  # one label belongs to a sum of shunt voltages, which has no current


def _rail(name: str, read: Callable[[], float]) -> Source:
    return Source(name, f"the rail {name}", read, counts=False)


def _rapl(sys: Path) -> Tuple[List[Source], List[str]]:
    """Processor packages, and memory if it has its own counter. The cores are part of their package."""
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
    """NVIDIA GPUs: the energy counter, or power if there is none. On a Jetson, neither can be read."""
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
