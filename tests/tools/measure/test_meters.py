from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from cosmo_runtime.tools.measure.meters import EnergyError, find_sources


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
