"""A TCP port for a server that a test starts."""

from __future__ import annotations

import random
import socket

_PORTS = range(10_000, 30_000)  # below those that Linux gives to connections, of this test or of another one


def free_port() -> int:
    """A port of this machine that nobody uses. Who is slow to open it may still find it taken, and asks again."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
