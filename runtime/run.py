"""Opens a source of events: live sensors, emulated ones, or a recording. All commands use this module."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Callable, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.sources.live import LiveSource, connect_all, disconnect_all
from cosmo_runtime.runtime.sources.replay import WindowCheck, is_same_run, replay, windows_key
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import RigConfig
from cosmo_runtime.sensors.events import Event, Sample, Tick
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorError, SensorInfo

_EMULATED = "emulated: "  # the title of an emulated run, and the source in its recording, begin with this
_REAL_MOTIONS = ("utd:", "mocap:")  # of real people


class Run(NamedTuple):
    """An open source of events.

    Attributes:
        events: the sensors' events in order.
        infos: the sensors' infos by name.
        stop: set it to end the events.
        title: describes the source.
        wall_offset_ns: the wall clock minus the host's monotonic clock, at a time of the latter.
        check: compares windows with those of the live run, if a replay can see the same ones.
        simulated: whether the sensors see a simulated person or room.
        recorded: the metadata of the recording that is replayed; None in a live run.
    """

    events: Iterator[Event]
    infos: Dict[str, SensorInfo]
    stop: threading.Event
    title: str
    wall_offset_ns: Callable[[int], int]
    check: Optional[WindowCheck] = None
    simulated: bool = False
    recorded: Optional[Mapping[str, str]] = None


def open_live(
    names: Sequence[str],
    config: RigConfig,
    stack: ExitStack,
    *,
    emulate: Optional[str] = None,
    at_least: Optional[int] = None,
    make_source: Callable[..., LiveSource] = LiveSource,
    make_stop: Callable[[], threading.Event] = threading.Event,
) -> Run:
    """Connects sensors, emulated or real. They are released when the stack unwinds.

    Args:
        names: names of the sensors.
        config: the rig's configuration.
        stack: closes everything that is opened.
        emulate: the motion that an emulated rig plays, instead of real sensors.
        at_least: how many sensors must connect, by default all. The run keeps trying to connect the others.
        make_source: makes the source of events. The bench passes one that stamps them.
        make_stop: makes the event that ends the run, once the sensors are connected.

    Raises:
        SensorError: a sensor cannot be used.
    """
    if emulate:
        from cosmo_runtime.sensors.emulation.rig import EmulatedRig

        rig = stack.enter_context(EmulatedRig(emulate, names, config))
        sensors = rig.sensors()
    else:
        from cosmo_runtime.sensors.rig import open_sensors  # a replay needs no drivers

        sensors = open_sensors(names, config)
    stack.callback(disconnect_all, sensors)
    errors = connect_all(sensors)
    if errors and len(sensors) - len(errors) < (len(sensors) if at_least is None else at_least):
        instead = f"No hardware at hand? Try: cosmo-runtime --sensors {','.join(names)} --emulate person"
        raise SensorError("\n".join([*map(str, errors.values()), *([] if emulate else [instead])]))
    stop = make_stop()
    source = make_source(sensors, missing={name: str(error) for name, error in errors.items()})
    if emulate:
        rig.listen(source.put, stop.set)
    stack.enter_context(source)
    infos = {sensor.info.name: sensor.info for sensor in sensors}
    title = f"{_EMULATED}{emulate}" if emulate else "live"

    # read for each prediction, because a device may get its time from the network long after it has started
    def wall_offset_ns(_: int) -> int:
        return time.time_ns() - time.monotonic_ns()

    return Run(source.events(), infos, stop, title, wall_offset_ns, simulated=_simulated(title))


def open_replay(
    recording: Recording,
    names: Sequence[str],
    spec: ModelSpec,
    lateness_ms: float,
    *,
    paced: bool,
    raw: bool = True,
    make_stop: Callable[[], threading.Event] = threading.Event,
) -> Run:
    """Opens a recording to be cut into windows like a live run.

    Args:
        recording: the recording to play.
        names: names of the wanted sensors. Those that it lacks are skipped.
        spec: the model's spec.
        lateness_ms: how long windows wait for a late sensor.
        paced: whether to play at the original pace.
        raw: whether samples bring the devices' own bytes, too.
        make_stop: makes the event that ends the run.

    Raises:
        RecordingError: its information on its own run's windows is damaged.
    """
    infos = {name: recording.infos[name] for name in names if name in recording.infos}
    same_run = is_same_run(recording, infos, windows_key(spec, lateness_ms))
    stop = make_stop()
    raw_aligner = Aligner(spec, infos, lateness_ms / 1e3, raw=True)
    check = WindowCheck(recording, raw_aligner) if same_run else None
    events = replay(recording, infos, same_run, paced, stop.is_set, check, raw)
    title = f"replay of {recording.path.name}"
    simulated = _simulated(recording.metadata.get("source", ""))

    def wall_offset_ns(at_ns: int) -> int:
        return recording.wall_ns(at_ns) - at_ns

    return Run(events, infos, stop, title, wall_offset_ns, check, simulated, recording.metadata)


def _simulated(title: str) -> bool:
    return title.startswith(_EMULATED) and not title[len(_EMULATED) :].startswith(_REAL_MOTIONS)


def until(events: Iterable[Event], stop: threading.Event, duration_s: Optional[float]) -> Iterator[Event]:
    """Passes events on until they are stopped, or have lasted long enough by their own clock."""
    end_ns: Optional[int] = None
    for event in events:
        if stop.is_set():
            return
        if duration_s is not None and isinstance(event, (Sample, Tick)):
            now_ns = event.arrival_ns if isinstance(event, Sample) else event.now_ns
            end_ns = now_ns + round(duration_s * 1e9) if end_ns is None else end_ns
            if now_ns > end_ns:
                return
        yield event
