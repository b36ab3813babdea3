"""What ``--home`` opens, fed with windows by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Callable, Mapping

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.cli import default
from cosmo_runtime.runtime.cli.home import Home, open_home
from cosmo_runtime.runtime.config import parse_config
from cosmo_runtime.runtime.episodes.entries import last_alarms
from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.run import Run
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.sensor import SensorInfo

HOP_NS = 5 * 10**8
WALKS = """
[episodes]
on_s = 0.5
off_s = 0.5
least_s = 0.5
[[alarms]]
name = "walks"
activity = "walk"
"""
"""A configuration in which walking is an alarm at once."""
_LIKELY = {"walk": 0.5, "wave": 0.5}


class OpenHome:
    """A run of an IMU with ``--home``, whose windows a test makes.

    Attributes:
        offset_ns: the wall clock minus the monotonic clock; a test may set it.
        home: what the run has opened.
    """

    def __init__(self, folder: Path, config: str, bundle: Bundle, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns
        self.folder = folder
        options = default.parser().parse_args(["--sensors", "imu", "--home", str(folder)])
        infos = {"imu": SensorInfo("imu", "an IMU", 100)}
        run = Run(iter(()), infos, threading.Event(), "test", lambda at_ns: self.offset_ns)
        self.home: Home = open_home(options, parse_config(config, Path("cosmo.toml")), bundle, run, {})
        self._now_ns = 0

    def does(self, activity: str, seconds: float) -> None:
        """Passes windows of an activity, as fast as they are handled."""
        for _ in range(round(seconds * 1e9 / HOP_NS)):
            wait_until(lambda: not self.home.queue.waiting)
            self._now_ns += HOP_NS
            prediction = Prediction("tiny", self._now_ns, activity, 0.9, _LIKELY, {}, {}, 1.0, 1.0)
            window = Window(self._now_ns, {}, {}, self._now_ns)
            middle_ns = self._now_ns - HOP_NS // 2
            self.home.queue.outcome(Outcome(prediction, window, {"imu": "ok"}, middle_ns, None, False, HOP_NS))

    def misses(self, seconds: float) -> None:
        """Lets time pass without windows."""
        self._now_ns += round(seconds * 1e9)

    def last(self, name: str) -> Mapping[str, Any]:
        """The last entry of an alarm in the log."""
        return last_alarms(log_folder(self.folder))[name]

    def close(self) -> None:
        """Ends the run. Its alarms stay as they are."""
        self.home.queue.close()


def wait_until(found: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)
