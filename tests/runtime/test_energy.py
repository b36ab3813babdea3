from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest

from runtime import energy
from runtime.energy import EnergyError, Measurement, Meter, Source, above_idle, find_sources


def _tree(root: Path, files: Dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def _tx2(root: Path) -> Path:
    """As the TX2's kernel lays it out: three rails a chip, the module's total among them."""
    rails = {
        "0-0040/iio:device0": [("VDD_SYS_GPU", 152), ("VDD_SYS_SOC", 457), ("VDD_4V0_WIFI", 19)],
        "0-0041/iio:device1": [("VDD_IN", 2861), ("VDD_SYS_CPU", 305), ("VDD_SYS_DDR", 577)],
    }
    files = {}
    for chip, names in rails.items():
        for number, (name, power_mw) in enumerate(names):
            files[f"bus/i2c/drivers/ina3221x/{chip}/rail_name_{number}"] = name
            files[f"bus/i2c/drivers/ina3221x/{chip}/in_power{number}_input"] = str(power_mw)
    return _tree(root, files)


def _orin(root: Path, labels: List[str]) -> Path:
    """As the newer kernel lays it out: mV and mA, and a label for a sum that is no rail."""
    files = {}
    for index, label in enumerate(labels):
        chip, number = divmod(index, 3)
        folder = f"bus/i2c/drivers/ina3221/1-004{chip}/hwmon/hwmon{chip + 3}"
        files[f"{folder}/in{number + 1}_label"] = label
        files[f"{folder}/in{number + 1}_input"] = "5000"
        files[f"{folder}/curr{number + 1}_input"] = str(100 * (index + 1))
        files[f"{folder}/in7_label"] = "sum of shunt voltages"
    return _tree(root, files)


def _rapl(root: Path) -> Path:
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "psys"}
    files = {}
    for zone, kind in zones.items():
        files[f"class/powercap/{zone}/name"] = kind
        files[f"class/powercap/{zone}/energy_uj"] = "5000000"
        files[f"class/powercap/{zone}/max_energy_range_uj"] = "262143328850"
    return _tree(root, files)


class _Nvml(types.ModuleType):
    """Two GPUs, the second without a counter of energy; a Jetson has one GPU that answers nothing."""

    class NVMLError(Exception):
        pass

    def __init__(self, jetson: bool = False, driver: bool = True) -> None:
        super().__init__("pynvml")
        self._jetson, self._driver = jetson, driver

    def nvmlInit(self) -> None:
        if not self._driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return 1 if self._jetson else 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: int) -> int:
        if self._jetson or gpu == 1:
            raise self.NVMLError("Not Supported")
        return 123456

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        if self._jetson:
            raise self.NVMLError("Not Supported")
        return 55000


@pytest.fixture(autouse=True)
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml(driver=False))
    yield


def test_on_a_tx2_the_rail_of_the_whole_module_is_read(tmp_path: Path) -> None:
    found = find_sources(_tx2(tmp_path))
    assert [(source.name, source.covers, source.read(), source.counts) for source in found.sources] == [
        ("VDD_IN", "the whole module", 2861.0, False)
    ]


def test_on_a_newer_jetson_power_is_voltage_times_current(tmp_path: Path) -> None:
    found = find_sources(_orin(tmp_path, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]))
    assert [(source.name, source.read()) for source in found.sources] == [("VDD_IN", 500.0)]


def test_without_a_rail_of_the_whole_the_parts_are_added_none_of_them_twice(tmp_path: Path) -> None:
    found = find_sources(_orin(tmp_path, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]))
    assert [source.name for source in found.sources] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert sum(source.read() for source in found.sources) == 500.0 + 1000.0 + 1500.0


def test_a_jetsons_nvml_initialises_and_has_no_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml(jetson=True))
    assert find_sources(tmp_path / "none").sources == []
    assert [source.name for source in find_sources(_tx2(tmp_path / "tx2")).sources] == ["VDD_IN"]


def test_the_processor_and_each_gpu_are_read_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml())
    found = find_sources(_rapl(tmp_path))
    assert [(source.name, source.covers, source.counts, source.read()) for source in found.sources] == [
        ("RAPL 0 package-0", "the processor", True, 5000.0),
        ("RAPL 0:1 dram", "the memory", True, 5000.0),
        ("NVML 0", "GPU 0", True, 123456.0),
        ("NVML 1", "GPU 1", False, 55000.0),
    ]
    assert found.notes == []


def test_a_gpu_that_stops_answering_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = _Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpu = find_sources(tmp_path).sources[0]
    nvml._jetson = True
    with pytest.raises(EnergyError, match="NVML does not answer for GPU 0: Not Supported"):
        gpu.read()


def test_a_counter_that_only_root_may_read_is_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _rapl(tmp_path)
    read_text = Path.read_text

    def refusing(file: Path, *arguments: object) -> str:  # as the kernel does; root would read through any mode
        if file.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(file))
        return read_text(file)

    monkeypatch.setattr(Path, "read_text", refusing)
    found = find_sources(tmp_path)
    assert found.sources == []
    assert len(found.notes) == 1 and "only root may read it" in found.notes[0]


def test_a_machine_without_meters_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_sources(tmp_path) == ([], [])
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert find_sources(tmp_path).sources == []


def _clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes only when told to, and for the sleep of ``powers_mw``."""
    now = [100.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", advance)
    return advance


def test_power_is_integrated_by_trapezoids(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    power = [1000.0]
    with Meter([Source("rail", "", lambda: power[0], counts=False)], interval_s=60) as meter:
        assert meter.read().energy_mj == 0.0
        advance(2.0)
        power[0] = 3000.0
        assert meter.read().energy_mj == pytest.approx(2 * 2000.0)
        advance(1.0)
        assert meter.read().energy_mj == pytest.approx(2 * 2000.0 + 3000.0)
        power[0] = 3152.0
        meter.read()
        assert meter.step_mw() == pytest.approx(152.0)


def test_a_counter_is_followed_over_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = [900.0]
    with Meter([Source("RAPL", "", lambda: reading[0], counts=True, wraps_at_mj=1000.0)], interval_s=60) as meter:
        reading[0] = 950.0
        assert meter.read().energy_mj == pytest.approx(50.0)
        reading[0] = 30.0
        assert meter.read().energy_mj == pytest.approx(130.0)
        assert meter.step_mw() == 0.0


def test_sources_are_added_and_read_all_along() -> None:
    started = time.monotonic()
    sources = [
        Source("rail", "", lambda: 2000.0, counts=False),
        Source("counter", "", lambda: 1000.0 * (time.monotonic() - started), counts=True),
        # wraps many times between the two readings below, but not between two of the thread's
        Source("wraps", "", lambda: 500.0 * (time.monotonic() - started) % 100, counts=True, wraps_at_mj=100.0),
    ]
    with Meter(sources, interval_s=0.01) as meter:
        first = meter.read()
        time.sleep(0.6)
        last = meter.read()
    assert last.energy_mj - first.energy_mj == pytest.approx(3500.0 * (last.time_s - first.time_s), rel=0.05)


def test_the_thread_survives_a_missed_reading() -> None:
    started = time.monotonic()
    missed: List[float] = []

    def read() -> float:
        now_s = time.monotonic() - started
        if not missed and now_s > 0.1:
            missed.append(now_s)
            raise EnergyError("busy")
        return 500.0 * now_s % 100

    with Meter([Source("wraps", "", read, counts=True, wraps_at_mj=100.0)], interval_s=0.01) as meter:
        time.sleep(0.7)
        assert meter.read().energy_mj == pytest.approx(500.0 * (time.monotonic() - started), rel=0.05)
    assert missed


def test_one_missed_reading_is_bridged_and_a_dead_meter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    answers: List[float] = [1000.0]

    def read() -> float:
        if not answers:
            raise EnergyError("the rail VDD_IN does not answer")
        return answers[0]

    with Meter([Source("VDD_IN", "", read, counts=False)], interval_s=60) as meter:
        advance(1.0)
        answers.clear()
        with pytest.raises(EnergyError, match="VDD_IN does not answer"):
            meter.read()
        advance(1.0)
        answers.append(1000.0)
        assert meter.read().energy_mj == pytest.approx(2000.0)


def test_idle_power_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch)
    with Meter([Source("rail", "", lambda: 4000.0, counts=False)], interval_s=60) as meter:
        assert meter.powers_mw(5.0) == pytest.approx([4000.0] * 5)
        assert len(meter.powers_mw(0.5)) == 2


def test_a_power_that_never_changes_leaves_nothing_above_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "SETTLING_S", 0.0)
    monkeypatch.setattr(energy, "IDLE_S", 0.1)

    def slow() -> float:  # which makes asking and answering differ in time
        time.sleep(0.005)
        return 4000.0

    with Measurement([Source("rail", "", slow, counts=False)]) as measurement, measurement.work():
        time.sleep(0.1)
    assert measurement.net and measurement.net.energy_mj == pytest.approx(0.0, abs=1e-6)
    assert not measurement.net.is_resolved


def test_idle_power_is_subtracted() -> None:
    net = above_idle(energy_mj=60_000.0, seconds=10.0, idle_mw=[3900.0, 4000.0, 4100.0])
    assert net.energy_mj == pytest.approx(20_000.0)
    assert (net.power_mw, net.idle_mw, net.idle_spread_mw) == pytest.approx((6000.0, 4000.0, 100.0))
    assert net.uncertainty_mj == pytest.approx(2000.0) and net.is_resolved


def test_what_is_below_the_noise_is_not_resolved() -> None:
    idle_mw = [3900.0, 4000.0, 4100.0]
    assert not above_idle(41_900.0, 10.0, idle_mw).is_resolved
    assert above_idle(42_100.0, 10.0, idle_mw).is_resolved
    assert not above_idle(38_000.0, 10.0, idle_mw).is_resolved
    assert not above_idle(40_000.0 + 1e-9, 10.0, [4000.0, 4000.0]).is_resolved
    # a meter of coarse steps that reads the same all the time is not for that exact
    assert above_idle(41_000.0, 10.0, [4000.0, 4000.0]).is_resolved
    assert not above_idle(41_000.0, 10.0, [4000.0, 4000.0], step_mw=152.0).is_resolved


def test_work_is_measured_against_the_idleness_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    monkeypatch.setattr(energy, "IDLE_S", 4.0)
    power = [4000.0]
    with Measurement([Source("rail", "", lambda: power[0], counts=False)]) as measurement:
        power[0] = 9000.0
        advance(3.0)  # opening what the work needs is no part of it
        with measurement.work():
            advance(2.0)
        power[0] = 4200.0
        advance(1.0)
    net = measurement.net
    assert net is not None and net.seconds == pytest.approx(2.0)
    assert net.idle_mw == pytest.approx(4100.0, rel=0.01) and net.idle_blocks == 8
    assert net.energy_mj == pytest.approx(2 * (9000.0 - net.idle_mw))
    figures = net.as_dict(pieces=10)
    assert figures["energy_mj"] == pytest.approx(net.energy_mj / 10)
    assert figures["power_mw"] == 9000.0


def test_without_sources_nothing_is_measured_and_nothing_waited_for() -> None:
    began = time.monotonic()
    with Measurement([]) as measurement, measurement.work():
        pass
    assert measurement.net is None
    assert time.monotonic() - began < 0.5


def test_what_is_not_resolved_has_no_number() -> None:
    figures = above_idle(41_900.0, 10.0, [3900.0, 4000.0, 4100.0]).as_dict(pieces=100)
    assert figures["energy_mj"] is None
    assert figures["uncertainty_mj"] == pytest.approx(20.0)
