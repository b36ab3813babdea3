"""The far end of an emulated serial cable: a pseudo-terminal paced at a baud rate, with the faults of real cables."""

from __future__ import annotations

import os
import select
import time
import tty
from pathlib import Path

import numpy as np

_BITS_PER_BYTE = 10  # start, eight data, stop


class PtyPort:
    """A serial device's own end of a cable; the host opens ``link`` as if it were ``/dev/ttyUSB0``.

    Args:
        link: a path made to point at the pseudo-terminal, and moved along when it is plugged in again.
        baud: bits a second; ``write`` takes as long as the line would.
    """

    def __init__(self, link: Path, baud: int) -> None:
        self.link = link
        self.baud = baud
        self.corrupt_share = 0.0
        self.overrun_bytes = 0
        self._rng = np.random.default_rng(0)
        self._free_at = 0.0
        self._master = self._slave = -1
        self.plug()

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    def plug(self) -> None:
        """Plugs the cable in; a fresh pseudo-terminal appears behind ``link``."""
        if self.plugged:
            return
        self._master, self._slave = os.openpty()  # holding the slave open keeps the line up while no host listens
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.unlink() if self.link.is_symlink() else None
        self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Pulls the cable: the host's next read fails as it does on a real unplug."""
        if not self.plugged:
            return
        self.link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def write(self, data: bytes) -> None:
        """Sends bytes at the line's speed; what nobody reads is dropped once the host's buffer is full."""
        if not self.plugged:
            return
        if self.corrupt_share:
            data = self._corrupted(data)
        now = time.monotonic()
        self._free_at = max(self._free_at, now)
        for start in range(0, len(data), 256):
            piece = data[start : start + 256]
            self._free_at += len(piece) * _BITS_PER_BYTE / self.baud
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            try:
                sent = os.write(self._master, piece)
            except BlockingIOError:
                sent = 0
            self.overrun_bytes += len(piece) - sent

    def read(self, timeout_s: float) -> bytes:
        """Returns what the host has sent, waiting up to ``timeout_s``."""
        if not self.plugged:
            time.sleep(timeout_s)
            return b""
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        return os.read(self._master, 4096) if ready else b""

    def _corrupted(self, data: bytes) -> bytes:
        values = np.frombuffer(data, np.uint8).copy()
        hit = self._rng.random(len(values)) < self.corrupt_share
        values[hit] = self._rng.integers(0, 256, hit.sum())
        return values.tobytes()
