from __future__ import annotations

import io
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from models.bundle import Bundle, load_bundle, write_bundle
from runtime import doctor, engines
from runtime.config import Config
from sensors.emulation.rig import EmulatedRig
from sensors.sensor import Sensor, SensorInfo
from training.build import build_engine

Examine = Callable[..., Tuple[bool, str]]


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> list:
    """The serial ports of the machine: none, unless a test adds some."""
    ports: list = []
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    return ports


@pytest.fixture
def examine(tiny_bundle: Bundle, attached: List[ListPortInfo]) -> Examine:
    """Examines the machine; returns whether the sensors could run, and what was printed."""

    def examine(names: Sequence[str], config: Config = Config(), bundle: Path = tiny_bundle.path) -> Tuple[bool, str]:  # noqa: B008
        console = Console(file=io.StringIO(), width=200)
        well = doctor.examine(names, config, bundle, console)
        return well, console.file.getvalue()  # type: ignore[attr-defined]

    return examine


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedRig]:
    """An emulated IMU in place of whatever is attached to this machine."""
    with EmulatedRig("person", ["imu"]) as rig:
        monkeypatch.setattr(doctor, "open_sensors", lambda names, config: rig.sensors(config))
        yield rig


def test_a_rig_that_could_run_is_ready(examine: Examine, rig: EmulatedRig) -> None:
    well, text = examine(["imu"])
    assert well
    assert re.search(r"✓ model +tiny: 3 activities; one window in [\d.]+ ms", text)
    assert re.search(r"✓ imu +IMU on .*, 100 Hz", text)
    assert "ready: cosmo-runtime --sensors imu\n" in text
    assert "✗" not in text


def test_what_made_it_ready_is_part_of_the_command(
    cosmo: Callable[..., Any], rig: EmulatedRig, tiny_bundle: Bundle, attached: list, tmp_path: Path
) -> None:
    config = tmp_path / "my [own] rig.toml"
    config.write_text("[imu]\n")
    done = cosmo("doctor", "--sensors", "imu", "--config", config, "--bundle", tiny_bundle.path)
    assert done.code == 0
    assert f"ready: cosmo-runtime --sensors imu --config '{config}' --bundle {tiny_bundle.path}\n" in done.out


def test_a_sensor_that_is_not_there_is_named_with_what_was_looked_for(examine: Examine) -> None:
    well, text = examine(["imu", "radar"])
    assert not well
    assert re.search(r"✗ imu +IMU: looked for a USB serial port", text)
    assert re.search(r"✗ radar +radar: looked for a TI board", text)
    assert "✗ depth" not in text  # not asked for
    assert "Without hardware: cosmo-runtime --sensors imu,radar --emulate person" in text


def test_a_device_that_is_connected_and_says_nothing_is_not_ready(
    examine: Examine, rig: EmulatedRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute:
        def __init__(self, sensor: Sensor) -> None:
            self._sensor = sensor
            self.info = sensor.info
            self.connect, self.disconnect = sensor.connect, sensor.disconnect

        def read(self, timeout_s: float) -> list:
            return []

    monkeypatch.setattr(doctor, "open_sensors", lambda names, config: [Mute(item) for item in rig.sensors(config)])
    well, text = examine(["imu"])
    assert not well
    assert re.search(r"✗ imu .*connected, but nothing comes", text)


def test_a_device_that_sends_less_than_it_is_said_to_is_noted(
    examine: Examine, rig: EmulatedRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Announced:
        """Says of a sensor that it sends ten times what it does."""

        def __init__(self, sensor: Sensor) -> None:
            self._sensor = sensor
            self.connect, self.read, self.disconnect = sensor.connect, sensor.read, sensor.disconnect

        @property
        def info(self) -> SensorInfo:
            return replace(self._sensor.info, rate_hz=1000)

    monkeypatch.setattr(doctor, "open_sensors", lambda names, config: [Announced(item) for item in rig.sensors(config)])
    well, text = examine(["imu"])
    assert well
    words = re.search(r"• imu +IMU on .*: ([\d.]+) samples a second come, not 1000; \[imu\] of the configuration", text)
    assert 80 < float(words[1]) < 120


def test_a_model_that_cannot_be_used_stops_the_rig(examine: Examine, rig: EmulatedRig, tmp_path: Path) -> None:
    well, text = examine(["imu"], bundle=tmp_path / "[no] model")
    assert not well
    assert "[no] model" in text  # brackets are no markup


def test_a_model_that_does_not_know_a_sensor_stops_the_rig(
    examine: Examine, rig: EmulatedRig, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    spec = tiny_bundle.spec
    others = spec.model_copy(update={"modalities": spec.modalities[1:], "quality": (0.5, 0.5)})
    onnx = tiny_bundle.onnx.read_bytes()
    bundle = write_bundle(tmp_path / "others", others, onnx=onnx, weights=b"none", provenance={}, metrics={})
    well, text = examine(["imu"], bundle=bundle.path)
    assert not well
    assert re.search(r"✗ model +.*/others has no imu; it has depth, radar: see --sensors", text)


def test_a_setting_of_a_sensor_that_cannot_be_used_leaves_the_rest_of_the_report(
    examine: Examine,
) -> None:
    config = Config.model_validate({"radar": {"cfg": "missing.cfg"}})
    well, text = examine(["imu", "radar"], config)
    assert not well
    assert re.search(r"✗ radar +radar: cannot read the chirp configuration missing.cfg", text)
    assert re.search(r"✓ model +tiny", text)
    assert re.search(r"✗ imu +IMU: looked for", text)


def test_a_port_without_permission_is_told_with_what_mends_it_and_harms_only_who_needs_it(
    examine: Examine, rig: EmulatedRig, attached: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "ttyUSB7"
    device.touch()
    port = ListPortInfo(str(device))
    port.vid, port.product, port.serial_number = 0x1A86, "a stranger", "X7"
    attached.append(port)
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: str(path) != str(device))
    well, text = examine(["imu"])
    assert well
    assert re.search(r"• .*ttyUSB7 +a stranger, serial X7: permission denied. Mend: `sudo usermod -aG \w+ \w+`", text)


def test_a_port_whose_group_has_no_name_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(path: Path) -> str:
        raise KeyError("getgrgid(): gid not found: 54321")

    monkeypatch.setattr(Path, "group", nameless)
    assert doctor._permission(str(tmp_path)) == ": permission denied"


def test_a_camera_that_tells_no_serial_number_is_told(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    rs = pytest.importorskip("pyrealsense2")
    camera = rs.software_device()
    monkeypatch.setattr(rs, "context", lambda: SimpleNamespace(query_devices=lambda: [camera]))
    assert "without serial number" in examine(["imu"])[1]


def test_ports_of_the_board_itself_are_left_out(examine: Examine, attached: list) -> None:
    attached.append(ListPortInfo("/dev/ttyS0"))
    assert "/dev/ttyS0" not in examine(["imu"])[1]


def test_engines_of_a_machine_with_a_gpu_are_told_with_what_was_built(
    examine: Examine, tiny_bundle: Bundle, tmp_path: Path, install_gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(Path(shutil.copytree(str(tiny_bundle.path), str(tmp_path / "bundle"))))
    install_gpu()
    monkeypatch.setattr(doctor, "find_gpu", engines.find_gpu)
    text = examine(["imu"], bundle=bundle.path)[1]
    assert re.search(r"✓ GPU +NVIDIA Tegra X2 \(sm_62\)", text)
    assert re.search(r"✓ tensorrt +8\.2\.1\.8 with pycuda", text)
    assert re.search(r"• engine +none was built for this GPU: `cosmo-runtime build .*bundle`", text)
    assert re.search(r"✓ model .* ms by onnxruntime *\n", text)

    window = {"imu": np.zeros((20, 6)), "depth": np.zeros((5, 4, 6)), "radar": np.zeros((10, 8, 5))}
    windows = [{**{name: array.astype(np.float32) for name, array in window.items()}, "presence": np.ones(3, "f4")}]
    build_engine(bundle, "tensorrt", "fp16", windows, Progress(disable=True))
    config = Config.model_validate({"recognition": {"engine": "tensorrt"}})
    text = examine(["imu"], config, bundle.path)[1]
    assert re.search(r"✓ engine +tensorrt in fp16: verified, one window in [\d.]+ ms", text)
    assert re.search(r"✓ model .* ms by tensorrt *\n", text)

    install_gpu("8.6.1")
    well, text = examine(["imu"], config, bundle.path)
    assert not well
    assert re.search(r"✗ model .*has no engine tensorrt .*built with 8\.2\.1\.8 .*cosmo-runtime build", _line(text))


def _line(text: str) -> str:
    return " ".join(text.split())


def test_a_machine_without_a_gpu_lacks_nothing_that_it_needs(
    examine: Examine, rig: EmulatedRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_gpu", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    well, text = examine(["imu"])
    assert well
    assert re.search(r"• GPU +no NVIDIA GPU; models run on the CPU", text)
    assert re.search(r"• tensorrt +TensorRT cannot be imported .*needed on a GPU only", text)
