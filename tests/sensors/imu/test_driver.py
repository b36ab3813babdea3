"""The IMU driver on emulated devices behind real pseudo-terminals and pyserial."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple

import numpy as np
import pytest
import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from sensors.config import ImuConfig
from sensors.emulation.imu_device import EmulatedImu
from sensors.emulation.pty import PtyPort
from sensors.events import Sample
from sensors.imu.driver import Imu
from sensors.imu.witmotion import OUTPUT_BITS, OUTPUT_SET, TIME, UNLOCK, UNLOCKED, encode_command, encode_sample
from sensors.imu.xsens import GO_TO_CONFIG, encode_message
from sensors.sensor import Sensor, SensorError, SensorLost, SensorNotFound

PROTOCOLS = ["witmotion", "xsens"]
FIRMWARE = {"witmotion": "_WitMotion", "xsens": "_Xsens"}
_RESOLUTION = {
    "witmotion": np.repeat([16 * 9.80665 / 32768, np.radians(2000) / 32768, 0.15], 3) * 0.51,
    "xsens": np.full(9, 1e-5),
}


class Waves:
    """Nine sines; what the emulated IMU measures."""

    duration_s = float("inf")
    imu_rate_hz = 100.0

    def imu(self, times_s: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * np.outer(times_s, np.linspace(0.3, 1.1, 9))
        return np.sin(phase) * np.repeat([20.0, 5.0, 50.0], 3)


class Served(NamedTuple):
    port: PtyPort
    start_ns: int


class Rig:
    """Serves emulated IMUs until the test ends."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self.threads: List[threading.Thread] = []
        self._folder = folder

    def serve(self, protocol: str, baud: int = 115200, name: str = "ttyUSB0") -> Served:
        port = PtyPort(self._folder / name, baud)
        start_ns = time.monotonic_ns()
        device = EmulatedImu(port, Waves(), protocol)  # type: ignore[arg-type]
        self.threads.append(threading.Thread(target=device.run, args=(self.stop, start_ns)))
        self.threads[-1].start()
        return Served(port, start_ns)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.stop.set()
    for thread in rig.threads:
        thread.join()


def _read(imu: Sensor, seconds: float) -> List[Sample]:
    samples: List[Sample] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        samples += imu.read(0.05)
    return samples


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_sample_arrives_with_its_values_and_its_time(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        samples = _read(imu, 0.8)
        assert imu.info.device == f"IMU on {served.port.link}, {protocol}, 115200 baud"
    assert len(samples) > 70

    stamps_s = np.array([sample.stamp_ns - served.start_ns for sample in samples]) * 1e-9
    values = np.array([sample.data for sample in samples])
    # The values alone tell which samples of the motion these are.
    first = int(np.argmin(np.abs(Waves().imu(np.arange(300) / 100) - values[0]).sum(axis=1)))
    true_s = (first + np.arange(len(samples))) / 100
    assert (np.abs(values - Waves().imu(true_s)) <= _RESOLUTION[protocol]).all()
    delay_s = stamps_s[10:] - true_s[10:]
    assert np.median(np.abs(delay_s - np.median(delay_s))) < 0.005
    assert 0 < np.median(delay_s) < 0.05  # it takes 4 to 6 ms to send a sample
    assert (np.diff([sample.stamp_ns for sample in samples]) > 0).all()
    assert all(sample.stamp_ns <= sample.arrival_ns for sample in samples[10:])

    assert imu.info.counts["samples"] == len(samples)
    assert not any(imu.info.counts[key] for key in imu.info.counts if key != "samples")
    assert {len(sample.raw) for sample in samples[1:]} == {44 if protocol == "witmotion" else 62}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stall_of_the_host_does_not_bend_the_stamps(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        _read(imu, 0.2)
        time.sleep(0.3)
        backlog = imu.read(1)
    assert len({sample.arrival_ns for sample in backlog}) == 1
    assert len(backlog) > 10
    steps_ms = np.diff([sample.stamp_ns for sample in backlog]) * 1e-6
    assert (np.abs(steps_ms - 10) < 1.5).all()


def test_stamps_increase_without_a_clock_too(rig: Rig) -> None:
    served = rig.serve("witmotion")
    with serial.Serial(str(served.port.link), 115200) as host:
        host.write(encode_command(UNLOCK, UNLOCKED) + encode_command(OUTPUT_SET, 0x06))
        time.sleep(0.1)
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50)) as imu:
        _read(imu, 0.2)
        time.sleep(0.2)
        backlog = imu.read(1)
    assert len({sample.arrival_ns for sample in backlog}) == 1
    assert (np.diff([sample.stamp_ns for sample in backlog]) > 0).all()
    assert len(backlog) > 5


@pytest.mark.parametrize(("device_hz", "baud"), [(10, 9600), (20, 9600), (50, 115200), (100, 115200)])
def test_the_rate_is_told_without_a_clock_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, device_hz: int, baud: int
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", float(device_hz))  # at 9600 baud: as WitMotion devices leave the factory
    monkeypatch.setattr("sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    served = rig.serve("witmotion", baud)
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=10 if device_hz == 100 else 100)) as imu:
        assert imu.info.rate_hz == device_hz


def test_a_rate_that_cannot_be_told_is_the_configured_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.imu.driver._SPREAD_NS", 10**12)
    monkeypatch.setattr("sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    served = rig.serve("witmotion")
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50)) as imu:
        assert imu.info.rate_hz == 50


def test_latency_is_taken_off_the_stamps(rig: Rig) -> None:
    served = rig.serve("witmotion")
    with Imu(ImuConfig(port=str(served.port.link), latency_ms=500)) as imu:
        samples = _read(imu, 0.3)
    assert np.mean([sample.arrival_ns - sample.stamp_ns for sample in samples]) * 1e-6 == pytest.approx(500, abs=50)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unplugged_and_plugged_in_again(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    imu = Imu(ImuConfig(port=str(served.port.link)))
    imu.connect()
    before = _read(imu, 0.3)
    served.port.unplug()
    with pytest.raises(SensorLost, match="unplugged"):
        _read(imu, 5)
    with pytest.raises(SensorNotFound):
        imu.connect()
    with pytest.raises(SensorLost, match="not connected"):
        imu.read(0.1)
    served.port.plug()
    imu.connect()
    after = _read(imu, 0.3)
    imu.disconnect()
    imu.disconnect()
    assert len(after) > 10
    assert after[0].stamp_ns > before[-1].stamp_ns
    assert imu.info.counts["samples"] >= len(before) + len(after)
    assert imu.info.counts["clock_resets"] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_corrupt_byte_in_a_hundred_costs_samples_that_are_counted(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        _read(imu, 0.2)
        served.port.corrupt_share = 0.01
        samples = _read(imu, 1.5)
        served.port.corrupt_share = 0.0
        samples += _read(imu, 0.3)
    counts = imu.info.counts
    assert counts["bad_checksums"] > 10
    assert counts["skipped_bytes"] > 500
    passed = (samples[-1].stamp_ns - samples[0].stamp_ns) * 1e-9
    assert counts["lost_samples"] == pytest.approx(passed * 100 + 1 - len(samples), abs=5)
    assert np.isfinite([sample.data for sample in samples]).mean() > 0.98
    assert (np.diff([sample.stamp_ns for sample in samples]) > 0).all()


@pytest.mark.parametrize(("protocol", "baud"), [("witmotion", 9600), ("xsens", 230400)])
def test_protocol_and_speed_are_told_by_listening(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str, baud: int
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", 10.0)  # the least that there is, and WitMotion's factory setting
    served = rig.serve(protocol, baud)
    imu = Imu(ImuConfig(port=str(served.port.link)))
    imu.connect()
    assert imu.info.device == f"IMU on {served.port.link}, {protocol}, {baud} baud"
    assert imu.info.rate_hz == 10
    assert len(_read(imu, 0.5)) >= 3
    imu.disconnect()


@pytest.mark.parametrize(
    ("protocol", "baud", "rate_hz", "expected_baud"),
    [("witmotion", 9600, 200, 115200), ("witmotion", 115200, 50, 115200), ("xsens", 115200, 50, 115200)],
)
def test_configured(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str, baud: int, rate_hz: int, expected_baud: int
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", 20.0)
    served = rig.serve(protocol, baud)
    config = ImuConfig(port=str(served.port.link), baud=baud, rate_hz=rate_hz, configure=True)
    with Imu(config) as imu:
        assert served.port.baud == expected_baud
        samples = _read(imu, 0.8)
        assert imu.info.device.endswith(f"{expected_baud} baud")
    for again in (imu, Imu(config)):  # the device stays as it was set up, which another process does not know
        with again:
            assert again.info.device.endswith(f"{expected_baud} baud")
    assert imu.info.rate_hz == rate_hz
    steps_ms = np.diff([sample.stamp_ns for sample in samples]) * 1e-6
    assert np.median(steps_ms) == pytest.approx(1000 / rate_hz, rel=0.25)
    assert imu.info.counts["lost_samples"] == 0


def test_a_device_that_goes_wrong_on_its_configuration_is_an_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    served = rig.serve("xsens")
    monkeypatch.setattr("sensors.emulation.imu_device._Xsens.obey", lambda *_: setattr(served.port, "baud", 57600))
    with pytest.raises(SensorError, match="no measurements after it was set to 100 Hz"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_device_that_ignores_its_configuration_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", 20.0)
    served = rig.serve(protocol)
    monkeypatch.setattr(f"sensors.emulation.imu_device.{FIRMWARE[protocol]}.obey", lambda *_: None)
    with pytest.raises(SensorError, match="was set to 100 Hz but measures at 20 Hz"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


def test_a_device_that_does_not_send_its_time_though_told_to_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = rig.serve("witmotion")
    monkeypatch.setattr("sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    with pytest.raises(SensorError, match="was set to send its time but sends none"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


@pytest.mark.parametrize("step_ms", [40, 1000])
def test_a_device_with_a_coarse_clock_is_not_taken_for_disobedient(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    served = rig.serve("witmotion")

    def coarse(values: np.ndarray, clock_ms: int) -> bytes:
        return encode_sample(values, clock_ms // step_ms * step_ms)

    monkeypatch.setattr("sensors.imu.witmotion.encode_sample", coarse)
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50, configure=True)) as imu:
        assert imu.info.rate_hz == 50


def test_no_port_at_all_fails_at_once_and_tells_what_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    start = time.monotonic()
    for config in (ImuConfig(), ImuConfig(serial_number="A50285BI"), ImuConfig(port="/dev/ttyUSB99")):
        looked_for = config.port or config.serial_number or "USB serial port"
        with pytest.raises(SensorNotFound, match=looked_for):
            Imu(config).connect()
    assert time.monotonic() - start < 3


def test_a_silent_port_fails_in_time(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    start = time.monotonic()
    with pytest.raises(SensorNotFound, match=r"nothing is heard.*powered"):
        Imu(ImuConfig(port=str(port.link))).connect()
    assert time.monotonic() - start < 3


def test_an_xsens_left_in_its_configuration_mode_is_woken(rig: Rig) -> None:
    served = rig.serve("xsens", baud=230400)
    with serial.Serial(str(served.port.link), 230400) as host:
        host.write(encode_message(GO_TO_CONFIG))
        time.sleep(0.1)
    config = ImuConfig(port=str(served.port.link), protocol="xsens")
    with pytest.raises(SensorNotFound, match="nothing is heard"):
        Imu(config).connect()
    with Imu(config.model_copy(update={"configure": True})) as imu:
        assert imu.info.device.endswith("xsens, 230400 baud")
        assert len(_read(imu, 0.3)) > 10


def test_a_device_that_speaks_at_times_is_not_called_silent(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 9600)
    speaking = threading.Timer(0.2, port.write, [b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"])
    speaking.start()
    try:
        with pytest.raises(SensorNotFound, match="bytes arrive, but no witmotion or xsens measurements"):
            Imu(ImuConfig(port=str(port.link))).connect()
    finally:
        speaking.join()


def test_another_device_on_the_port_is_not_taken_for_an_imu(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    stop = threading.Event()

    def chatter() -> None:
        while not stop.is_set():
            port.write(b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n")

    thread = threading.Thread(target=chatter)
    thread.start()
    start = time.monotonic()
    try:
        with pytest.raises(SensorNotFound, match="no witmotion or xsens measurements at 115200, 9600"):
            Imu(ImuConfig(port=str(port.link))).connect()
        assert time.monotonic() - start < 5
    finally:
        stop.set()
        thread.join()


def test_the_imu_is_found_among_other_ports(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = PtyPort(tmp_path / "ttyUSB0", 115200)
    served = rig.serve("witmotion", name="ttyUSB1")
    attached = [ListPortInfo(str(port.link)) for port in (silent, served.port)]
    for port in attached:
        port.vid, port.pid = 0x1A86, 0x7523
    monkeypatch.setattr(list_ports, "comports", lambda: attached)
    with Imu(ImuConfig()) as imu:
        assert imu.info.device.startswith(f"IMU on {served.port.link}")
    served.port.unplug()
    with pytest.raises(SensorNotFound, match=r"ttyUSB0: nothing is heard.*ttyUSB1: no such device"):
        Imu(ImuConfig()).connect()
