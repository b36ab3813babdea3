"""The device's end of an emulated serial cable: a pseudo-terminal with a baud rate and the faults of real cables."""

from __future__ import annotations

import os
import select
import termios
import threading
import time
import tty
from pathlib import Path

import numpy as np

_BITS_PER_BYTE = 10  # start, eight data, stop
_PIECE_BYTES = 256


class PtyPort:
    """The device's end of a serial cable. The host opens ``link`` as if it were ``/dev/ttyUSB0``.

    One thread may write and one may read, while any thread pulls the cable.

    Args:
        link: a symbolic link to the pseudo-terminal. It is updated when the cable is plugged in again.
        baud: bits a second. ``write`` takes as long as a real line would. A host at another speed reads noise.

    Attributes:
        corrupt_share: share of the bytes to the host that random ones replace.
        overrun_bytes: bytes lost because the host did not read them.
    """

    def __init__(self, link: Path, baud: int) -> None:
        self.link = link
        self.baud = baud
        self.corrupt_share = 0.0
        self.overrun_bytes = 0
        self._rng = np.random.default_rng(0)
        self._free_at = 0.0
        self._lock = threading.Lock()  # a closed descriptor's number may be reused, so none is used after closing
        self._master = self._slave = -1
        self.plug()

    @property
    def plugged(self) -> bool:
        """Whether the cable is plugged in."""
        return self._master >= 0

    def plug(self) -> None:
        """Plugs the cable in. ``link`` then points at a fresh pseudo-terminal."""
        with self._lock:
            if self.plugged:
                return
            self._master, self._slave = os.openpty()  # our own slave end keeps the line up while no host listens
            tty.setraw(self._slave)
            _set_speed(self._slave, self.baud)
            os.set_blocking(self._master, False)
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Pulls the cable. The host's next read fails, as with a real cable."""
        with self._lock:
            if not self.plugged:
                return
            self.link.unlink()
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1

    def write(self, data: bytes) -> None:
        """Sends bytes at the line's speed. Once the host's buffer is full, unread bytes are dropped."""
        self._free_at = max(self._free_at, time.monotonic())
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            self._free_at += len(piece) * _BITS_PER_BYTE / self.baud
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            with self._lock:
                if not self.plugged:
                    return
                try:
                    sent = os.write(self._master, self._as_heard(piece, self.corrupt_share))
                except BlockingIOError:
                    sent = 0
                self.overrun_bytes += len(piece) - sent

    def read(self, timeout_s: float) -> bytes:
        """Returns what the host has sent. Waits up to ``timeout_s`` for it."""
        if not self.plugged:
            time.sleep(timeout_s)
            return b""
        try:
            select.select([self._master], [], [], timeout_s)
            with self._lock:
                return self._as_heard(os.read(self._master, 4096), 0.0)
        except (OSError, ValueError):  # nothing came, or the cable was pulled while waiting
            return b""

    def _as_heard(self, data: bytes, corrupt_share: float) -> bytes:
        """Returns the bytes that the other end receives: with errors, or noise if the speeds differ."""
        heard_at = termios.tcgetattr(self._slave)[5]
        if heard_at != getattr(termios, f"B{self.baud}", heard_at):
            corrupt_share = 1.0
        if not corrupt_share:
            return data
        values = np.frombuffer(data, np.uint8).copy()
        hit = self._rng.random(len(values)) < corrupt_share
        values[hit] = self._rng.integers(0, 256, hit.sum())
        return values.tobytes()


def _set_speed(terminal: int, baud: int) -> None:
    """Sets a terminal's initial speed, for hosts that open it without setting one."""
    attributes = termios.tcgetattr(terminal)
    attributes[4] = attributes[5] = getattr(termios, f"B{baud}", attributes[5])
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
