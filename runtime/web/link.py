"""The server as a run sees it: a process that receives news and may send requests."""

from __future__ import annotations

import logging
import multiprocessing
import socket
import threading
from contextlib import suppress
from typing import Any, Callable, Dict, Union

from cosmo_runtime.runtime.web.server import Settings, serve_a_run

_log = logging.getLogger(__name__)

_STOP_S = 3.0

Command = Dict[str, Any]


class Link:
    """A server in its own process; a context manager.

    Args:
        settings: the server's settings.
        listening: the open socket.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        context = multiprocessing.get_context("spawn")
        self._near, far = context.Pipe()
        self._process = context.Process(target=serve_a_run, args=(settings, listening, far), daemon=False)
        self._process.start()
        far.close()
        listening.close()
        self._broken = False
        self._lock = threading.Lock()  # the loop, a recording and a prompt all send

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._near.close()
        self._process.terminate()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()

    def send(self, key: str, payload: Union[str, bytes]) -> None:
        """Sends a message to the server. Once the server has died, messages are dropped and the run goes on."""
        if self._broken:
            return
        try:
            with self._lock:
                self._near.send((key, payload))
        except OSError:
            self._broken = True
            _log.warning("the page's server has ended; the run goes on without it")

    def obey(self, do: Callable[[Command], None]) -> None:
        """Passes the pages' commands to a function, in a thread of its own."""
        threading.Thread(target=self._obey, args=(do,), daemon=True).start()

    def _obey(self, do: Callable[[Command], None]) -> None:
        with suppress(EOFError, OSError):
            while True:
                do(self._near.recv())
