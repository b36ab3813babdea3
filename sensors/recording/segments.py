"""A recording as a folder of segments, each a recording by itself, named by number and by the time of its start.

``000002-20261128T121000Z.mcap`` follows ``000001-20261128T120000Z.mcap``. A segment begins with the state of each
sensor, so that it can be played without the earlier ones, which may have been deleted.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Callable, Iterator, List, Set, Tuple

_NAME = re.compile(r"\d{6}-\d{8}T\d{6}Z\.mcap")


def is_segment(path: Path) -> bool:
    """Whether a file is a segment in a recording that is a folder."""
    return bool(_NAME.fullmatch(path.name))


def segments_of(path: Path) -> List[Path]:
    """The segments of a recording that is a folder, oldest first; empty for anything else."""
    if not os.path.isdir(path):  # noqa: PTH112  returns False for impossible paths
        return []
    return sorted(file for file in path.iterdir() if is_segment(file))


def deleted_before(path: Path) -> int:
    """How many segments at the beginning of a recording that is a folder are deleted; 0 for anything else."""
    segments = segments_of(path)
    return int(segments[0].name[:6]) - 1 if segments else 0


def size_and_change(path: Path) -> Tuple[int, int]:
    """Bytes in a recording, and when it was last written to, in ns since 1970; a folder does not tell by itself.

    Raises:
        OSError: it cannot be read.
    """
    states = [file.stat() for file in segments_of(path) or [path]]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def delete_recording(path: Path) -> None:
    """Deletes a recording. Of a folder of segments, whatever else somebody put into it stays, and so does the folder.

    Raises:
        OSError: it cannot be deleted, or not all of it.
    """
    segments = [] if path.is_symlink() else segments_of(path)
    if not segments:
        path.unlink()
        return
    for segment in segments:
        with suppress(FileNotFoundError):  # a run that still records deletes old segments, too
            segment.unlink()
    with suppress(OSError):  # it holds something else
        path.rmdir()


def recordings_below(path: Path, closed: Callable[[Path, str], object] = lambda folder, why: None) -> Iterator[Path]:
    """All recordings in a folder and below it, by name: files and folders of segments. A file returns itself.

    Args:
        path: the folder or file.
        closed: takes each folder that is not searched, and why: it cannot be read, or is a link.
    """
    if not path.is_dir():
        yield path
        return
    found: Set[Path] = set()

    def unreadable(error: OSError) -> None:
        closed(Path(error.filename), f"cannot be read: {error.strerror}")

    for name, folders, files in os.walk(path, onerror=unreadable):
        folder = Path(name)
        links = [below for below in folders if os.path.islink(folder / below)]  # noqa: PTH114  never raises
        for link in links:
            closed(folder / link, "is a link; name its target instead")
        for file in (folder / below for below in {*folders, *files}.difference(links)):
            if file.suffix == ".mcap":
                found.add(folder if is_segment(file) else file)
    yield from sorted(found)
