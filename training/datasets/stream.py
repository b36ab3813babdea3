"""Training windows from a stream of events. They use the runtime's own aligner and features, so both see the same."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional

from cosmo_runtime.models.features import features
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Truth
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import UNLABELLED, Windows

Activity = Callable[[TruthLine, int, int], Optional[str]]
"""Returns the activity of a window (start_ns, end_ns], given everything that was true, or None for no label."""


def throughout(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    """The activity that fills a window; None if it changes."""
    return truths.throughout(start_ns, end_ns)


def at_middle(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    """The activity at a window's middle, even if it changes."""
    return truths.at((start_ns + end_ns) // 2)


def windows_of(
    events: Iterable[Event],
    spec: ModelSpec,
    infos: Mapping[str, SensorInfo],
    activity: Activity,
    group: object,
    recording: str,
) -> Windows:
    """Cuts events into windows, one a hop.

    Args:
        events: the events of one recording, in the order of the run.
        spec: the windows' spec. An activity that is not one of its classes gives no label.
        infos: the sensors' infos by name.
        activity: gives a window its label.
        group: the person in the recording.
        recording: its name.

    Raises:
        DataSetError: the events do not fill one window.
    """
    aligner = Aligner(spec, infos)
    truths = TruthLine()
    inputs, presence, ends_ns = [], [], []
    for event in events:
        if isinstance(event, Truth):
            truths.add(event)
        for window in aligner.feed(event):
            inputs.append(features(spec, window.arrays))
            presence.append([window.present[name] for name in spec.sensors])
            ends_ns.append(window.end_ns)
    if not inputs:
        raise DataSetError(
            f"{recording} holds no window of {spec.window_s:g} s of {', '.join(spec.sensors)}. "
            f"Take a longer one, or a spec of the sensors that were recorded."
        )
    index = {name: number for number, name in enumerate(spec.classes)}
    activities = [activity(truths, end_ns - spec.window_ns, end_ns) for end_ns in ends_ns]
    labels = [UNLABELLED if name is None else index.get(name, UNLABELLED) for name in activities]
    return Windows.stack(spec, inputs, presence, labels, [group] * len(labels), [recording] * len(labels))
