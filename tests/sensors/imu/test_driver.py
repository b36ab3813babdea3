"""The IMU driver on emulated devices behind real pseudo-terminals and pyserial."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from cosmo_runtime.sensors.config import ImuConfig
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.imu.driver import Imu
from cosmo_runtime.sensors.imu.witmotion import (
    OUTPUT_BITS,
    OUTPUT_SET,
    TIME,
    UNLOCK,
    UNLOCKED,
    encode_command,
    encode_sample,
)
from cosmo_runtime.sensors.imu.xsens import encode_sample as encode_xsens
from cosmo_runtime.sensors.sensor import SensorError, SensorLost, SensorNotFound
from tests.sensors.imu.devices import (
    FIRMWARE,
    PROTOCOLS,
    RESOLUTION,
    Repeating,
    Rig,
    Waves,
    backlog,
    connect,
    frame,
    read,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_sample_arrives_with_its_values_and_its_time(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        samples = read(imu, 80)
        assert imu.info.device == f"IMU on {served.port.link}, {protocol}, 115200 baud"

    stamps_s = np.array([sample.stamp_ns - served.start_ns for sample in samples]) * 1e-9
    values = np.array([sample.data for sample in samples])
    # The values alone tell which samples of the motion, which repeats itself after ten seconds, these are.
    first = int(np.argmin(np.abs(Waves().imu(np.arange(1000) / 100, "wrist") - values[0]).sum(axis=1)))
    true_s = (first + np.arange(len(samples))) / 100
    assert (np.abs(values - Waves().imu(true_s, "wrist")) <= RESOLUTION[protocol]).all()
    delay_s = (stamps_s[10:] - true_s[10:]) % 10
    assert np.median(np.abs(delay_s - np.median(delay_s))) < 0.02
    assert 0 < np.median(delay_s) < 0.5  # it takes 4 to 6 ms to send a sample, and a busy machine takes its time
    assert (np.diff([sample.stamp_ns for sample in samples]) > 0).all()
    assert all(sample.stamp_ns <= sample.arrival_ns for sample in samples[10:])

    assert imu.info.counts["samples"] == len(samples)
    assert not any(imu.info.counts[key] for key in imu.info.counts if key != "samples")
    assert {len(sample.raw) for sample in samples[1:]} == {44 if protocol == "witmotion" else 62}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stall_of_the_host_does_not_bend_the_stamps(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        read(imu, 20)
        samples = backlog(imu)
    assert len({sample.arrival_ns for sample in samples}) == 1
    steps_ms = np.diff([sample.stamp_ns for sample in samples]) * 1e-6
    assert (steps_ms > 0).all()
    assert np.median(np.abs(steps_ms - 10)) < 1.5  # only a sample with less delay than any before moves the clock


def test_stamps_increase_without_a_clock_too(rig: Rig) -> None:
    served = rig.serve("witmotion")
    with serial.Serial(str(served.port.link), 115200) as host:
        host.write(encode_command(UNLOCK, UNLOCKED) + encode_command(OUTPUT_SET, 0x06))
        time.sleep(0.1)
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50)) as imu:
        read(imu, 20)
        samples = backlog(imu)
    assert len({sample.arrival_ns for sample in samples}) == 1
    assert (np.diff([sample.stamp_ns for sample in samples]) > 0).all()


def test_latency_is_taken_off_the_stamps(rig: Rig) -> None:
    served = rig.serve("witmotion")
    with Imu(ImuConfig(port=str(served.port.link), latency_ms=500)) as imu:
        samples = read(imu, 30)
    assert 500 <= np.median([sample.arrival_ns - sample.stamp_ns for sample in samples]) * 1e-6 < 900
    assert imu.info.latency_ms == 500  # which recordings keep


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unplugged_and_plugged_in_again(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    imu = Imu(ImuConfig(port=str(served.port.link)))
    imu.connect()
    before = read(imu, 20)
    served.port.unplug()
    with pytest.raises(SensorLost, match="unplugged"):
        read(imu, 10_000)
    with pytest.raises(SensorNotFound):
        imu.connect()
    with pytest.raises(SensorLost, match="not connected"):
        imu.read(0.1)
    served.port.plug()
    imu.connect()
    after = read(imu, 20)
    imu.disconnect()
    imu.disconnect()
    assert after[0].stamp_ns > before[-1].stamp_ns
    assert imu.info.counts["samples"] >= len(before) + len(after)
    assert imu.info.counts["clock_resets"] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_corrupt_byte_in_a_hundred_costs_samples_that_are_counted(rig: Rig, protocol: str) -> None:
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        read(imu, 20)
        served.port.corrupt_share = 0.01
        samples = read(imu, 100)
        served.port.corrupt_share = 0.0
        samples += read(imu, 30)
    counts = imu.info.counts
    assert counts["bad_checksums"] > 10
    assert counts["skipped_bytes"] > 500
    passed = (samples[-1].stamp_ns - samples[0].stamp_ns) * 1e-9
    assert counts["lost_samples"] == pytest.approx(passed * 100 + 1 - len(samples), abs=15)
    assert np.isfinite([sample.data for sample in samples]).mean() > 0.98
    assert (np.diff([sample.stamp_ns for sample in samples]) > 0).all()


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
        samples = read(imu, 40)
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
    monkeypatch.setattr(
        "cosmo_runtime.sensors.emulation.imu_device._Xsens.obey", lambda *_: setattr(served.port, "baud", 57600)
    )
    with pytest.raises(SensorError, match="no measurements after it was set to 100 Hz"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_device_that_ignores_its_configuration_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", 20.0)
    served = rig.serve(protocol)
    monkeypatch.setattr(f"cosmo_runtime.sensors.emulation.imu_device.{FIRMWARE[protocol]}.obey", lambda *_: None)
    with pytest.raises(SensorError, match="was set to 100 Hz but measures at 20 Hz"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


def test_a_device_that_does_not_send_its_time_though_told_to_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = rig.serve("witmotion")
    monkeypatch.setattr("cosmo_runtime.sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    with pytest.raises(SensorError, match="was set to send its time but sends none"):
        Imu(ImuConfig(port=str(served.port.link), configure=True)).connect()


@pytest.mark.parametrize("step_ms", [40, 1000])
def test_a_device_with_a_coarse_clock_is_not_taken_for_disobedient(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    served = rig.serve("witmotion")

    def coarse(values: np.ndarray, clock_ms: int) -> bytes:
        return encode_sample(values, clock_ms // step_ms * step_ms)

    monkeypatch.setattr("cosmo_runtime.sensors.imu.witmotion.encode_sample", coarse)
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50, configure=True)) as imu:
        assert imu.info.rate_hz == 50


@pytest.mark.parametrize("step_ms", [20, 100, 1000, 10**9])
def test_a_clock_that_stands_or_steps_coarsely_is_not_believed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step_ms: int
) -> None:
    served = rig.serve("witmotion")

    def coarse(values: np.ndarray, clock_ms: int) -> bytes:
        return encode_sample(values, clock_ms // step_ms * step_ms)

    monkeypatch.setattr("cosmo_runtime.sensors.imu.witmotion.encode_sample", coarse)
    imu = Imu(ImuConfig(port=str(served.port.link), rate_hz=20))
    connect(imu, rate_hz=100)
    samples = read(imu, 60)
    imu.disconnect()
    assert imu.info.counts["arrival_stamps"] > 0.8 * len(samples)
    assert max(sample.arrival_ns - sample.stamp_ns for sample in samples[10:]) < 1_000_000
    assert "its clock stands still, or its steps are longer than the time between messages" in caplog.text


def test_channels_that_come_in_messages_of_their_own_are_one_measurement(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = rig.serve("xsens", baud=230400)

    def split(values: np.ndarray, counter: int, clock_ticks: int) -> bytes:
        parts = np.full((3, 9), np.nan)
        for part in range(3):
            parts[part, 3 * part : 3 * part + 3] = values[3 * part : 3 * part + 3]
        return b"".join(encode_xsens(part, counter, clock_ticks) for part in parts)

    monkeypatch.setattr("cosmo_runtime.sensors.imu.xsens.encode_sample", split)
    with Imu(ImuConfig(port=str(served.port.link))) as imu:
        samples = read(imu, 150)[10:]
        assert imu.info.rate_hz == 100
        assert imu.info.counts["arrival_stamps"] == imu.info.counts["lost_samples"] == 0
    steps_ns = np.diff([sample.stamp_ns for sample in samples])
    assert np.mean(steps_ns == 1) == pytest.approx(2 / 3, abs=0.03)
    assert steps_ns.max() < 20_000_000


def test_a_bluetooth_imu_is_set_up_though_it_has_no_clock(rig: Rig) -> None:
    served = Repeating(rig, frame)
    with Imu(ImuConfig(port=str(served.port.link), configure=True)) as imu:
        assert imu.info.rate_hz == 100
    assert served.commands == bytes.fromhex("ffaa6988b5 ffaa030900")


def test_no_port_at_all_fails_at_once_and_tells_what_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    start = time.monotonic()
    for config in (ImuConfig(), ImuConfig(serial_number="A50285BI"), ImuConfig(port="/dev/ttyUSB99")):
        looked_for = config.port or config.serial_number or "USB serial port"
        with pytest.raises(SensorNotFound, match=looked_for):
            Imu(config).connect()
    assert time.monotonic() - start < 10


def test_a_silent_port_fails_in_time(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    start = time.monotonic()
    with pytest.raises(SensorNotFound, match=r"nothing is heard.*powered"):
        Imu(ImuConfig(port=str(port.link))).connect()
    assert time.monotonic() - start < 10


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
