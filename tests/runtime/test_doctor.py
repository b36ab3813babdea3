from __future__ import annotations

import io
import itertools
import re
import shutil
import sys
import threading
import time
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

from cosmo_runtime.models.bundle import Bundle, load_bundle, write_bundle
from cosmo_runtime.runtime import doctor
from cosmo_runtime.runtime.config import Config, parse_config
from cosmo_runtime.runtime.engines import choose as engines
from cosmo_runtime.runtime.engines.build import build_engine
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar
from cosmo_runtime.sensors.emulation.rig import EmulatedRig
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.imu import witmotion, xsens
from cosmo_runtime.sensors.imu.driver import Imu
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG
from cosmo_runtime.sensors.sensor import Sensor, SensorInfo
from tests.realsense import librealsense

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
        monkeypatch.setattr(doctor, "open_sensors", lambda names, config: rig.sensors())
        yield rig


def test_a_rig_that_could_run_is_ready(examine: Examine, rig: EmulatedRig) -> None:
    well, text = examine(["imu"])
    assert "sections in brackets" not in text
    assert well, text
    assert re.search(r"✓ model +tiny: 3 activities; one window in [\d.]+ ms", text)
    assert re.search(r"✓ imu +IMU on .*, 100 Hz", text)
    assert "ready: cosmo-runtime --sensors imu\n" in text
    assert "✗" not in text


def test_an_emulated_rig_shows_what_a_healthy_one_looks_like(cosmo: Callable[..., Any], attached: list) -> None:
    done = cosmo("doctor", "--sensors", "imu,radar", "--bundle", "everyday", "--emulate", "person")
    assert done.code == 0, done.out
    for name in ("imu", "radar"):
        assert re.search(rf"✓ {name} ", done.out)
    assert "serial ports" not in done.out  # what is attached does not matter
    assert done.out.endswith("ready: cosmo-runtime --sensors imu,radar --bundle everyday --emulate person\n")


def test_an_emulated_rig_that_cannot_run_says_why(cosmo: Callable[..., Any], attached: list) -> None:
    done = cosmo("doctor", "--sensors", "wrist", "--emulate", "person")
    assert done.code == 1
    said = " ".join(done.out.split())
    assert "✗ model person knows no sensor wrist" in said  # and no path
    assert "✗ emulation there is no sensor 'wrist'" in said
    assert said.endswith("not ready.")


def test_a_model_that_knows_no_real_person_is_noted(
    examine: Examine, rig: EmulatedRig, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    onnx, spec = tiny_bundle.onnx.read_bytes(), tiny_bundle.spec
    provenance = {"people": "simulated"}
    write_bundle(tmp_path / "doll", spec, onnx=onnx, weights=b"", provenance=provenance, metrics={})
    well, text = examine(["imu"], bundle=tmp_path / "doll")
    assert well
    assert re.search(r"• model +doll: it learned from simulated people only", text)
    assert "simulated people" not in examine(["imu"])[1]


def test_a_bundle_in_the_configuration_is_noted_because_no_run_that_follows_starts_with_it(
    cosmo: Callable[..., Any], examine: Examine, rig: EmulatedRig, tmp_path: Path
) -> None:
    _, text = examine(["imu"], Config.model_validate({"recognition": {"bundle": "everyday"}}))
    assert "• bundle [recognition] names a `bundle`, so a run with --follow, such as the service, refuses" in _line(
        text
    )
    assert "• bundle" not in examine(["imu"])[1]
    config = tmp_path / "cosmo.toml"
    config.write_text('[recognition]\nbundle = "everyday"\n')
    assert cosmo("--sensors", "imu", "--emulate", "person", "--config", config, "--follow").code == 2


def test_a_sensor_whose_data_is_read_late_is_ready(
    examine: Examine, rig: EmulatedRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = Imu.read, itertools.count()

    def read_late(imu: Imu, timeout_s: float) -> List[Sample]:
        if next(reads) == 1:  # after the first sample
            time.sleep(doctor._COUNTED_S + 0.1)  # this process gets no processor
            return []
        return read(imu, timeout_s)

    monkeypatch.setattr(Imu, "read", read_late)
    well, text = examine(["imu"])
    assert well, text


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


def test_a_radar_that_is_configured_to_send_no_points_is_warned_of(
    examine: Examine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = tmp_path / "silent.cfg"
    cfg.write_text(DEFAULT_CFG.read_text().replace("guiMonitor -1 1", "guiMonitor -1 0"))
    examine(["radar"], Config.model_validate({"radar": {"cfg": str(cfg)}}))
    (said,) = caplog.messages
    assert said.startswith("radar: silent.cfg: guiMonitor switches the points off. Set its detectedObjects")


def test_what_to_set_can_be_pasted_into_the_configuration(
    cosmo: Callable[..., Any], attached: list, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "my rig.toml"
    config.write_text('[sensors.imu]\nkind = "imu"\n[sensors.thigh]\nkind = "imu"\nport = "/dev/ttyNOWHERE"\n')
    words = ["doctor", "--sensors", "imu", "--bundle", tiny_bundle.path]
    said = " ".join(cosmo(*words, "--config", config).out.split())
    assert "set port in [sensors.imu]." in said
    assert f"The sections in brackets belong in {config}. Add a missing one." in said
    options = f"--config '{config}' --bundle {tiny_bundle.path}"
    assert f"Without hardware: cosmo-runtime --sensors imu {options} --emulate person" in said
    said = " ".join(cosmo(*words).out.split())
    assert "set port in [imu]." in said
    assert "Write them into a file, such as cosmo.toml, and add --config cosmo.toml" in said


def test_a_sensor_that_no_configuration_knows_is_told_with_the_section_to_add(
    cosmo: Callable[..., Any], attached: list
) -> None:
    said = " ".join(cosmo("doctor", "--sensors", "wrist").out.split())
    assert "Add it to the configuration: [sensors.wrist] with its kind" in said
    assert "add --config cosmo.toml" in said


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

    monkeypatch.setattr(doctor, "open_sensors", lambda names, config: [Mute(item) for item in rig.sensors()])
    well, text = examine(["imu"])
    assert not well
    assert re.search(r"✗ imu .*connected, but sends nothing", text)


def test_a_radar_whose_bytes_are_in_no_known_layout_is_told_from_a_silent_one(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.5)
    capture = Path(__file__).parents[1] / "sensors" / "radar" / "people1642_52byte.bin"
    cli, data = PtyPort(tmp_path / "cli", 115200), PtyPort(tmp_path / "data", 921600)
    nobody: Any = SimpleNamespace(duration_s=0, radar=None)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            data.write(capture.read_bytes())

    threads = [
        threading.Thread(target=EmulatedRadar(cli, data, nobody).run, args=(stop, time.monotonic_ns())),
        threading.Thread(target=send),
    ]
    for thread in threads:
        thread.start()
    config = Config.model_validate({"radar": {"cli_port": str(cli.link), "data_port": str(data.link)}})
    well, text = examine(["radar"], config)
    stop.set()
    for thread in threads:
        thread.join()
    said = " ".join(text.split())  # the lines of a cell, joined
    assert not well
    assert re.search(r"✗ radar radar data on .*bytes came.*no frame of a known layout: \d+ bytes were skipped", said)


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

    monkeypatch.setattr(doctor, "open_sensors", lambda names, config: [Announced(item) for item in rig.sensors()])
    well, text = examine(["imu"])
    assert well, text
    words = re.search(
        r"• imu +IMU on .*: ([\d.]+) samples per second arrive, not 1000; to change that, set (.*\])", text
    )
    assert 50 < float(words[1]) < 200
    assert words[2] == "`rate_hz` with `configure = true` in [imu]"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Callable[[int], bytes]], Config]]:
    """Serves an IMU that sends what it is told to at 100 Hz, and returns a configuration with it."""
    stop = threading.Event()
    threads: List[threading.Thread] = []

    def serve(make: Callable[[int], bytes]) -> Config:
        port = PtyPort(tmp_path / "ttyUSB0", 115200)

        def send() -> None:
            start = time.monotonic()
            for number in itertools.count():
                if stop.wait(max(0.0, start + number / 100 - time.monotonic())):
                    return
                port.write(make(number))

        threads.append(threading.Thread(target=send))
        threads[-1].start()
        return Config.model_validate({"imu": {"port": str(port.link)}})

    yield serve
    stop.set()
    for thread in threads:
        thread.join()


_MEASURED = np.arange(1.0, 10)
_GYROSCOPE = np.where(np.isin(np.arange(9), (3, 4, 5)), _MEASURED, np.nan)


def test_an_imu_that_lacks_what_the_model_needs_is_not_ready(examine: Examine, serve: Callable[..., Config]) -> None:
    short = serve(lambda number: xsens.encode_sample(_GYROSCOPE, number, 100 * number))
    named = Config.model_validate({"sensors": {"imu": {"kind": "imu", "port": short.imu.port}}})
    for config, section in (short, "imu"), (named, "sensors.imu"):
        well, text = examine(["imu"], config)
        assert not well
        assert re.search(
            r"✗ imu +IMU on .*, xsens, 115200 baud: samples arrive, but the model cannot use them: no acceleration\. "
            rf"`configure = true` in \[{section}\] switches on what it can send\.",
            _line(text),
        )


def test_an_imu_whose_channels_come_in_different_messages_is_ready(
    examine: Examine, serve: Callable[..., Config]
) -> None:
    """The angular rate at 100 Hz in messages of its own, all channels at 50 Hz in others."""
    values = (_GYROSCOPE, _MEASURED)
    config = serve(lambda number: xsens.encode_sample(values[number % 2], number, 100 * number))
    well, text = examine(["imu"], config)
    assert well, text
    assert re.search(r"✓ imu +IMU on .*, xsens, 115200 baud, 100 Hz", text)


def test_a_clock_that_cannot_be_used_is_told(examine: Examine, serve: Callable[..., Config]) -> None:
    well, text = examine(["imu"], serve(lambda number: witmotion.encode_sample(_MEASURED, 0)))
    assert well, text
    assert re.search(r"• imu +IMU on .*: its clock stands still, or its steps are longer", _line(text))
    assert "samples per second arrive" not in text


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
    assert re.search(r"✗ model +others knows no sensor imu; it knows depth, radar: see --sensors", text)


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
    assert well, text
    assert re.search(r"• .*ttyUSB7 +a stranger, serial X7: permission denied. Fix: `sudo usermod -aG \w+ \w+`", text)


def test_a_port_whose_group_has_no_name_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(path: Path) -> str:
        raise KeyError("getgrgid(): gid not found: 54321")

    monkeypatch.setattr(Path, "group", nameless)
    assert doctor._permission(str(tmp_path)) == ": permission denied"


def test_a_camera_that_tells_no_serial_number_is_told(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    rs = librealsense()
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
    assert re.search(r"• engine +none was built for this GPU; build one: `cosmo-runtime build .*bundle`", text)
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
    assert well, text
    assert re.search(r"• GPU +no NVIDIA GPU; models run on the CPU", text)
    assert re.search(r"• tensorrt +TensorRT cannot be imported .*needed on a GPU only", text)


def test_a_model_that_does_not_fit_its_spec_is_a_finding(examine: Examine, tiny_bundle: Bundle, tmp_path: Path) -> None:
    longer = tiny_bundle.spec.model_copy(update={"window_s": 2.0})
    onnx = tiny_bundle.onnx.read_bytes()
    bundle = write_bundle(tmp_path / "longer", longer, onnx=onnx, weights=b"none", provenance={}, metrics={})
    well, text = examine(["imu"], bundle=bundle.path)
    assert not well
    assert re.search(r"✗ model +.*/longer: its model does not run with imu, depth, radar present", _line(text))


def test_an_alarm_that_can_never_be_raised_is_told(examine: Examine, tmp_path: Path) -> None:
    path = tmp_path / "cosmo.toml"
    alarm = '[[alarms]]\nname = "walks"\n'
    well, text = examine([], parse_config(f'{alarm}activity = "wak"', path))
    assert not well
    assert re.search(
        r"✗ names +alarm walks can never be raised: the model tiny knows no 'wak'; did you mean walk", text
    )
    well, text = examine([], parse_config(f'{alarm}nothing_but = ["walk", "lie"]', path))
    assert well
    assert re.search(r"• names +alarm walks: the model tiny knows no 'lie'", text)


def test_a_broker_that_cannot_be_reached_is_told(examine: Examine) -> None:
    pytest.importorskip("paho.mqtt.client")
    well, text = examine([], Config(mqtt=MqttConfig(host="127.0.0.1", port=1)))
    assert not well
    assert re.search(r"✗ mqtt +127.0.0.1:1: cannot be reached \(Connection refused\); check host", text)
