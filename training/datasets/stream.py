"""A stream of events as training windows: through the runtime's own aligner and features, so that both see the same."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional

from models.features import features
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.truth import TruthLine
from sensors.events import Event, Truth
from training.datasets.store import DataSetError
from training.windows import UNLABELLED, Windows

Activity = Callable[[TruthLine, int, int], Optional[str]]
"""The activity of a window (start_ns, end_ns], in view of all that was true; None where it should have no label."""


def throughout(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    """The activity that fills a window, none where it changes."""
    return truths.throughout(start_ns, end_ns)


def at_middle(truths: TruthLine, start_ns: int, end_ns: int) -> Optional[str]:
    """The activity at a window's middle, also where it changes."""
    return truths.at((start_ns + end_ns) // 2)


def windows_of(
    events: Iterable[Event],
    spec: ModelSpec,
    rates_hz: Mapping[str, float],
    depth_scale_m: float,
    activity: Activity,
    group: object,
    recording: str,
) -> Windows:
    """Cuts events into windows, one a hop.

    Args:
        events: of one recording, in the order of the run.
        spec: of the windows. An activity that is none of its classes gives no label.
        rates_hz: nominal, by sensor.
        depth_scale_m: metres in one step of the raw depth.
        activity: gives a window its label.
        group: whom the recording is of.
        recording: its name.

    Raises:
        DataSetError: there is not one window in it.
    """
    aligner = Aligner(spec, rates_hz)
    truths = TruthLine()
    inputs, presence, ends_ns = [], [], []
    for event in events:
        if isinstance(event, Truth):
            truths.add(event)
        for window in aligner.feed(event):
            inputs.append(features(spec, window.arrays, depth_scale_m))
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
