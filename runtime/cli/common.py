"""Shared by several commands: errors, messages and options. Every command imports it, so it imports little."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from rich.console import Console

from cosmo_runtime.runtime.cli.values import (
    address,
    bundle_folder,
    count,
    day_to_come,
    keep,
    lifetime,
    line,
    motion,
    seconds,
    sensor_names,
)

if TYPE_CHECKING:
    from cosmo_runtime.runtime.config import Config

DONE, FAILED, USAGE = 0, 1, 2
"""Exit codes of all commands."""


class _Terminal(Console):
    """Standard output. It counts as a terminal only if the live view can be drawn on it."""

    @property
    def is_terminal(self) -> bool:
        """False for a dumb terminal, and for a pipe even with FORCE_COLOR, which Rich would follow."""
        dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        return not dumb and sys.stdout is not None and self.file.isatty()


TERMINAL = _Terminal()

DEFAULT_HOME = Path()
"""The value of ``--home`` without a folder."""

SENSORS_HELP = "sensors to use: any of imu,depth,radar, or names from the configuration"


class UsageError(Exception):
    """The options make no sense together."""


class Failure(Exception):
    """A command failed. The message is for people."""


def chosen_bundle(options: argparse.Namespace, config: Config) -> Path:
    """The folder of the bundle that the command line or the configuration names, or else of the one in use.

    Raises:
        BundleError: the one in use is gone or unknown.
    """
    from cosmo_runtime.models.shelf import BundleError, Shelf

    named = options.bundle or config.recognition.bundle
    in_use = named or Shelf(motion=getattr(options, "emulate", None)).in_use
    if not named and not in_use.exists():
        raise BundleError(f"{in_use} is in use but does not exist. Choose another: cosmo-runtime bundle use NAME")
    return in_use


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C, a termination or the end of the terminal sets, so that a run ends properly.

    A second one of these ends it at once.
    """
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    on_signals(handle)
    return stop


def end_like_ctrl_c() -> None:
    """From now on, a termination ends the command as Ctrl-C does, so that nothing half written is left behind."""
    on_signals(signal.default_int_handler)


def on_signals(handle: Callable[[int, Any], Any]) -> None:
    """Lets a function handle Ctrl-C, a termination and the end of the terminal."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, handle)


def version() -> str:
    """The program's version."""
    try:
        return metadata.version("cosmo-runtime")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def counted(count: int, one: str, many: str) -> str:
    """A number and what it counts: ``1 activity``, ``2 activities``."""
    return f"{count} {one if count == 1 else many}"


def say(text: str) -> None:
    """Prints a message for the person on standard error, because standard output is for machines."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """The option of every command that runs a model."""
    parser.add_argument(
        "--bundle",
        type=bundle_folder,
        metavar="BUNDLE",
        help="name or folder of the model (default: the one in use; see `bundle list`)",
    )


def add_rig(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The options of every command that opens sensors."""
    parser.add_argument("--sensors", type=sensor_names, required=required, metavar="NAMES", help=SENSORS_HELP)
    parser.add_argument(
        "--at-least",
        type=count,
        metavar="N",
        help="start when N of them respond, and look for the others meanwhile (default: all)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="configuration (default: find the sensors automatically)"
    )
    parser.add_argument(
        "--emulate",
        type=motion,
        metavar="MOTION",
        help="emulated devices: person[:SEED], empty[:SEED] (a room with nobody in it), unworn[:SEED] (the IMU lies on "
        "a table), mocap:FOLDER (motion capture in BVH or DeepMimic's JSON), or utd:PATH[:SUBJECTS] (real IMU and "
        "depth, synthesised radar)",
    )
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after S seconds")


def add_story(parser: argparse.ArgumentParser) -> None:
    """The options of every command that records: whom it shows, how long to store it, and notes."""
    parser.add_argument(
        "--keep",
        type=keep,
        metavar="SIZE|TIME",
        help="keep no more than this of a folder of segments and of its predecessors: the oldest segments are deleted "
        "first, labelled ones last",
    )
    add_whose(parser)


def add_whose(parser: argparse.ArgumentParser) -> None:
    """The options of every command that makes a recording: whom it shows, and for how long it may be kept."""
    parser.add_argument(
        "--participant", type=line, metavar="WHO", help="who is recorded; `purge --participant` finds it"
    )
    parser.add_argument("--operator", type=line, metavar="WHO", help="who records")
    parser.add_argument(
        "--note", type=line, metavar="TEXT", help="anything else to keep with the recording, such as the place"
    )
    parser.add_argument(
        "--consent-until",
        type=day_to_come,
        metavar="DAY",
        help="`purge` deletes the recording after this day, such as 2027-05-31",
    )
    parser.add_argument(
        "--expires",
        type=lifetime,
        metavar="TIME",
        help="when `cosmo-runtime purge` may delete the recording: 90m, 12h, 7d, 2w",
    )


def add_home(parser: argparse.ArgumentParser) -> None:
    """The options of a run in a home."""
    parser.add_argument(
        "--metrics",
        type=address,
        metavar="ADDRESS:PORT",
        help="serve figures to Prometheus at this address, such as 127.0.0.1:9464",
    )
    parser.add_argument(
        "--home",
        type=Path,
        nargs="?",
        const=DEFAULT_HOME,
        metavar="FOLDER",
        help="keep a log of what is done and when (`cosmo-runtime episodes` shows it), and raise the alarms and tell "
        "the MQTT broker of the configuration",
    )
