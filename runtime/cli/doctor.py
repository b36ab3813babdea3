"""``cosmo-runtime doctor``: what is attached, what is wrong, how to mend it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from runtime.cli.common import DONE, FAILED, SENSORS_HELP, add_bundle, chosen_bundle, sensor_names
from runtime.config import load_config
from runtime.doctor import examine
from sensors.rig import SENSOR_NAMES


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime doctor", description="Says what is attached, what is wrong and how to mend it."
    )
    command.add_argument("--sensors", type=sensor_names, default=SENSOR_NAMES, metavar="NAMES", help=SENSORS_HELP)
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: find everything)")
    add_bundle(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    config = load_config(options.config)
    given = {"--config": options.config, "--bundle": options.bundle}
    words = [word for name, path in given.items() if path for word in (name, str(path))]
    well = examine(options.sensors, config, chosen_bundle(options, config), Console(soft_wrap=True), words)
    return DONE if well else FAILED
