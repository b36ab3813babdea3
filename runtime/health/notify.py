"""Tells systemd that a service is ready, its status, and that its loop still runs (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Mapping

from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence

_STATUS_S = 5.0


class Notifier(Sink):
    """Runs in the loop itself, so that systemd restarts a run whose loop hangs. Does nothing without systemd.

    Args:
        vitals: the run's. They must be an earlier sink than this.
        environment: the variables that systemd sets.
    """

    def __init__(self, vitals: Vitals, environment: Mapping[str, str] = os.environ) -> None:
        self._vitals = vitals
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket:
            self._socket.setblocking(False)
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._feed_s = int(environment.get("WATCHDOG_USEC", "0")) / 2e6 if watched else 0.0
        self._ready = False
        self._fed_at = self._status_at = float("-inf")

    def outcome(self, outcome: Outcome) -> None:
        """Reports with the first window that the service is ready."""
        if not self._ready:
            self._ready = True
            self._send(f"READY=1\nSTATUS={self._status()}")
        self.idle()

    def silence(self, silence: Silence) -> None:
        """Shows that the loop still runs."""
        self.idle()

    def idle(self) -> None:
        """Feeds the watchdog in time, and reports the status now and then."""
        now = time.monotonic()
        if self._feed_s and now - self._fed_at >= self._feed_s:
            self._fed_at = now
            self._send("WATCHDOG=1")
        if self._ready and now - self._status_at >= _STATUS_S:
            self._status_at = now
            self._send(f"STATUS={self._status()}")

    def close(self) -> None:
        """Reports that the service stops."""
        self._send("STOPPING=1")
        if self._socket:
            self._socket.close()

    def _status(self) -> str:
        vitals = self._vitals
        activity = f"{vitals.last[0]} {vitals.last[1]:.0%}" if vitals.last else "nothing yet"
        sensors = ", ".join(f"{name} {state}" for name, state in vitals.states.items())
        return f"{activity}; {sensors}"

    def _send(self, words: str) -> None:
        if self._socket:
            with suppress(OSError):  # the listener is gone or busy
                self._socket.sendto(words.encode(), self._address)
