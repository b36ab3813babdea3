"""Recordings of this runtime as training windows."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional, Sequence

from rich.console import Console
from rich.progress import track

from models.spec import ModelSpec
from runtime.replay import replay
from runtime.truth import Segment, TruthLine
from sensors.events import Event
from sensors.recording import Recording, RecordingError
from training.datasets.store import DataSetError, decoded_once
from training.datasets.stream import throughout, windows_of
from training.windows import Windows


def windows(
    path: Path,
    spec: ModelSpec,
    cache: Optional[Path],
    segments: Optional[Sequence[Segment]] = None,
    group: Optional[str] = None,
) -> Windows:
    """Windows of one recording, as a replay of it would see them.

    Args:
        path: the ``.mcap`` file.
        spec: of the windows; a sensor that was not recorded is absent in all of them.
        cache: where decoded windows are kept; they are kept nowhere when None.
        segments: who did what when, on the recording's monotonic clock. A window has the label of the segment that its
            middle lies in, for an action may be shorter than a window; where there is no segment there is no label.
            Without them the labels are those of the recording itself, which an emulated rig or a labelled session has,
            and a window has one when it lies inside one activity.
        group: whom the recording is of; the file's name when absent.

    Returns:
        ``recordings`` are the file's name.

    Raises:
        DataSetError: the file is missing or damaged, or holds no window; a segment's activity is no class of the spec.
    """
    path = Path(path).resolve()
    unknown = sorted({segment.activity for segment in segments or ()} - set(spec.classes))
    if unknown:
        raise DataSetError(f"{path}: the activities {unknown} are none of the model's: {', '.join(spec.classes)}")
    try:
        state = path.stat()
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read ({error.strerror}). Give a recording (.mcap).") from error
    if cache is None:
        return _decode(path, spec, segments, group)
    # a recording may still be growing
    key = (str(path), state.st_size, state.st_mtime_ns, spec, segments and list(segments), group)
    return decoded_once(cache, "recording", key, lambda: _decode(path, spec, segments, group))


def _decode(path: Path, spec: ModelSpec, segments: Optional[Sequence[Segment]], group: Optional[str]) -> Windows:
    def labelled(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
        """The activity of the segment that the middle of a window (start_ns, end_ns] lies in."""
        middle_ns = (start_ns + end_ns) // 2
        return next((s.activity for s in segments or () if s.start_ns <= middle_ns < s.end_ns), None)

    try:
        recording = Recording(path)
        stream: Iterator[Event] = replay(recording, spec.sensors, own_ticks=False, paced=False)
        depth = recording.infos.get("depth")
        return windows_of(
            track(stream, path.name, total=None, console=Console(stderr=True)),
            spec,
            {name: info.rate_hz for name, info in recording.infos.items()},
            depth.depth_scale_m if depth else 0.0,
            throughout if segments is None else labelled,
            group or path.name,
            path.name,
        )
    except RecordingError as error:
        raise DataSetError(str(error)) from error
