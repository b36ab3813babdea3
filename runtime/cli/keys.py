"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from contextlib import suppress
from typing import Any, List, Optional


class Keys:
    """Reads pressed keys. Use it as a context manager. There are no keys if standard input is not a terminal."""

    def __init__(self) -> None:
        self._before: Optional[List[Any]] = None

    def __enter__(self) -> Keys:
        with suppress(OSError, ValueError, termios.error):
            if sys.stdin.isatty() and os.getpgrp() == os.tcgetpgrp(sys.stdin.fileno()):
                self._before = termios.tcgetattr(sys.stdin.fileno())
                tty.setcbreak(sys.stdin.fileno())  # Ctrl-C still interrupts
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def pressed(self) -> str:
        """The keys since the last call. Never waits."""
        if self._before is None or not select.select([sys.stdin.fileno()], [], [], 0)[0]:
            return ""
        try:
            return os.read(sys.stdin.fileno(), 64).decode(errors="replace")
        except OSError:
            return ""
