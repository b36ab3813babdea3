"""``cosmo-runtime doctor``: shows what is attached, what is wrong, and how to fix it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.cli.common import DONE, FAILED, chosen_bundle
from cosmo_runtime.runtime.cli.options import SENSORS_HELP, add_bundle, add_emulate
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import sensor_names
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.doctor import examine


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser("cosmo-runtime doctor", description="Shows what is attached, what is wrong and how to fix it.")
    command.add_argument("--sensors", type=sensor_names, metavar="NAMES", help=SENSORS_HELP)
    command.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="configuration file (default: find the sensors automatically)"
    )
    add_emulate(command)
    add_bundle(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    config = load_config(options.config)
    bundle = options.bundle and Shelf().called(options.bundle)
    given = {"--config": options.config, "--bundle": bundle, "--emulate": options.emulate}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    well = examine(
        options.sensors or list(config.described),
        config,
        chosen_bundle(options, config),
        Console(soft_wrap=True),
        words,
        options.emulate,
    )
    return DONE if well else FAILED
