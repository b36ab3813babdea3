"""A file to which lines are appended, each whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
from pathlib import Path
from typing import BinaryIO, Optional

_log = logging.getLogger(__name__)


class LinesInUse(OSError):
    """Another run writes its lines to this file."""


class LineFile:
    """Writes lines one by one, each whole or not at all.

    It appends to a regular file, which stays locked while it is open, so that two runs never mix their lines. If the
    file is deleted or moved meanwhile, for example by ``logrotate``, it is created again under its name.

    Args:
        file: unbuffered, so that a line that failed is not written later.
        name: for messages.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._path: Optional[Path] = None
        self._written = 0  # bytes of the last line

    @classmethod
    def append(cls, path: Path) -> LineFile:
        """Opens a file to append to it.

        Raises:
            LinesInUse: another run has it.
            OSError: it cannot be written.
        """
        lines = cls(_open(path), str(path))
        if stat.S_ISREG(os.fstat(lines._file.fileno()).st_mode):
            lines._path = path
        return lines

    def write(self, line: str) -> None:
        """Writes a line and its end.

        Raises:
            OSError: nothing of it is in the file.
        """
        if self._path:
            self._follow(self._path)
        data = line.encode() + b"\n"
        self._written = 0
        try:
            while self._written < len(data):  # a disk that fills up takes a part, and reports only then that it is full
                self._written += self._file.write(data[self._written :]) or 0
        except OSError:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Cuts the last line off a regular file. Nobody wrote after it, because we hold the lock.

        Raises:
            OSError: the disk fails.
        """
        if self._written and self._path:
            descriptor = self._file.fileno()
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - self._written)
        self._written = 0

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _follow(self, path: Path) -> None:
        """Opens a new file if the file under this name is no longer ours."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(self._file.fileno())):
                return
        new = _open(path)
        self.close()
        self._file = new
        _log.warning("%s was moved or deleted; further lines go to a new file of this name", path)


def _open(path: Path) -> BinaryIO:
    """Opens a file for appending. Ends the last line if a kill cut it."""
    file = path.open("ab", buffering=0)
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            _lock(file, path)
            if not _ends_whole(path):
                file.write(b"\n")
    except OSError:
        file.close()
        raise
    return file


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LinesInUse(errno.EAGAIN, "another run writes its lines there; give each run a file of its own") from error
    except OSError as error:  # a network file system without locks
        _log.info("%s cannot be locked: %s", path, error.strerror)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
