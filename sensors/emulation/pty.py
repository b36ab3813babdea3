"""The far end of an emulated serial cable: a pseudo-terminal paced at a baud rate, with the faults of real cables."""

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
    """A serial device's own end of a cable; the host opens ``link`` as if it were ``/dev/ttyUSB0``.

    One thread may write, one read and any pull the cable meanwhile.

    Args:
        link: a path made to point at the pseudo-terminal, and moved along when it is plugged in again.
        baud: bits a second; ``write`` takes as long as the line would, and a host that set another speed hears noise.

    Attributes:
        corrupt_share: share of the bytes to the host that are replaced by random ones.
        overrun_bytes: bytes lost because the host did not read them.
    """

    def __init__(self, link: Path, baud: int) -> None:
        self.link = link
        self.baud = baud
        self.corrupt_share = 0.0
        self.overrun_bytes = 0
        self._rng = np.random.default_rng(0)
        self._free_at = 0.0
        self._lock = threading.Lock()  # no descriptor is used once closed, when its number may be another's
        self._master = self._slave = -1
        self.plug()

    @property
    def plugged(self) -> bool:
        """Whether the cable is in."""
        return self._master >= 0

    def plug(self) -> None:
        """Plugs the cable in; a fresh pseudo-terminal appears behind ``link``."""
        with self._lock:
            if self.plugged:
                return
            self._master, self._slave = os.openpty()  # our own slave keeps the line up while no host listens
            tty.setraw(self._slave)
            _set_speed(self._slave, self.baud)
            os.set_blocking(self._master, False)
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Pulls the cable: the host's next read fails as it does on a real unplug."""
        with self._lock:
            if not self.plugged:
                return
            self.link.unlink()
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1

    def write(self, data: bytes) -> None:
        """Sends bytes at the line's speed; what nobody reads is dropped once the host's buffer is full."""
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
        """Returns what the host has sent, waiting up to ``timeout_s``."""
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
        """Returns the bytes as the other end makes them out: with errors, or as noise when the speeds differ."""
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
    """Sets the speed that a terminal starts with, for hosts that open it without setting one."""
    attributes = termios.tcgetattr(terminal)
    attributes[4] = attributes[5] = getattr(termios, f"B{baud}", attributes[5])
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
