"""The recordings in one folder, by name: what each contains, and what can be done with it.

A name is that of a file in the folder, without ``.mcap``, or of a folder of segments. It cannot lead anywhere else.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels.new_name import free_path, taken_by
from cosmo_runtime.runtime.labels.rows import LabelTable
from cosmo_runtime.runtime.labels.table import (
    LabelsError,
    is_of_one_recording,
    labels_beside,
    prompted_beside,
    read_labels,
    tables_of,
    write_labels,
)
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.retention.cached_windows import forget
from cosmo_runtime.runtime.retention.expiry import delete, one_line, parse_lifetime
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.piece import copy_piece
from cosmo_runtime.sensors.recording.segments import segments_of

_NAME = re.compile(r"[^\W_][\w .()+@-]{0,79}")
_SHORTEST_PIECE_S = 0.1
_ROOM_BYTES = 64 << 20  # free space that must remain on the disk
_GROWING_S = 60.0  # after its last change, a recording without an end may still be growing for this long


class Sessions:
    """A folder of recordings.

    Args:
        folder: the folder.
        cache: where training may have cached windows of the recordings.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._cache = cache
        self._known: Dict[str, Tuple[object, Dict[str, Any]]] = {}
        self._opened: Dict[Path, Tuple[object, Recording]] = {}
        self._lock = threading.Lock()  # a page may ask for several things of one recording at once

    def recording(self, name: object) -> Recording:
        """Returns a recording, which is read only once while it does not change.

        Raises:
            Refused: no recording has this name.
            RecordingError: the recording cannot be read.
        """
        path = self.path(name)
        with self._lock:
            state = state_of(path)
            known = self._opened.get(path)
            if known is None or known[0] != state:
                self._opened[path] = known = state, Recording(path)
            return known[1]

    def path(self, name: object) -> Path:
        """The file, or the folder of segments, of an existing recording.

        Raises:
            Refused: no recording has this name.
        """
        file = self.free_path(name)
        for path in self.folder / str(name), file:  # if both exist, the labels belong to the folder
            if not path.is_symlink() and (segments_of(path) or (path == file and path.is_file())):
                return path
        raise Refused(f"There is no recording {name!r}.", 404)

    def free_path(self, name: object) -> Path:
        """The path at which the file of a recording with this name is, or would be.

        Raises:
            Refused: a recording cannot have this name.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.strip():
            raise Refused(
                "A name has at most 80 letters, digits, spaces and . ( ) + @ - _ and begins with a letter or digit."
            )
        return self.folder / f"{name}.mcap"

    def new_path(self, name: object) -> Path:
        """The path for a new recording: by its name, or a similar free name if that is taken.

        Raises:
            Refused: a recording cannot have this name.
        """
        free = free_path(self.free_path(name))
        return self.free_path(name_of(free))

    def list(self) -> List[Dict[str, Any]]:
        """The content of each recording, newest first."""
        found = []
        names = set(self._names())
        for name in names:
            with suppress(Refused, OSError):
                path = self.path(name)
                entry = self.describe(path)
                found.append({**entry, "growing": bool(entry.get("cut")) and _just_changed(path)})
        for name in set(self._known) - names:  # in place, for several pages may list at once
            self._known.pop(name, None)
        with self._lock:
            self._opened = {path: known for path, known in self._opened.items() if name_of(path) in names}
        return sorted(found, key=lambda entry: str(entry.get("began", "")), reverse=True)

    def left_out(self) -> Dict[str, str]:
        """What else in the folder looks like a recording, by its file name, and why it is not listed."""
        found = {}
        for path in sorted(self._candidates()):
            with suppress(OSError):  # it is gone meanwhile
                why = self._why_left_out(path)
                if why:
                    found[path.name] = why
        return found

    def _why_left_out(self, path: Path) -> str:
        if path.is_symlink():
            return "It is a link, and the page follows none."
        if path.suffix != ".mcap" and path.suffix.lower() == ".mcap":
            return f"Its name ends in {path.suffix}, not in .mcap. Rename it to see it here."
        try:
            shown = self.path(name_of(path))
        except Refused as refused:
            is_one = path.is_file() or segments_of(path)
            return f"{refused} Rename it to see it here." if is_one else "It is not a file."
        return "" if shown == path else f"The folder {shown.name} has the same name. Rename one of them."

    def _names(self) -> Iterator[str]:
        return map(name_of, self._candidates())

    def _candidates(self) -> Iterator[Path]:
        """What looks like a recording. What is hidden on purpose does not."""
        for path in self.folder.iterdir():
            with suppress(OSError):  # a folder that this user may not read
                if not path.name.startswith(".") and (path.suffix.lower() == ".mcap" or segments_of(path)):
                    yield path

    def describe(self, path: Path) -> Dict[str, Any]:
        """The content of one recording."""
        name, labels, state = name_of(path), labels_beside(path), state_of(path)
        key = (path, state, state_of(labels) if labels.exists() else None)
        known = self._known.get(name)
        if known and known[0] == key:
            return known[1]
        size = sum(bytes_of_file for bytes_of_file, _ in state)
        segments = len(state) if path.is_dir() else None
        entry: Dict[str, Any] = {"name": name, "size": size, "segments": segments, "labels": {}, "problem": ""}
        entry["uncertain"] = 0
        try:
            recording = self.recording(name)
            began = datetime.fromtimestamp((recording.start_ns + recording.wall_offset_ns) / 1e9, timezone.utc)
            entry.update(
                began=began.isoformat(timespec="seconds"),
                seconds=round(recording.duration_s, 2),
                sensors={name: info.kind for name, info in recording.infos.items()},
                expires=recording.metadata.get("expires"),
                participant=recording.metadata.get("participant"),
                cut=recording.cut,
                damaged=recording.holes,
                bundle=recording.metadata.get("bundle"),
            )
            counts = _counts(read_segments(recording))
            entry["uncertain"] = round(counts.pop(UNCERTAIN, [0])[0])
            entry["labels"] = counts
        except (RecordingError, LabelsError, OverflowError, ValueError) as error:
            entry["problem"] = str(error).replace(f"{self.folder}/", "")
        self._known[name] = key, entry
        return entry

    def rename(self, name: object, to: object) -> str:
        """Renames a recording and its labels.

        Raises:
            Refused: there is no such recording, it is being written, or another one has the new name.
        """
        old, new = self._finished(name), self.free_path(to)
        if old.is_dir():
            new = new.with_suffix("")
            if new.suffix:
                raise Refused("The name of a recording of segments has no dot.")
        taken = taken_by(new)
        if taken:
            what = f"a table of labels {taken.name}" if taken == labels_beside(new) else f"a recording {to!r}"
            raise Refused(f"There is {what} already.", 409)
        for table in tables_of(old):
            prompted = (path for path in prompted_beside(new) if not path.exists())
            table.rename(labels_beside(new) if table == labels_beside(old) else next(prompted))
        old.rename(new)
        return name_of(new)

    def delete(self, name: object) -> None:
        """Deletes a recording, its labels, and the windows that training cached from it.

        Raises:
            Refused: there is no such recording, or it is being written.
        """
        path = self._finished(name)
        forget(self._cache, path.resolve())
        delete([path], filter(is_of_one_recording, tables_of(path)))

    def cut(self, name: object, to: object, start_s: float, end_s: float) -> str:
        """Makes a recording from a piece of another, with the labels inside it.

        Raises:
            Refused: there is no such recording or piece, or not enough space for it.
        """
        recording, path = self.recording(name), self.new_path(to)
        if not 0 <= start_s < end_s <= recording.duration_s + 1 or end_s - start_s < _SHORTEST_PIECE_S:
            raise Refused("A piece has a start and an end inside its recording.")
        share = min(1.0, (end_s - start_s) / max(recording.duration_s, 1e-9))
        if (
            shutil.disk_usage(self.folder).free
            < share * sum(size for size, _ in state_of(recording.path)) + _ROOM_BYTES
        ):
            raise Refused("There is not enough room on the disk.", 507)
        first_ns = recording.start_ns + round(start_s * 1e9)
        last_ns = recording.start_ns + round(end_s * 1e9)
        copy_piece(RecordingIndex(recording), path, first_ns, last_ns)
        piece = Recording(path)
        inside = [
            Segment(max(row.start_ns, piece.start_ns), min(row.end_ns, last_ns), row.activity)
            for row in read_segments(recording)
            if row.end_ns > piece.start_ns and row.start_ns < last_ns
        ]
        if inside:
            write_labels(labels_beside(path), inside, piece, replace=True)
        return path.stem

    def _finished(self, name: object) -> Path:
        """The path of a recording that no run is writing.

        Raises:
            Refused: there is no such recording, or it is being written.
        """
        path = self.path(name)
        with suppress(RecordingError):  # a recording that cannot be read may be deleted
            if self.recording(name).cut and _just_changed(path):
                raise Refused(f"{name} is still being recorded, or was cut short just now. Wait a minute.", 409)
        return path


def _just_changed(path: Path) -> bool:
    return time.time() - max(mtime_ns for _, mtime_ns in state_of(path)) / 1e9 < _GROWING_S


def name_of(path: Path) -> str:
    """The name of a recording on the page."""
    return path.stem if path.suffix == ".mcap" else path.name


def state_of(path: Path) -> Tuple[Tuple[int, int], ...]:
    """Size and modification time of a file, or of each segment in a folder. If they change, the content has changed."""
    states = [file.stat() for file in segments_of(path) or [path]]
    return tuple((state.st_size, state.st_mtime_ns) for state in states)


def read_segments(recording: Recording) -> List[Segment]:
    """The labels beside a recording, on its monotonic clock; none if there is no table.

    Rows ``uncertain`` are among them, which nothing learns from until a person names them.

    Raises:
        LabelsError: the table is invalid, or covers several recordings.
    """
    path, labels = recording.path, labels_beside(recording.path)
    if not labels.exists():
        return []
    table = LabelTable(labels)
    if not table.rows and not table.problems:
        return []
    by_recording = read_labels(labels, recording, examples=1, open_questions=True)
    if set(by_recording) != {path.resolve()}:
        raise LabelsError(f"{labels.name} holds labels of several recordings, and is not changed here")
    return by_recording[path.resolve()]


def _counts(segments: List[Segment]) -> Dict[str, List[float]]:
    counts: Dict[str, List[float]] = defaultdict(lambda: [0, 0.0])
    for start_ns, end_ns, activity in segments:
        counts[activity][0] += 1
        counts[activity][1] = round(counts[activity][1] + (end_ns - start_ns) / 1e9, 2)
    return dict(counts)


def lifetime_of(text: object) -> Optional[str]:
    """An expiry such as ``30d``; None if there is none.

    Raises:
        Refused: the text is not such a time.
    """
    if text in (None, ""):
        return None
    try:
        parse_lifetime(str(text))
    except ValueError as error:
        raise Refused(str(error)) from error
    return str(text)


def participant_of(text: object) -> Optional[str]:
    """Whom a new recording shows; None if nobody says.

    Raises:
        Refused: the text is not one line.
    """
    if text in (None, ""):
        return None
    if not isinstance(text, str):
        raise Refused("participant: expected a line of text.")
    try:
        return one_line(text)
    except ValueError as error:
        raise Refused(f"participant: {error}.") from error
