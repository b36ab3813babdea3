"""What several commands share: how they fail and speak, and opening a rig."""

from __future__ import annotations

import argparse
import re
import signal
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from rich.console import Console

from models.bundle import BundleError
from models.shelf import Shelf
from runtime.config import Config
from runtime.expiry import parse_lifetime
from runtime.live import LiveSource, connect_all
from runtime.replay import WindowCheck
from sensors.events import Event, Sample, Tick
from sensors.recording import RecordingWriter
from sensors.rig import SENSOR_NAMES, open_sensors
from sensors.sensor import Sensor, SensorError, SensorInfo

CACHE = Path.home() / ".cache" / "cosmo-runtime"
"""Where training keeps windows that it has decoded, unless it is told otherwise."""

DONE, FAILED, USAGE = 0, 1, 2
"""Exit codes of all commands."""

TERMINAL = Console()

SENSORS_HELP = "any of imu,depth,radar"


class UsageError(Exception):
    """The command line asks for something that makes no sense."""


class Failure(Exception):
    """A command could not do it; the message is for people."""


def chosen_bundle(options: argparse.Namespace, config: Config) -> Path:
    """The folder of the bundle that the command line or the configuration names, or else of the one in use.

    Raises:
        BundleError: the one in use is gone, or nobody can say which one it is.
    """
    named = options.bundle or config.recognition.bundle
    in_use = named or Shelf().in_use
    if not named and not in_use.exists():
        raise BundleError(f"{in_use} is in use but gone; put another in use: cosmo-runtime bundle use NAME")
    return in_use


class Run(NamedTuple):
    """An open source of events: ``check`` compares windows where a replay can see those of the live run again."""

    events: Iterator[Event]
    infos: Dict[str, SensorInfo]
    stop: threading.Event
    title: str
    wall_offset_ns: Callable[[], int]
    check: Optional[WindowCheck] = None


def open_live(
    options: argparse.Namespace,
    config: Config,
    stack: ExitStack,
    make_source: Callable[[Sequence[Sensor]], LiveSource] = LiveSource,
) -> Run:
    """Connects the sensors, emulated or real; they are released when the stack unwinds."""
    if options.emulate:
        from sensors.emulation.rig import EmulatedRig

        rig = stack.enter_context(EmulatedRig(options.emulate, options.sensors, config.imu.protocol))
        sensors = rig.sensors(config)
    else:
        sensors = open_sensors(options.sensors, config)
    for sensor in sensors:
        stack.callback(sensor.disconnect)
    errors = connect_all(sensors)
    if errors:
        instead = f"No hardware at hand? Try: cosmo-runtime --sensors {','.join(options.sensors)} --emulate person"
        raise SensorError("\n".join([*map(str, errors.values()), *([] if options.emulate else [instead])]))
    stop = stop_on_signals()
    source = make_source(sensors)
    if options.emulate:
        rig.listen(source.put, stop.set)
    stack.enter_context(source)
    infos = {sensor.info.name: sensor.info for sensor in sensors}
    title = f"emulated: {options.emulate}" if options.emulate else "live"
    # asked anew for each prediction, for a device may get its time from the network long after it has started
    return Run(source.events(), infos, stop, title, lambda: time.time_ns() - time.monotonic_ns())


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C or a termination sets, so that a run ends whole; a second Ctrl-C ends it at once."""
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)
    return stop


def until(events: Iterable[Event], stop: threading.Event, duration_s: Optional[float]) -> Iterator[Event]:
    """Passes events on until they are stopped or have lasted long enough by their own clock."""
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


def check_recording(writer: RecordingWriter) -> None:
    """Says what a recording lacks.

    Raises:
        RecordingError: it stopped before the run did.
    """
    if writer.failure:
        raise writer.failure
    if writer.dropped:
        say(f"{writer.path}: the disk was too slow; {writer.dropped} events are not in it")


def say(text: str) -> None:
    """Tells the person something; standard output is for machines."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """The option of every command that runs a model."""
    parser.add_argument(
        "--bundle",
        type=bundle_folder,
        metavar="BUNDLE",
        help="name or folder of the model (default: the one in use, see `bundle list`)",
    )


def add_rig(parser: argparse.ArgumentParser) -> None:
    """The options of every command that opens sensors."""
    parser.add_argument("--sensors", type=sensor_names, required=True, metavar="NAMES", help=SENSORS_HELP)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: find everything)")
    parser.add_argument(
        "--emulate",
        type=_motion,
        metavar="MOTION",
        help="emulated devices: person[:SEED], or utd:PATH[:SUBJECTS] (real IMU and depth, synthesised radar)",
    )
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after so many seconds")


def add_expires(parser: argparse.ArgumentParser) -> None:
    """The option of every command that records."""
    parser.add_argument(
        "--expires",
        type=_lifetime,
        metavar="TIME",
        help="let `cosmo-runtime purge` delete the recording after so long: 90m, 12h, 7d, 2w",
    )


def bundle_folder(text: str) -> Path:
    """An option's value: the folder of a bundle, or its name as `bundle list` shows it."""
    return Shelf().find(text)


def new_recording(text: str) -> Path:
    """An option's value: a file that ends in .mcap, by which labels and `purge` find it again."""
    path = Path(text)
    if path.suffix != ".mcap":
        raise argparse.ArgumentTypeError(f"{text!r}: the name of a recording ends in .mcap")
    return path


def sensor_names(text: str) -> List[str]:
    """An option's value: sensors, separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SENSOR_NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected any of {', '.join(SENSOR_NAMES)}, separated by commas")
    return [name for name in SENSOR_NAMES if name in names]


def _motion(text: str) -> str:
    if not re.fullmatch(r"person(:\d+)?|utd:.+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected person, person:SEED or utd:PATH[:SUBJECTS]")
    return text


def _lifetime(text: str) -> timedelta:
    try:
        return parse_lifetime(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    """An option's value: a number of seconds above 0, of which the clock's nanoseconds can be counted."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0, at most 1e9")
    return value


def count(text: str) -> int:
    """An option's value: a number above 0."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return int(text)


def seed(text: str) -> int:
    """An option's value: a number from 0 on."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 on")
    return int(text)
