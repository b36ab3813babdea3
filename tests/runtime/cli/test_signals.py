from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from cosmo_runtime.runtime.cli.signals import stop_on_signals


def test_a_second_ctrl_c_ends_a_run_at_once() -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stop = stop_on_signals()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_nohup_is_obeyed() -> None:
    ask = "import signal; from cosmo_runtime.runtime.cli.signals import stop_on_signals; stop_on_signals();"
    ask += "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    answer = subprocess.run(["nohup", sys.executable, "-c", ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert answer.stdout == b"True\n"
