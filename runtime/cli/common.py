"""Shared by all commands: exit codes, errors and messages. Every command imports it, so it imports little."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table

    from cosmo_runtime.runtime.config import Config
    from cosmo_runtime.sensors.recording import Recording

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

    configured = config.recognition.bundle
    named = options.bundle or (configured and (Shelf().named(str(configured)) or configured))
    in_use = named or Shelf(motion=getattr(options, "emulate", None)).in_use
    if not named and not in_use.exists():
        raise BundleError(f"{in_use} is in use but does not exist. Choose another: cosmo-runtime bundle use NAME")
    return in_use


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


def say_left_out(recording: Recording, model: str, known: Sequence[str]) -> None:
    """Says which sensors of a recording a model has not learned, because what they saw counts for nothing then."""
    strange = [name for name in recording.infos if name not in known]
    if strange:
        names = ", ".join(strange)
        say(f"{recording.path}: {names} left out: {model} knows no such sensor. It knows {', '.join(known)}")


def show_table(table: Table) -> None:
    """Prints a table on standard output, as wide as the terminal, or up to 250 columns in a file or a pipe."""
    Console(width=None if TERMINAL.is_terminal else 250).print(table)
