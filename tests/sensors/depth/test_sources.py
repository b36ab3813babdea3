from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cosmo_runtime.sensors.depth import sources
from cosmo_runtime.sensors.depth.sources import CameraSource, FileSource
from cosmo_runtime.sensors.sensor import SensorEnded, SensorError, SensorLost, SensorNotFound


class Wrapped:
    """A librealsense object, some of whose methods are replaced."""

    def __init__(self, target: Any, **replaced: Any) -> None:
        self._target = target
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


@pytest.fixture
def bus(emulated, monkeypatch):
    """What is attached to USB, as ``CameraSource`` sees it: an emulated camera."""
    attached = emulated._attached()
    monkeypatch.setattr(CameraSource, "_attached", lambda self: attached)
    return attached


def test_a_missing_camera_is_reported_at_once_with_what_was_looked_for(rs):
    before = time.monotonic()
    with pytest.raises(SensorNotFound) as caught:
        CameraSource("0000", 480, 270, 15).start()
    assert time.monotonic() - before < 30
    assert "0000" in str(caught.value)
    assert "not found on USB; attached RealSense devices: none" in str(caught.value)


def test_another_camera_is_named_when_the_right_one_is_missing(bus):
    with pytest.raises(SensorNotFound, match=r"0000: not found.*devices: Emulated RealSense EMULATED"):
        CameraSource("0000", 480, 270, 15).start()


def test_a_mode_that_is_not_offered_is_answered_with_those_that_are(bus):
    with pytest.raises(SensorError, match=r"no depth mode 640x480 at 30 Hz.*480x270 at 15 Hz"):
        CameraSource(None, 640, 480, 30).start()


def test_usb_2_is_noticed(bus, rs, caplog):
    bus[0].register_info(rs.camera_info.usb_type_descriptor, "2.1")
    with caplog.at_level(logging.WARNING), pytest.raises(SensorError):
        CameraSource(None, 640, 480, 30).start()
    assert "(USB 2.1): runs at USB 2 speed" in caplog.text


def test_the_camera_is_asked_for_its_own_clock(emulated, rs, monkeypatch):
    emulated._sensor.add_option(rs.option.global_time_enabled, option_range(rs, 0, 1, 1), True)
    monkeypatch.setattr(sources, "_FIRST_FRAME_S", 0.01)
    with pytest.raises(SensorLost):
        emulated.start()
    assert emulated._sensor.get_option(rs.option.global_time_enabled) == 0


def option_range(rs: Any, lowest: float, highest: float, default: float) -> Any:
    value = rs.option_range()
    value.min, value.max, value.default, value.step = lowest, highest, default, 1
    return value


def test_a_camera_that_gives_no_frames_is_reset_the_third_time(bus, monkeypatch):
    monkeypatch.setattr(sources, "_FIRST_FRAME_S", 0.01)
    resets = []
    bus[0] = Wrapped(bus[0], hardware_reset=lambda: resets.append(True))
    source = CameraSource(None, 480, 270, 15)
    for _ in range(2):
        with pytest.raises(SensorLost, match="delivered no frame"):
            source.start()
    assert not resets
    with pytest.raises(SensorLost, match="was reset"):
        source.start()
    assert resets
    with pytest.raises(SensorLost, match="delivered no frame"):
        source.start()


def test_a_camera_that_does_not_stop_is_left_behind_and_reset(bus, monkeypatch):
    monkeypatch.setattr(sources, "_FIRST_FRAME_S", 0.01)
    monkeypatch.setattr(sources, "_STOP_DEADLINE_S", 0.1)
    released = threading.Event()
    resets = []
    sensor: Any = Wrapped(bus[0].first_depth_sensor(), stop=released.wait)
    sensor.as_depth_sensor = lambda: sensor
    bus[0] = Wrapped(bus[0], query_sensors=lambda: [sensor], hardware_reset=lambda: resets.append(True))
    source = CameraSource(None, 480, 270, 15)
    before = time.monotonic()
    with pytest.raises(SensorLost, match="delivered no frame"):
        source.start()
    assert time.monotonic() - before < 30  # for the sensor never stops
    with pytest.raises(SensorLost, match="was reset"):
        source.start()
    assert resets
    released.set()


def test_a_stopped_source_is_lost_to_its_reader(bus):
    with pytest.raises(SensorLost, match="not connected"):
        CameraSource(None, 480, 270, 15).read(0)


def test_a_missing_recording_is_named(rs, tmp_path):
    with pytest.raises(SensorNotFound, match=r"walk\.bag: no such file"):
        FileSource(tmp_path / "walk.bag").start()


def test_a_file_that_is_no_recording_is_refused(rs, tmp_path):
    path = tmp_path / "walk.bag"
    path.write_bytes(b"not a bag" * 1000)
    with pytest.raises(SensorError, match=r"walk\.bag: this version of pyrealsense2 cannot play it"):
        FileSource(path).start()


def test_a_frame_that_came_just_before_the_end_is_not_missed(rs):
    source = FileSource(Path("walk.bag"))
    arriving: list = [[], ["last frame"], [], []]
    source._streaming = Wrapped(None, read=lambda timeout_s: arriving.pop(0))  # type: ignore[assignment]
    source._playback = Wrapped(None, current_status=lambda: rs.playback_status.stopped)
    assert source.read(0.1) == ["last frame"]
    with pytest.raises(SensorEnded, match="has ended"):
        source.read(0.1)
