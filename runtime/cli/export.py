"""``cosmo-runtime export``: a recording as tables, for pandas and whatever else reads Parquet or CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmo_runtime.runtime.cli.common import DONE, UsageError, say
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.signals import end_like_ctrl_c
from cosmo_runtime.runtime.cli.values import sensor_names
from cosmo_runtime.runtime.exchange.export import FORMS, corrected_sensors, export
from cosmo_runtime.sensors.recording import Recording

_HELP = """\
A table has one row per sample (IMU, camera) or one row per point (radar; a frame without points has one empty row):
  sample      number of the sample, from 0
  stamp_s     seconds from the recording's start, as `cosmo_runtime.read_recording` gives them
  time        wall time, UTC
  …           what was measured, with the unit at the end of the name; empty where nothing was
Depth is in metres, 0 where nothing was measured. Parquet has one list `depth_m` per frame, row by row from the top
left, with `height` and `width`. CSV has no place for images: they are in NAME.npy, for numpy.load, as (frames, height,
width).
`purge` does not find these tables: delete them yourself when the person asks for it.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime export",
        description="Writes a recording as tables, one per sensor, into a new folder.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("recording", type=Path, metavar="RECORDING", help="a file, or a folder of segments")
    command.add_argument("--to", choices=FORMS, required=True, help="format; Parquet keeps types and is smaller")
    command.add_argument("--sensors", type=sensor_names, metavar="NAMES", help="sensors to write (default: all)")
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="the new folder (default: RECORDING-parquet or RECORDING-csv)"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    end_like_ctrl_c()
    recording = Recording(options.recording)
    sensors = options.sensors or list(recording.infos)
    unknown = [name for name in sensors if name not in recording.infos]
    if unknown:
        held = ", ".join(recording.infos) or "none"
        raise UsageError(f"--sensors: {options.recording} has no {', '.join(unknown)}; it has {held}")
    path = recording.path.resolve()
    folder = options.out or path.with_name(f"{path.stem if path.is_file() else path.name}-{options.to}")
    samples = export(recording, sensors, options.to, folder)
    if recording.cut:
        say(f"{recording.path}: was cut short by a kill or a full disk; the tables end there")
    corrected = [name for name in sensors if name in corrected_sensors(recording)]
    if corrected:
        say(f"{', '.join(corrected)}: --auto-sync corrected the times; taken_off_ms is what it took off each")
    say(f"{folder}: samples: " + ", ".join(f"{name} {number}" for name, number in samples.items()))
    return DONE
