"""What several commands do with a rig and with recordings: open them, and say what is wrong with them."""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Union

from rich.filesize import decimal

from cosmo_runtime.runtime.cli.common import UsageError, say, version
from cosmo_runtime.runtime.cli.signals import on_signals, stop_on_signals
from cosmo_runtime.runtime.config import Config
from cosmo_runtime.runtime.labels.new_name import free_path, taken_by
from cosmo_runtime.runtime.retention.expiry import ClockNotSet, expires
from cosmo_runtime.runtime.retention.keeping import Keeper
from cosmo_runtime.runtime.run import Run, open_live
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sources.live import LiveSource
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter, SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo

_NOT_OF_A_CLIP = ("windows", "bundle", "segment")  # what a recording says of itself alone


def connect_rig(
    options: argparse.Namespace,
    config: Config,
    stack: ExitStack,
    make_source: Callable[..., LiveSource] = LiveSource,
) -> Run:
    """Opens the rig that the options name; see ``runtime.run.open_live``.

    A signal before the sensors have connected ends the command with ``KeyboardInterrupt``, whatever they wait for. If a
    library swallows that, the run ends as soon as it has begun.
    """
    if options.at_least and options.at_least > len(options.sensors):
        raise UsageError(f"--at-least {options.at_least}: --sensors names only {len(options.sensors)}")
    came: List[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def make_stop() -> threading.Event:
        stop = stop_on_signals()
        if came:
            stop.set()
        return stop

    on_signals(interrupt)
    return open_live(
        options.sensors,
        config,
        stack,
        emulate=options.emulate,
        at_least=options.at_least,
        make_source=make_source,
        make_stop=make_stop,
    )


def free_recording(path: Path) -> Path:
    """A free path for a recording: the path itself, or if its name is taken a similar one, with a message.

    So a service can be restarted with the same command, and keeps its earlier recordings.
    """
    taken = taken_by(path)
    if taken is None:
        return path
    free = free_path(path)
    say(f"{taken} already exists. This run is recorded to {free}")
    return free


def check_recording(sink: RecordingSink) -> None:
    """Reports what a recording lacks.

    Raises:
        RecordingError: it stopped before the run ended, or was deleted.
    """
    if sink.trouble and not sink.goes_on:
        raise RecordingError(sink.trouble)
    if sink.trouble:
        say(sink.trouble)


def open_writer(
    asked: Path, path: Path, options: argparse.Namespace, infos: Mapping[str, SensorInfo], about: Mapping[str, str]
) -> Union[RecordingWriter, SegmentedWriter]:
    """A writer of a file, or of a folder of segments with a limited size.

    Args:
        asked: the path that the command was given. ``--keep`` goes for it and for those that later runs of the same
            command got instead: ``box-7``, ``box-7-2``, …, but never for ``box``.
        path: a path that does not exist.
        options: the command's options, with ``keep``.
        infos: the sensors' infos.
        about: the recording's metadata.
    """
    if path.suffix:
        if options.keep:
            raise UsageError("--keep needs a folder of segments: leave out .mcap")
        return RecordingWriter(path, infos, about)

    def expiry() -> Dict[str, str]:
        try:
            return expires(options.expires)
        except ClockNotSet:  # the clock was set back while it records; the run's own expiry stays
            return {}

    if not options.keep:
        return SegmentedWriter(path, infos, about, own_metadata=expiry)
    keeper, segment_bytes = Keeper(asked, options.keep), options.keep.segment_bytes
    with suppress(OSError):  # the writer says what is wrong with the folder
        room = keeper.room_bytes()
        if room < (options.keep.bytes or 0):
            say(f"--keep: the disk has room for {decimal(room)} only. When it is full, recording stops. Keep less")
    return SegmentedWriter(path, infos, about, own_metadata=expiry, when_turned=keeper, segment_bytes=segment_bytes)


def run_metadata(options: argparse.Namespace, config: Config, run: Run) -> Dict[str, str]:
    """What every recording of a run says, but for its expiry: whom it shows, and how it was made.

    That of a replay, which is a clip of an alarm, says what the replayed recording says, with its expiry.
    """
    if run.recorded is not None:
        recorded = {key: value for key, value in run.recorded.items() if key not in _NOT_OF_A_CLIP}
        return {**participant_metadata(options), **recorded, "source": run.title, "version": version()}
    from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG  # a replay needs no driver

    rig = {name: config.sensor(name) for name in options.sensors}
    chirps = {
        f"chirps.{name}": (getattr(sensor.config, "cfg", None) or DEFAULT_CFG).read_text("utf-8", "replace")
        for name, sensor in rig.items()
        if sensor.kind == "radar"
    }
    return {
        "source": run.title,
        **participant_metadata(options),
        "configuration": options.config.read_text("utf-8-sig") if options.config else "",
        **chirps,
    }


def participant_metadata(options: argparse.Namespace) -> Dict[str, str]:
    """Whom a recording shows, until when they consent, and what made it."""
    notes = {"participant": options.participant, "operator": options.operator, "note": options.note}
    return {
        **{key: value for key, value in notes.items() if value},
        **({"consent_until": options.consent_until.isoformat()} if options.consent_until else {}),
        "version": version(),
    }
