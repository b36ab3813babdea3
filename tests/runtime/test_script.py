"""The command as a process."""

from __future__ import annotations

import subprocess
import sys

from tests.realsense import librealsense

_STRANDED = """
import atexit, threading, time
from cosmo_runtime.runtime import cli, script
from cosmo_runtime.sensors.depth import librealsense

def main():
    queue = librealsense.load().frame_queue(1)
    threading.Thread(target=lambda: [queue.try_wait_for_frame(1) for _ in range(10**6)], daemon=True).start()
    threading.Thread(target=lambda: time.sleep(0.5) or print("whole")).start()
    atexit.register(print, "told")
    return 3

cli.main = main
script.script()
"""


def test_a_thread_that_is_stranded_in_librealsense_does_not_abort_the_process() -> None:
    librealsense()
    done = subprocess.run([sys.executable, "-c", _STRANDED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (3, ["whole", "told"], "")


_INTERRUPTED = """
import signal, sys
from cosmo_runtime.runtime.script import script

class Impatient:
    def find_spec(self, name, *_):
        if name == "cosmo_runtime.runtime.cli.default":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may have begun without it
sys.meta_path.insert(0, Impatient())
sys.argv = ["cosmo-runtime", "--version"]
script()
"""


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_word() -> None:
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
