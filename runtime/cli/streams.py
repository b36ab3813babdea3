"""Makes the standard streams safe: closed, full, broken or limited ones do not crash a command."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, TextIO, Tuple, cast

_LOOK_ALIKES: Dict[str, str] = {
    character: look_alike
    for characters, look_alike in (
        ("─━–╌╍╸╺", "-"),
        ("│┃╎╏", "|"),
        ("╭╮╰╯┌┐└┘├┤┬┴┼╴╵╶╷", "+"),
        ("█▉▊▋▌▐▀▄", "#"),
        ("▁▂", "."),
        ("▃", ":"),
        ("▅▆", "+"),
        ("▇", "*"),
        ("▍▎▏▕", "|"),
        ("›→", ">"),
        ("●•", "*"),
        ("…", "~"),
        ("✓", "v"),
        ("✗", "x"),
    )
    for character in characters
}
"""Replaces characters that a terminal's encoding lacks. Each is as wide as the original, so that tables stay even."""


STDOUT = "standard output"
"""Its name in errors."""


def make_usable() -> None:
    """Lets a command use all three streams, whatever they are connected to.

    A closed one leads nowhere, as ``/dev/null`` does. A character that the encoding lacks is shown by one that looks
    like it, or as ``\\u0436``. Errors of standard output name it. Standard error, which carries messages only, drops
    what it cannot write: a disk that is full, or a reader that is gone, must not end a run.
    """
    _fill_closed_numbers()
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - open as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    codecs.register_error("look-alike", _look_alike)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="look-alike")
    if not isinstance(sys.stdout, _Stream):
        sys.stdout = cast(TextIO, _Stream(sys.stdout, STDOUT))
    if not isinstance(sys.stderr, _Stream):
        sys.stderr = cast(TextIO, _Stream(sys.stderr, None))


def flush_stdout() -> None:
    """Writes what is still in the buffer of standard output.

    Raises:
        OSError: writing failed. It is not tried again.
    """
    try:
        sys.stdout.flush()
    except ValueError:  # closed already by whoever wrote to it
        return
    except OSError:
        # Python flushes once more when it ends, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def leads_nowhere(stream: TextIO) -> bool:
    """Whether everything written to a stream is certainly lost."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))  # noqa: PTH116
    except OSError:  # a stream without a file behind it
        return False


class _Stream:
    """Passes text on to a standard stream. Its errors contain the name; without a name, errors are ignored."""

    def __init__(self, stream: TextIO, name: Optional[str]) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        with self._errors():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._errors():
            self._stream.flush()

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._name:
                error.filename = self._name
                raise


def _fill_closed_numbers() -> None:
    """Opens ``/dev/null`` in place of closed streams.

    Otherwise the next file that is opened, a recording perhaps, gets the number of standard output or error, and all
    that libraries print there goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, so this one


def _look_alike(error: UnicodeError) -> Tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    shown = (_LOOK_ALIKES.get(one) or one.encode("ascii", "backslashreplace").decode() for one in missing)
    return "".join(shown), error.end
