"""The devices of an emulated rig, one by one."""

from __future__ import annotations

import multiprocessing
import threading
import time

import numpy as np

from cosmo_runtime.sensors.emulation.devices import _send_frames
from cosmo_runtime.sensors.emulation.motions import open_motion


def test_a_camera_leaves_out_what_a_host_that_has_stopped_does_not_take() -> None:
    motion = open_motion("person:5")
    host, camera = multiprocessing.Pipe(duplex=False)
    stop = threading.Event()
    arguments = (motion, camera, stop, time.monotonic_ns())
    threading.Thread(target=_send_frames, args=arguments, daemon=True).start()
    time.sleep(3)  # a frame is larger than the pipe
    taken = [host.recv() for _ in range(5)]
    stop.set()
    host.close()
    left_out = [count for *_, count in taken]
    assert 30 <= sum(left_out) == left_out[1]
    numbers = np.cumsum([1 + count for count in left_out]) - 1
    np.testing.assert_allclose([time_s for _, time_s, _ in taken], numbers / motion.camera.rate_hz)
