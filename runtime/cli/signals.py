"""What Ctrl-C, a termination and the end of the terminal do to a command."""

from __future__ import annotations

import signal
import threading
from typing import Any, Callable


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C, a termination or the end of the terminal sets, so that a run ends properly.

    A second one of these ends it at once.
    """
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    on_signals(handle)
    return stop


def end_like_ctrl_c() -> None:
    """From now on, a termination ends the command as Ctrl-C does, so that nothing half written is left behind."""
    on_signals(signal.default_int_handler)


def on_signals(handle: Callable[[int, Any], Any]) -> None:
    """Lets a function handle Ctrl-C, a termination and the end of the terminal."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, handle)
