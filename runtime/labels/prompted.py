"""The table of labels that grows while a person is prompted."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

from cosmo_runtime.runtime.labels.table import labels_beside, prompted_beside, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording


class PromptedLabels:
    """The labels of a prompted recording. They are written anew whenever something was done or is to be repeated.

    A table that somebody else makes or changes meanwhile stays as it is. The labels then go into another table.

    Args:
        path: the new recording, which has no table yet.

    Attributes:
        table: where the labels are written.
    """

    def __init__(self, path: Path) -> None:
        self.table = labels_beside(path)
        self._path = path
        self._written: Optional[bytes] = None
        self._recording: Optional[Recording] = None  # once it has content

    @property
    def warning(self) -> str:
        """What a person must know if the labels are not beside the recording; empty if they are."""
        usual = labels_beside(self._path)
        if self.table == usual:
            return ""
        return f"Somebody else changed {usual.name} meanwhile. It stays; the prompted labels are in {self.table.name}."

    def keep(self, done: Sequence[Segment], whole: bool = False) -> None:
        """Writes everything that was done so far.

        Args:
            done: what was done when, on the recording's monotonic clock.
            whole: whether the recording has ended.

        Raises:
            LabelsError: the table cannot be written.
            RecordingError: the recording cannot be read.
        """
        if not done and self._written is None:
            return
        if whole or self._recording is None or self._recording.start_ns == 0:  # nothing of it was on the disk
            self._recording = Recording(self._path)
        while True:
            try:
                self._written = write_labels(self.table, done, self._recording, replace=True, check=self._check)
            except _Changed:
                self.table, self._written = self._free_table(), None
            else:
                return

    def _check(self) -> None:
        if _content(self.table) != self._written:
            raise _Changed

    def _free_table(self) -> Path:
        return next(table for table in prompted_beside(self._path) if not table.exists())


class _Changed(Exception):
    """Somebody else has made or changed the table."""


def _content(table: Path) -> Optional[bytes]:
    try:
        return table.read_bytes()
    except FileNotFoundError:
        return None
