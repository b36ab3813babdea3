"""What keeps a radar from running is said when it connects."""

from __future__ import annotations

import codecs
import logging
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import pytest

from cosmo_runtime.sensors.config import RadarConfig
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG, Radar
from cosmo_runtime.sensors.radar.frames import encode_frame
from cosmo_runtime.sensors.sensor import SensorError, SensorNotFound
from tests.sensors.radar.radar_rig import Counting, Rig, collect


def edited_cfg(folder: Path, edit: Callable[[str], str]) -> Path:
    path = folder / "edited.cfg"
    path.write_text(edit(DEFAULT_CFG.read_text()))
    return path


def test_a_refused_command_is_named_with_its_line_and_the_firmwares_words(rig: Rig, tmp_path: Path) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("clutterRemoval", "clutterRemovel"))
    line = 1 + next(n for n, text in enumerate(cfg.read_text().splitlines()) if text.startswith("clutterRemovel"))
    expected = f"edited.cfg, line {line}: `clutterRemovel -1 1`.*'clutterRemovel' is not recognized as a CLI command"
    with pytest.raises(SensorError, match=expected):
        Radar(rig.config(cfg=cfg)).connect()

    cfg = edited_cfg(tmp_path, lambda text: text.replace("lowPower 0 0", "lowPower 0"))
    with pytest.raises(SensorError, match=r"`lowPower 0`: .*Invalid usage of the CLI command / Error -1"):
        Radar(rig.config(cfg=cfg)).connect()


def test_a_refused_configuration_leaves_the_ports_free(rig: Rig, tmp_path: Path) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("flushCfg", "flashCfg"))
    refused = Radar(rig.config(cfg=cfg))
    with pytest.raises(SensorError):
        refused.connect()
    with Radar(rig.config()) as radar:
        collect(radar, 2)
    refused.disconnect()


def test_a_missing_data_port_leaves_the_other_one_free(rig: Rig) -> None:
    halved = Radar(rig.config(data_port=str(rig.data.link) + "x"))
    with pytest.raises(SensorNotFound):
        halved.connect()
    with Radar(rig.config()) as radar:
        collect(radar, 2)
    halved.disconnect()


def test_swapped_ports_are_named(rig: Rig) -> None:
    swapped = rig.config(cli_port=str(rig.data.link), data_port=str(rig.cli.link))
    with pytest.raises(SensorError, match=f'swapped.*cli_port = "{rig.cli.link}"'):
        Radar(swapped).connect()


def test_a_silent_command_line_asks_for_the_reset_button(tmp_path: Path) -> None:
    ports = [PtyPort(tmp_path / name, baud) for name, baud in (("cli", 115200), ("data", 921600))]
    with pytest.raises(SensorError, match=r"heard nothing.*swapped.*reset button"):
        Radar(RadarConfig(cli_port=str(ports[0].link), data_port=str(ports[1].link))).connect()
    for port in ports:
        port.unplug()


def test_a_radar_without_frames_says_what_to_check(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.3)
    other = PtyPort(rig.data.link.with_name("other"), 921600)
    with pytest.raises(SensorError, match=r"radar data on .*No byte came.*reset button"):
        Radar(rig.config(data_port=str(other.link))).connect()
    other.unplug()


def test_a_data_port_at_the_wrong_speed_is_told_from_a_silent_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.3)
    with pytest.raises(SensorError, match=r"bytes came, none of them the start of a frame.*115200 baud"):
        Radar(rig.config(data_baud=115200)).connect()


def test_a_radar_that_waits_for_pulses_says_so(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.3)
    cfg = edited_cfg(tmp_path, lambda text: text.replace("80 0 50 1 0", "80 0 50 2 0"))
    with pytest.raises(SensorError, match=r"No byte came.*edited\.cfg: frameCfg.*sixth number to 1") as caught:
        Radar(rig.config(cfg=cfg)).connect()
    assert "reset button" not in str(caught.value)


def test_an_emulated_radar_whose_configuration_sends_no_points_does_not_start(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.5)
    rig.motion.radar = lambda time_s: np.ones((3, 5), np.float32)  # type: ignore[method-assign]
    cfg = edited_cfg(tmp_path, lambda text: text.replace("guiMonitor -1 1", "guiMonitor -1 0"))
    with pytest.raises(SensorError, match=r"sends no points.*detectedObjects on"):
        Radar(rig.config(cfg=cfg)).connect()


@contextmanager
def sending(rig: Rig, packet: Callable[[int], bytes]) -> Iterator[None]:
    """Sends packets 1, 2, ... on the data port in place of the emulated radar's."""
    rig.end_motion()
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.wait(0.02):
            number += 1
            rig.data.write(packet(number))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


OLDER_PEOPLE = Path(__file__).with_name("people1642_52byte.bin").read_bytes()


def test_bytes_in_an_unknown_layout_are_no_silence(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.5)
    with sending(rig, lambda number: OLDER_PEOPLE), pytest.raises(SensorError) as caught:
        Radar(rig.config()).connect()
    said = str(caught.value)
    assert re.search(r"bytes came\. A frame seems to start \d+ times, but there is no frame of a known layout", said)
    assert re.search(r"\d+ bytes were skipped. The headers have 52 bytes", said)
    assert 'leave dialect = "auto"' in said


@pytest.mark.parametrize("dialect", ["sdk1", "people"])
def test_a_wrong_dialect_is_told_with_the_right_one(rig: Rig, dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.5)
    points = Counting().radar(6 / 20)
    with sending(rig, lambda number: encode_frame(number, points)), pytest.raises(SensorError) as caught:
        Radar(rig.config(dialect=dialect)).connect()
    assert f'of dialect "sdk3", not "{dialect}". In [radar] set dialect = "sdk3" or "auto".' in str(caught.value)


def test_a_radar_that_never_sends_points_is_told_before_it_runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 0.5)

    def counted_only(number: int) -> bytes:
        return encode_frame(number, np.empty((0, 5), np.float32))[:28] + bytes([5, 0, 0, 0]) + bytes(32)

    with sending(rig, counted_only), pytest.raises(SensorError, match=r"sends no points.*detectedObjects on"):
        Radar(rig.config()).connect()


def test_what_the_firmware_says_after_its_start_is_part_of_the_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.driver._FIRST_FRAME_S", 1.5)

    def crash(radar: EmulatedRadar) -> list[str]:
        threading.Timer(0.1, rig.cli.write, [b"Exception occurred in ThreadType_Task\r\n"]).start()
        return ["Debug: Init Calibration Status = 0x0", "Done"]

    monkeypatch.setattr(EmulatedRadar, "_start", crash)
    with pytest.raises(SensorError) as caught:
        Radar(rig.config()).connect()
    said = str(caught.value)
    assert "No byte came." in said
    assert "The radar answered 'Debug: Init Calibration Status = 0x0 / Done'." in said
    assert f"Then it wrote 'Exception occurred in ThreadType_Task' on {rig.cli.link}." in said


def test_a_configuration_that_ends_is_warned_of(rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("frameCfg 0 2 80 0 50", "frameCfg 0 2 80 10 50"))
    with caplog.at_level(logging.WARNING), Radar(rig.config(cfg=cfg)) as radar:
        collect(radar, 10)
        assert radar.read(0.2) == []
    assert "edited.cfg: frameCfg stops the radar after 10 frames, 0.5 s" in caplog.text


def test_a_configuration_in_another_encoding_starts_the_radar(rig: Rig, tmp_path: Path) -> None:
    cfg = tmp_path / "notepad.cfg"
    cfg.write_bytes(codecs.BOM_UTF8 + "% 距離\n".encode() + DEFAULT_CFG.read_bytes())
    with Radar(rig.config(cfg=cfg)) as radar:
        collect(radar, 2)


def test_a_command_line_that_never_falls_quiet_ends_the_attempt(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.cli._QUIET_S", 0.5)  # the thread below may pause for a moment
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(0.005):
            rig.cli.write(b"\r\nmmwDemo:/>")

    thread = threading.Thread(target=chatter)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(SensorError, match="text comes without end"):
            Radar(rig.config()).connect()
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - began < 30


def test_one_port_without_the_other_is_refused(rig: Rig) -> None:
    with pytest.raises(SensorError, match="both cli_port and data_port"):
        Radar(RadarConfig(cli_port=str(rig.cli.link))).connect()


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"nowhere\.cfg"):
        Radar(RadarConfig(cfg=tmp_path / "nowhere.cfg"))


def test_a_configuration_too_big_for_the_data_port_is_warned_of(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("guiMonitor -1 1 0 0 0 0 1", "guiMonitor -1 1 0 0 0 1 1"))
    with caplog.at_level(logging.WARNING), Radar(rig.config(cfg=cfg)):
        pass
    assert "edited.cfg: a frame with 200 points" in caplog.text
    assert "rangeDopplerHeatMap" in caplog.text
