"""Telling an IMU's protocol, speed and rate by listening, on emulated devices behind real pseudo-terminals."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial

from cosmo_runtime.sensors.config import ImuConfig, RigConfig
from cosmo_runtime.sensors.emulation import imu_device
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.imu.driver import Imu
from cosmo_runtime.sensors.imu.witmotion import OUTPUT_BITS, TIME
from cosmo_runtime.sensors.imu.xsens import GO_TO_CONFIG, encode_message
from cosmo_runtime.sensors.rig import open_sensors
from cosmo_runtime.sensors.sensor import Sensor, SensorNotFound
from tests.sensors.imu.devices import FIRMWARE, PROTOCOLS, RESOLUTION, Repeating, Rig, Waves, connect, frame, read

_UNUSABLE = {
    "witmotion": (bytes.fromhex("5553000000000000 0000a8"), "packets of type 0x53"),
    "xsens": (
        encode_message(0x36, bytes.fromhex("1020020001 2030 0c 000000000000000000000000")),
        "MTData2 with 0x1020",
    ),
    "old": (encode_message(0x32, bytes(36)), r"older format MTData \(MID 0x32\)"),
}


@pytest.mark.parametrize(("device_hz", "baud"), [(10, 9600), (20, 9600), (50, 115200), (100, 115200)])
def test_the_rate_is_told_without_a_clock_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, device_hz: int, baud: int
) -> None:
    monkeypatch.setattr(Waves, "imu_rate_hz", float(device_hz))  # at 9600 baud: as WitMotion devices leave the factory
    monkeypatch.setattr("cosmo_runtime.sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    served = rig.serve("witmotion", baud)
    imu = Imu(ImuConfig(port=str(served.port.link), rate_hz=10 if device_hz == 100 else 100))
    connect(imu, device_hz)
    imu.disconnect()


def test_a_rate_that_cannot_be_told_is_the_configured_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.imu.tuning._SPREAD_NS", 10**12)
    monkeypatch.setattr("cosmo_runtime.sensors.imu.witmotion.OUTPUT_BITS", {**OUTPUT_BITS, TIME: 0})
    served = rig.serve("witmotion")
    with Imu(ImuConfig(port=str(served.port.link), rate_hz=50)) as imu:
        assert imu.info.rate_hz == 50


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
    read(imu, 3)
    imu.disconnect()


@pytest.mark.parametrize("protocol", ["auto", "witmotion"])
def test_bluetooth_frames_are_read_through_a_serial_bridge(rig: Rig, protocol: str) -> None:
    served = Repeating(rig, frame)
    config = ImuConfig.model_validate({"port": str(served.port.link), "protocol": protocol})
    imu = Imu(config)
    connect(imu, rate_hz=100)
    samples = read(imu, 31)
    imu.disconnect()
    assert imu.info.device == f"IMU on {served.port.link}, witmotion bluetooth, 115200 baud"
    assert all(np.isfinite(sample.data[:6]).all() and np.isnan(sample.data[6:]).all() for sample in samples)
    first = int(np.argmin(np.abs(Waves().imu(np.arange(1000) / 100, "wrist")[:, :6] - samples[0].data[:6]).sum(axis=1)))
    expected = Waves().imu((first + np.arange(len(samples))) / 100, "wrist")[:, :6]
    assert (np.abs([sample.data[:6] for sample in samples] - expected) <= RESOLUTION["witmotion"][:6]).all()


@pytest.mark.parametrize(("speaks", "configured"), [("witmotion", "xsens"), ("xsens", "witmotion")])
def test_a_protocol_that_is_configured_wrongly_is_named(rig: Rig, speaks: str, configured: str) -> None:
    served = rig.serve(speaks)
    config = ImuConfig.model_validate({"port": str(served.port.link), "protocol": configured})
    words = f'bytes come, but they are those of a {speaks} IMU at 115200 baud.* Set it to "{speaks}" or "auto"'
    with pytest.raises(SensorNotFound, match=words):
        Imu(config).connect()


def test_a_remedy_names_the_section_of_the_sensor(rig: Rig) -> None:
    def wrist(**keys: Any) -> Sensor:
        table = {"kind": "imu", "port": str(served.port.link), **keys}
        (sensor,) = open_sensors(["wrist"], RigConfig.model_validate({"sensors": {"wrist": table}}))
        return sensor

    served = rig.serve("witmotion")
    with pytest.raises(SensorNotFound, match=r"Remove baud from \[sensors.wrist\]"):
        wrist(baud=9600).connect()
    with pytest.raises(SensorNotFound, match=r'and \[sensors.wrist\] has protocol = "xsens"'):
        wrist(protocol="xsens").connect()


def test_a_speed_that_is_configured_wrongly_is_told_with_the_remedy(rig: Rig) -> None:
    served = rig.serve("witmotion")
    with pytest.raises(SensorNotFound, match=r"no witmotion or xsens measurements at 9600 baud\. Remove baud from"):
        Imu(ImuConfig(port=str(served.port.link), baud=9600)).connect()


@pytest.mark.parametrize("kind", _UNUSABLE)
def test_a_device_that_sends_no_measurements_is_recognised(rig: Rig, kind: str) -> None:
    message, words = _UNUSABLE[kind]
    served = Repeating(rig, lambda _: message)
    with pytest.raises(SensorNotFound, match=f"bytes come, but an? .*{words}.*, or set configure = true in .imu."):
        Imu(ImuConfig(port=str(served.port.link))).connect()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_device_that_sends_no_measurements_is_set_up_if_it_may_be(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    message, _ = _UNUSABLE[protocol]
    firmware: Any = getattr(imu_device, FIRMWARE[protocol])
    encode, obey = firmware.encode, firmware.obey

    def encoded(self: Any, values: np.ndarray, time_s: float) -> bytes:
        return encode(self, values, time_s) if getattr(self, "was_told", False) else message

    def obeyed(self: Any, data: bytes) -> None:
        self.was_told = True
        obey(self, data)

    monkeypatch.setattr(firmware, "encode", encoded)
    monkeypatch.setattr(firmware, "obey", obeyed)
    served = rig.serve(protocol)
    with Imu(ImuConfig(port=str(served.port.link), configure=True)) as imu:
        read(imu, 10)


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
        read(imu, 10)


def test_a_device_that_speaks_at_times_is_not_called_silent(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 9600)
    stop = threading.Event()

    def speak_at_times() -> None:
        while not stop.wait(0.2):
            port.write(b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47")

    speaking = threading.Thread(target=speak_at_times)
    speaking.start()
    try:
        with pytest.raises(SensorNotFound, match="bytes arrive, but no witmotion or xsens measurements"):
            Imu(ImuConfig(port=str(port.link))).connect()
    finally:
        stop.set()
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
        assert time.monotonic() - start < 30
    finally:
        stop.set()
        thread.join()
