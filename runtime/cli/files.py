"""``cosmo-runtime files``: shows where files to copy are: the example configuration, udev rules, services."""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmo_runtime.runtime.cli.common import DONE
from cosmo_runtime.runtime.cli.parser import Parser

_ROOT = Path(__file__).parents[2]
FILES = {
    "cosmo.toml": (_ROOT, "example configuration with every key"),
    "99-cosmo.rules": (_ROOT / "sensors", "udev rules, for /etc/udev/rules.d"),
    "cosmo-runtime@.service": (_ROOT / "docs", "recognises from boot on, for /etc/systemd/system"),
    "cosmo-page@.service": (_ROOT / "docs", "serves the page in the browser, for /etc/systemd/system"),
    "cosmo-purge@.service": (_ROOT / "docs", "deletes expired recordings, for /etc/systemd/system"),
    "cosmo-purge@.timer": (_ROOT / "docs", "starts cosmo-purge@.service once a day, for /etc/systemd/system"),
}
"""By name: the folder that holds the file, and what the file is for."""

_EPILOG = """\
examples:
  cosmo-runtime files
  cp "$(cosmo-runtime files cosmo.toml)" .
  sudo cp "$(cosmo-runtime files 99-cosmo.rules)" /etc/udev/rules.d/
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime files",
        description="Lists the files that come with cosmo-runtime for you to copy. With a name, prints its path only.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", nargs="?", choices=FILES, metavar="NAME", help=f"one of {', '.join(FILES)}")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    if options.name:
        print(FILES[options.name][0] / options.name)
        return DONE
    for name, (folder, purpose) in FILES.items():
        print(f"{folder / name}\n    {purpose}")
    return DONE
