"""The command without a name: the options of ``cosmo-runtime``, which recognises live or from a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmo_runtime.runtime.cli.common import version
from cosmo_runtime.runtime.cli.options import add_bundle, add_home, add_rig, add_run_metadata
from cosmo_runtime.runtime.cli.page import add_page
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import ENGINES, new_recording

_HELP = """\
other commands (each has its own --help):
  cosmo-runtime web        see, record, label and teach in a browser
  cosmo-runtime record     record the sensors without recognising
  cosmo-runtime episodes   show what was done when, and the minutes of each activity by day
  cosmo-runtime alarms     show alarms, and acknowledge them
  cosmo-runtime status     show whether the run with --home is well
  cosmo-runtime info       show what a recording holds and how it was made
  cosmo-runtime evaluate   measure how often a model is right on labelled recordings
  cosmo-runtime label      propose labels for a recording, for you to correct
  cosmo-runtime export     write a recording as tables: Parquet or CSV
  cosmo-runtime import     make a recording from a ROS bag
  cosmo-runtime sync       find the delays between sensors, and correct them
  cosmo-runtime purge      delete expired recordings
  cosmo-runtime build      build an engine for this machine's GPU
  cosmo-runtime doctor     show what is attached, what is wrong and how to fix it
  cosmo-runtime files      show where the example configuration, udev rules and services are
  cosmo-runtime bench      measure latency, throughput, memory and energy
  cosmo-runtime bundle     list the models, and choose the one in use
  cosmo-runtime finetune   adapt a model to one person and one room, from a labelled recording
  cosmo-runtime pretrain   train encoders on unlabelled data (stage 1 of Cosmo)

examples:
  cosmo-runtime --sensors imu,depth,radar --emulate person      no hardware needed
  cosmo-runtime --sensors imu,depth,radar --config cosmo.toml --record today.mcap
  cosmo-runtime --sensors imu,depth,radar --replay today.mcap --speed max --output -
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime",
        description="Recognises what a person is doing, from an IMU, a depth camera and a mmWave radar.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"cosmo-runtime {version()}")
    add_rig(command)
    add_bundle(command)
    command.add_argument(
        "--follow", action="store_true", help="switch to another model when `bundle use` puts it in use"
    )
    command.add_argument(
        "--engine",
        choices=ENGINES,
        help="the engine that runs the model (default: auto, the fastest one that `build` verified)",
    )
    command.add_argument(
        "--save-energy", action="store_true", help="do not use cameras and radars while the model is sure without them"
    )
    command.add_argument(
        "--auto-sync", action="store_true", help="correct the times of a sensor that are off by more than 100 ms"
    )
    command.add_argument("--replay", type=Path, metavar="RECORDING", help="play a recording instead of using sensors")
    command.add_argument(
        "--speed", choices=("1", "max"), default="1", help="speed of the replay (default: 1, real time)"
    )
    command.add_argument("--record", type=new_recording, metavar="FILE.mcap|FOLDER", help="also record all sensors")
    add_run_metadata(command)
    add_home(command)
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE|-",
        help="append one line of JSON per prediction; - is standard output (default: -, unless that is a terminal)",
    )
    command.add_argument("--summary", type=Path, metavar="FILE.json", help="also write the closing summary to a file")
    command.add_argument("--web", action="store_true", help="also serve the page, see `cosmo-runtime web --help`")
    add_page(command)
    command.set_defaults(page_only=False)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code. What it needs takes longer to import than its help to show."""
    from cosmo_runtime.runtime.cli import recognise

    return recognise.run(options)
