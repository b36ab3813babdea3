"""The command ``cosmo-runtime`` as a process. It imports almost nothing itself, because imports take a second."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def script() -> NoReturn:
    """Runs a command and ends the process. Ctrl-C while the command is still being imported ends it without a word.

    A thread that a faulty camera holds up inside librealsense, or that a second Ctrl-C left there, would abort the
    process when Python ends ("terminate called without an active exception"). With such a thread, Python does not end;
    what it would do at its end is done here.
    """
    try:
        from cosmo_runtime.runtime.cli import main
    except KeyboardInterrupt:
        sys.exit(1)
    code = main()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    if any(thread.daemon for thread in threading.enumerate()):
        atexit._run_exitfuncs()
        for stream in sys.stdout, sys.stderr:
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
