"""Syncs folders to the disk, so that files survive a power cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Syncs a folder's list of names to the disk. Until then, a power cut may undo a rename or lose a new file.

    Raises:
        OSError: the disk fails. A file system that cannot sync folders is not an error.
    """
    number = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)
