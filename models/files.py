"""Writes files whole or not at all, even if the machine loses power, and computes their digests."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Callable

from cosmo_runtime.disk import sync_folder

_LARGEST_BYTES = 2 << 30  # the limit of protobuf, and so of ONNX
_PIECE_BYTES = 1 << 20


def write_whole(path: Path, content: bytes, check: Callable[[], None] = lambda: None) -> None:
    """Writes a file under another name, then renames it. The folder must exist.

    Once this returns, the new file survives a power cut. What is no file, such as ``/dev/null`` or a pipe, is written
    to; it would be gone if a file took its name.

    Args:
        path: the file.
        content: what it will hold.
        check: is called when only the rename is left, which takes no time. If it raises, the earlier file stays.

    Raises:
        OSError: it cannot be written. The earlier file is still there, and nothing else is left behind. If only the
            last step failed, syncing the folder, the new file is there but a power cut may lose it.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        path.write_bytes(content)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        check()
        fresh.replace(path)
    finally:
        if fresh.exists():
            fresh.unlink()
    sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Returns the digest of one of a model's files, read piece by piece.

    Raises:
        OSError: the file cannot be read, or is too large for any model.
    """
    state, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
            size += len(piece)
            if size > _LARGEST_BYTES:
                raise OSError(errno.EFBIG, f"it is larger than {_LARGEST_BYTES >> 30} GB", str(path))
            state.update(piece)
    return state.hexdigest()
