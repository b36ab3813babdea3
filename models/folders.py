"""Writes folders whole or not at all, even if the writing process is killed.

A folder ``NAME`` is first written beside its place as ``.NAME.PID.new``. The folder that it replaces is called
``.NAME.PID.old`` for a moment. The writer locks the new folder, and the system releases the lock when the process ends,
so ``sweep`` can distinguish the leftovers of killed writers from folders that are being written.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Iterator, Mapping, Optional

from cosmo_runtime.disk import sync_folder
from cosmo_runtime.models.files import write_whole

_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.(new|old)")


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files, and replaces an earlier one.

    Raises:
        OSError: it cannot be written. The earlier one is still there.
    """
    with whole_folder(path) as fresh:
        for name, content in files.items():
            write_whole(fresh / name, content)


@contextmanager
def whole_folder(path: Path, replace: bool = True) -> Iterator[Path]:
    """Makes a folder to write to, and moves it to its place when the context ends without an error.

    Args:
        path: the folder's place.
        replace: replace an earlier folder. Otherwise the earlier one stays, and the new one is deleted.

    Raises:
        OSError: it cannot be written. The earlier one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    old = fresh.with_suffix(".old")
    with _held(fresh):
        try:
            yield fresh
            if path.is_dir() and any(path.iterdir()):  # a rename can only replace an empty folder
                if not replace:
                    return
                path.rename(old)
            fresh.rename(path)
            sync_folder(path.parent)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path, name: Optional[str] = None) -> None:
    """Removes the leftovers of killed writers from a folder, and puts back what they had moved aside.

    Does nothing without permission to remove anything.

    Args:
        folder: the parent of the folders that ``write_folder`` writes.
        name: sweep only the leftovers of this folder; of all folders by default.
    """
    with suppress(OSError), _locked(folder):
        for left in sorted(folder.iterdir()):  # .new before .old
            match = _LEFT.fullmatch(left.name)
            if match and name in (None, match["name"]) and left.is_dir() and not left.is_symlink():
                _remove(left, folder / match["name"])


def _remove(left: Path, path: Path) -> None:
    fresh = left.with_suffix(".new")
    if fresh.is_dir():
        with suppress(BlockingIOError), _locked(fresh, wait=False):
            shutil.rmtree(fresh, ignore_errors=True)
    if fresh.exists() or left == fresh:  # a living writer's, or gone
        return
    if path.exists():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.rename(path)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Makes a folder and locks it, which protects it from sweeps."""
    with ExitStack() as stack:
        with _locked(folder.parent, or_not=True):  # no sweep comes between making the folder and locking it
            folder.mkdir()
            stack.enter_context(_locked(folder, or_not=True))
        yield


@contextmanager
def _locked(folder: Path, wait: bool = True, or_not: bool = False) -> Iterator[None]:
    """Holds the lock of a folder.

    Args:
        folder: an existing folder.
        wait: wait if another process holds the lock.
        or_not: continue without a lock if the file system has no locks.

    Raises:
        OSError: the lock cannot be taken.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            if not or_not:
                raise
        yield
    finally:
        os.close(descriptor)
