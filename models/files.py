"""Files that are there whole, as they were or as they shall be, whenever a machine loses its power."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place, on the disk, and puts it there by one rename; its folder must exist.

    Raises:
        OSError: it cannot be written; what stood there stands there still, and nothing is left beside it.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        if fresh.exists():
            fresh.unlink()
