"""Recordings of this runtime as training windows."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from cosmo_runtime.kinds import Kinds, UnknownKind
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.runtime.retention.cached_windows import RECORDING, RecordingFile
from cosmo_runtime.runtime.sources.replay import replay
from cosmo_runtime.sensors.events import Event, host_ns
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.training.datasets.store import DataSetError, decoded_once
from cosmo_runtime.training.datasets.stream import throughout, windows_of
from cosmo_runtime.training.windows import Windows

_WINDOW_S, _HOP_S = 2.0, 0.5
_WIDE = 1.5  # width / height of an image

Step = Tuple[float, Tuple[int, ...]]
"""Steps a second, and the shape of one step."""

STEPS: Kinds[Callable[[SensorInfo], Step]] = Kinds("how windows of it are cut where no model says so")
STEPS.register("imu", lambda _: (50.0, (6,)))
STEPS.register("radar", lambda _: (20.0, (32, 5)))
STEPS.register("depth", lambda info: (10.0, (27, 48) if _aspect(info) > _WIDE else (30, 40)))


def usual_spec(paths: Sequence[Path], in_use: ModelSpec) -> ModelSpec:
    """The spec of the model in use if it knows every recorded sensor; otherwise one of all recorded sensors.

    Raises:
        DataSetError: a recording is missing or damaged, or has a sensor of an unknown kind; or one name stands for
            different sensors.
    """
    found: List[Tuple[Path, SensorInfo]] = []
    for path in paths:
        try:
            found += [(path, info) for info in Recording(path).infos.values()]
        except RecordingError as error:
            raise DataSetError(str(error)) from error
    if all(in_use.kinds.get(info.name) == info.kind for _, info in found):
        return in_use
    infos: Dict[str, SensorInfo] = {}
    steps: Dict[str, Step] = {}
    for path, info in found:
        try:
            step = STEPS[info.kind](info)
        except UnknownKind as error:
            raise DataSetError(f"{path}: {error}; name a model that knows it by --bundle") from error
        name = info.name
        if name in infos and (infos[name].kind, steps[name]) != (info.kind, step):
            raise DataSetError(f"{path}: {name} is another sensor than in {paths[0]}; name a model by --bundle")
        infos[name], steps[name] = info, step
    return ModelSpec(
        modalities=tuple(
            ModalitySpec(sensor=name, kind=info.kind, rate_hz=steps[name][0], shape=steps[name][1])
            for name, info in infos.items()
        ),
        window_s=_WINDOW_S,
        hop_s=_HOP_S,
        classes=(NONE,),
        quality=(1 / len(infos),) * len(infos),
    )


def _aspect(info: SensorInfo) -> float:
    return info.intrinsics["width"] / info.intrinsics["height"] if info.intrinsics else 1.0


def windows(
    path: Path,
    spec: ModelSpec,
    cache: Optional[Path],
    segments: Optional[Sequence[Segment]] = None,
    group: Optional[str] = None,
) -> Windows:
    """The windows of one recording, as a replay would see them.

    Args:
        path: the ``.mcap`` file.
        spec: the windows' spec. A sensor that was not recorded is absent from all windows.
        cache: the folder for decoded windows; if None, they are not stored.
        segments: who did what when, on the recording's monotonic clock. A window has the label of the segment at its
            middle, because an action may be shorter than a window; without a segment there, it has no label. If None,
            labels come from the recording itself, if it is of an emulated rig or a labelled session, and a window has
            one if a single activity fills it.
        group: the person in the recording; by default the file's name.

    Returns:
        The windows; ``recordings`` are the file's name.

    Raises:
        DataSetError: the file is missing or damaged, or has no window; or the spec lacks a segment's activity.
    """
    path = Path(path).resolve()
    unknown = sorted({segment.activity for segment in segments or ()} - set(spec.classes))
    if unknown:
        raise DataSetError(f"{path}: the activities {unknown} are none of the model's: {', '.join(spec.classes)}")
    try:
        file = RecordingFile.of(path)
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read ({error.strerror}). Give a recording (.mcap).") from error
    if cache is None:
        return _decode(path, spec, segments, group)
    # a recording may still be growing
    key = (file.path, file.size, file.mtime_ns, spec, segments and list(segments), group)
    return decoded_once(cache, RECORDING, key, lambda: _decode(path, spec, segments, group), file)


def _decode(path: Path, spec: ModelSpec, segments: Optional[Sequence[Segment]], group: Optional[str]) -> Windows:
    def labelled(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
        """The activity of the segment that contains the middle of a window (start_ns, end_ns]."""
        middle_ns = (start_ns + end_ns) // 2
        return next((s.activity for s in segments or () if s.start_ns <= middle_ns < s.end_ns), None)

    try:
        recording = Recording(path)
        stream = _within_memory(replay(recording, spec.sensors, own_ticks=False, paced=False), spec, path)
        return windows_of(
            track(stream, escape(path.name), total=None, console=Console(stderr=True)),
            spec,
            recording.infos,
            throughout if segments is None else labelled,
            group or path.name,
            path.name,
        )
    except RecordingError as error:
        raise DataSetError(str(error)) from error
    except ValueError as error:  # values that no sensor measures
        raise DataSetError(f"{path}: {error}") from error


def _within_memory(events: Iterable[Event], spec: ModelSpec, path: Path) -> Iterator[Event]:
    """Passes events on while their windows fit into half of the machine's memory."""
    window_bytes = sum(4 * spec.steps(modality) * math.prod(modality.shape) for modality in spec.modalities)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most_ns = memory_bytes / 2 / window_bytes * spec.hop_ns
    seen_ns, latest_ns = 0, -1
    for event in events:
        at_ns = host_ns(event)
        if latest_ns >= 0 and at_ns > latest_ns:
            seen_ns += min(at_ns - latest_ns, spec.window_ns)  # a pause has no windows
        latest_ns = max(latest_ns, at_ns)
        if seen_ns > most_ns:
            raise DataSetError(
                f"{path}: the windows of more than {most_ns / 3600e9:.1f} h take more than half of this machine's "
                f"memory. Take a shorter recording."
            )
        yield event
