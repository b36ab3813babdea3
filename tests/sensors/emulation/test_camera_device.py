from __future__ import annotations

import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.depth import librealsense
from cosmo_runtime.sensors.depth.driver import DepthCamera
from cosmo_runtime.sensors.sensor import SensorError, SensorLost, SensorNotFound
from cosmo_runtime.sensors.simulation.motion import Camera

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5, 30.0, 0.001)


@pytest.fixture
def camera() -> Any:
    try:
        librealsense.load()
    except SensorError as error:
        pytest.skip(str(error))
    from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera

    return EmulatedCamera(CAMERA)


def start(camera: Any) -> None:
    """Starts the source while frames are pushed, and takes these away."""
    with futures.ThreadPoolExecutor(1) as pool:
        started = pool.submit(camera.start)
        while not started.done():
            camera.push(picture(0), 0.0)
            futures.wait([started], timeout=0.01)
    started.result()
    camera.read(0)


def picture(value: int) -> np.ndarray:
    return np.full((48, 64), value, np.uint16)


def test_frames_carry_the_cameras_own_time_and_number(camera, rs_domain):
    start(camera)
    frames = []
    for value, time_s, left_out in ((1, 10.0, 0), (65535, 10.0333, 0), (3, 2**32 / 1e6 + 2, 7)):
        camera.push(picture(value), time_s, left_out)
        frames += camera.read(5)
    assert [int(np.asanyarray(frame.get_data()).min()) for frame in frames] == [1, 65535, 3]
    assert [int(np.asanyarray(frame.get_data()).max()) for frame in frames] == [1, 65535, 3]
    assert [frame.timestamp for frame in frames] == pytest.approx([10_000, 10_033.3, 2_000])  # the counter wraps
    assert {frame.frame_timestamp_domain for frame in frames} == {rs_domain}
    assert np.diff([frame.frame_number for frame in frames]).tolist() == [1, 8]
    camera.stop()


@pytest.fixture
def rs_domain(camera: Any) -> Any:
    return librealsense.load().timestamp_domain.hardware_clock


def test_a_sliced_frame_arrives_as_it_looks(camera):
    start(camera)
    wide = np.random.default_rng(0).integers(0, 2**16, (48, 128), dtype=np.uint16)
    camera.push(wide[:, ::2], 1.0)
    (frame,) = camera.read(5)
    np.testing.assert_array_equal(np.asanyarray(frame.get_data()), wide[:, ::2])
    camera.stop()


@pytest.mark.parametrize("frame", [np.zeros((48, 63), np.uint16), np.zeros((48, 64), np.float32)])
def test_a_frame_that_does_not_fit_is_refused(camera, frame):
    with pytest.raises(ValueError, match="expected a 48x64 uint16 frame"):
        camera.push(frame, 0.0)


def test_the_cable(camera):
    start(camera)
    camera.unplug()
    camera.unplug()
    with pytest.raises(SensorLost, match="unplugged"):
        camera.read(0)
    camera.stop()
    for _ in range(3):
        camera.push(picture(7), 1.0)
    assert camera.dropped_frames == 3
    with pytest.raises(SensorNotFound):
        camera.start()
    camera.plug()
    camera.plug()
    start(camera)
    camera.push(picture(8), 2.0)
    (frame,) = camera.read(5)
    assert np.asanyarray(frame.get_data()).max() == 8
    camera.stop()


def test_a_cable_that_was_out_and_in_between_two_reads_is_noticed(camera):
    start(camera)
    camera.unplug()
    camera.plug()
    camera.push(picture(1), 1.0)
    with pytest.raises(SensorLost):
        camera.read(0.01)
    camera.stop()


def test_pushing_reading_and_the_cable_in_three_threads(camera):
    driver = DepthCamera(DepthConfig(decimation=1, min_m=0, max_m=65), camera)
    stop = threading.Event()

    def push() -> None:
        start_s = time.monotonic()
        while not stop.wait(0.001):
            camera.push(picture(5), time.monotonic() - start_s)

    def pull_the_cable() -> None:
        while not stop.wait(0.02):
            camera.unplug()
            camera.plug()

    threads = [threading.Thread(target=push), threading.Thread(target=pull_the_cable)]
    for thread in threads:
        thread.start()
    stamps: list = []
    losses = 0
    deadline = time.monotonic() + 100
    while (losses < 5 or len(stamps) < 100) and time.monotonic() < deadline:
        try:
            driver.connect()
            while True:
                samples = driver.read(0.01)
                stamps += [sample.stamp_ns for sample in samples]
                assert all((sample.data == 5).all() for sample in samples)
        except SensorError:
            losses += 1
        driver.disconnect()
    stop.set()
    for thread in threads:
        thread.join()
    assert time.monotonic() < deadline
    assert np.diff(stamps).min() > 0


def test_memory_stays_flat(camera):
    start(camera)
    driven(camera, 500, read=True)
    before = resident_bytes()
    driven(camera, 2000, read=True)  # 12 MB of frames
    camera.unplug()
    driven(camera, 2000, read=False)
    camera.plug()  # nobody opens the new device
    driven(camera, 2000, read=False)
    assert resident_bytes() - before < 6e6
    camera.stop()


def driven(camera: Any, count: int, read: bool) -> None:
    for number in range(count):
        camera.push(picture(number % 1000), number / 30)
        if read:
            camera.read(0)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
