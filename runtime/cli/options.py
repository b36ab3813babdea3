"""Options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

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

DEFAULT_HOME = Path()
"""The value of ``--home`` without a folder."""

SENSORS_HELP = "sensors to use: any of imu,depth,radar, or names from the configuration"


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
        help="start as soon as N sensors respond, and keep looking for the others (default: all must respond)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="configuration file (default: find the sensors automatically)"
    )
    add_emulate(parser)
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after S seconds")


def add_emulate(parser: argparse.ArgumentParser) -> None:
    """The option of every command that can do without hardware."""
    parser.add_argument(
        "--emulate",
        type=motion,
        metavar="MOTION",
        help="use emulated devices: person[:SEED], empty[:SEED] (a room with nobody in it), unworn[:SEED] (the IMU "
        "lies on a table), mocap:FOLDER[:SEED] (motion capture in BVH or DeepMimic's JSON), or utd:PATH[:SUBJECTS] "
        "(real IMU and depth, synthesised radar)",
    )


def add_run_metadata(parser: argparse.ArgumentParser) -> None:
    """The options of every command that records: whom it shows, how long to store it, and notes."""
    parser.add_argument(
        "--keep",
        type=keep,
        metavar="SIZE|TIME",
        help="keep at most this much of a folder of segments, such as 20GB (at least 100MB) or 7d; recordings of "
        "earlier runs with this name count too. Deletes the oldest segments first, labelled ones last",
    )
    add_participant_metadata(parser)


def add_participant_metadata(parser: argparse.ArgumentParser) -> None:
    """The options of every command that makes a recording: whom it shows, and for how long it may be kept."""
    parser.add_argument(
        "--participant", type=line, metavar="WHO", help="who is recorded; `purge --participant WHO` deletes it"
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
        help="`purge` deletes the recording after this time: 90m, 12h, 7d, 2w",
    )


def add_home(parser: argparse.ArgumentParser) -> None:
    """The options of a run in a home."""
    parser.add_argument(
        "--metrics",
        type=address,
        metavar="ADDRESS:PORT",
        help="serve metrics for Prometheus at this address, such as 127.0.0.1:9464",
    )
    parser.add_argument(
        "--home",
        type=Path,
        nargs="?",
        const=DEFAULT_HOME,
        metavar="FOLDER",
        help="keep a log of what was done when (`cosmo-runtime episodes` shows it), raise the alarms of the "
        "configuration, and report to its MQTT broker (default folder: this user's)",
    )


def add_home_folder(parser: argparse.ArgumentParser) -> None:
    """The option of every command that reads what a run in a home has left in its folder."""
    parser.add_argument(
        "--home", type=Path, metavar="FOLDER", help="the --home folder of the run (default: this user's)"
    )
