"""The name of a new recording: one that neither a recording nor a table of labels has.

A table belongs to the recording of its name. A new recording must not adopt the labels of an older one, which may have
been deleted or moved away.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Optional

from cosmo_runtime.runtime.labels.table import labels_beside
from cosmo_runtime.sensors.recording.segments import segments_of


def taken_by(path: Path) -> Optional[Path]:
    """What already has the name of a new recording: a file, a folder of segments, or a table of labels."""
    file, folder = path.with_suffix(".mcap"), path.with_suffix("")
    names = [path, file, *([folder] if segments_of(folder) else []), labels_beside(path)]
    return next((name for name in names if name.exists()), None)


def free_path(path: Path) -> Path:
    """The path itself, or if its name is taken the first free one of ``name-2.mcap``, ``name-3.mcap``, …"""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], numbered) if not taken_by(free))
