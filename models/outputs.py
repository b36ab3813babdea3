"""Tries to write outputs before hours of work, so that a wrong path or a full disk shows at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def try_file(path: Path) -> None:
    """Checks that ``models.files.write_whole`` can write a file. Its folder need not exist yet.

    An existing file stays, and nothing else is left behind.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    _try_beside(path)


def refuse_other_content(path: Path) -> None:
    """Refuses a file for a JSON object that holds something else: a recording, labels, a configuration.

    Raises:
        OSError: it does, or cannot be read.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(1024).lstrip()
    if begin and not begin.startswith(b"{"):  # a table of TOML begins with the other bracket
        raise FileExistsError(errno.EEXIST, "it holds something else than JSON; name another file", str(path))


def try_folder(path: Path) -> None:
    """Checks that files can be written to a folder. Neither it nor its parents need to exist yet.

    Raises:
        OSError: they cannot.
    """
    _try_beside(path / "file" if path.exists() else path)


def _try_beside(path: Path) -> None:
    """Writes a few bytes in the folder of ``path``, or in its nearest existing parent, and deletes them."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    trial = folder / f".{path.name}.{os.getpid()}.new"
    try:
        with trial.open("wb") as file:
            file.write(bytes(4096))  # a full disk may still create an empty file
            file.flush()
            os.fsync(file.fileno())
    finally:
        if os.access(trial, os.F_OK):
            trial.unlink()
