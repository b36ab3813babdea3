"""The command line. ``cosmo-runtime`` alone recognises; a first word names another command.

A command is a module with ``parser()``, its options, and ``run(options)``, which returns the exit code.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Iterable, List, Optional, Sequence, Tuple, Type

from cosmo_runtime.runtime.cli import streams
from cosmo_runtime.runtime.cli.common import FAILED, TERMINAL, USAGE, UsageError, say

_COMMANDS = {
    "": "default",
    "record": "record",
    "episodes": "episodes",
    "alarms": "alarms",
    "status": "status",
    "info": "info",
    "label": "label",
    "sync": "sync",
    "evaluate": "evaluate",
    "export": "export",
    "import": "import_bag",
    "doctor": "doctor",
    "files": "files",
    "bundle": "bundle",
    "build": "build",
    "pretrain": "pretrain",
    "finetune": "finetune",
    "purge": "purge",
    "web": "web",
    "bench": "bench",
}
"""The module of each command. It is imported when it is asked for, because all of them take longer than one."""

_WITHOUT_MODELS = ("episodes", "alarms", "info", "files")
"""A person waits for these. They look at no model, so they need not import what models are."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command. Returns 0 for success, 1 for failure, 2 for wrong usage."""
    os.umask(0o077)  # what a rig sees of people at home is private, and so is everything made from it
    streams.make_usable()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            streams.flush_stdout()  # a command is done only when its output is written
    except OSError as error:
        if isinstance(error, BrokenPipeError) and error.filename == streams.STDOUT:
            return FAILED  # the reader has closed the pipe and needs no message
        return _explain(f"{error.filename}: {error.strerror}" if error.filename else error, FAILED)


def _run(words: List[str]) -> int:
    logging.raiseExceptions = False  # a message that cannot be shown needs no second one
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_log_handler()], force=True)
    try:
        name = _command_name(words)
        command = import_module(f"{__name__}.{_COMMANDS[name]}")
        options = _parse(command.parser(), words)
        if name not in _WITHOUT_MODELS:
            _sweep()
        return command.run(options)
    except UsageError as error:
        return _explain(error, USAGE)
    except KeyboardInterrupt:  # before the run began, or for the second time
        return FAILED
    except Exception as error:
        if not isinstance(error, _failures()):
            raise
        return _explain(error, FAILED)


def _command_name(words: List[str]) -> str:
    """Splits a command's name off the words. Without one, they are options for recognising."""
    if not words or words[0].startswith("-"):
        return ""
    if words[0] not in _COMMANDS:
        names = [name for name in _COMMANDS if name]
        raise UsageError(f"no command {words[0]!r}{_perhaps(words[:1], names)} (there are: {', '.join(names)})")
    return words.pop(0)


def _parse(parser: argparse.ArgumentParser, words: List[str]) -> argparse.Namespace:
    options, unknown = parser.parse_known_args(words)
    if unknown:
        wrong = [word for word in unknown if word.startswith("-")]
        known = re.findall(r"--[a-z-]+", parser.format_usage())
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_perhaps(wrong, known)}")
    return options


def _perhaps(words: Iterable[str], known: Sequence[str]) -> str:
    """Suggests a similar existing name; empty if there is none."""
    alike = [match for word in words for match in get_close_matches(word, known, n=1)]
    return f"; did you mean {' '.join(alike)}?" if alike else ""


def _explain(reason: object, code: int) -> int:
    """Prints why the command failed. Returns the exit code."""
    say(f"cosmo-runtime: {reason}")
    return code


def _sweep() -> None:
    from cosmo_runtime.models.shelf import Shelf

    Shelf().sweep()


def _failures() -> Tuple[Type[Exception], ...]:
    """The errors whose message is for people. They are imported only when something has failed."""
    from cosmo_runtime.models.bundle import BundleError
    from cosmo_runtime.runtime.cli.common import Failure
    from cosmo_runtime.runtime.config import ConfigError
    from cosmo_runtime.runtime.engines.onnxruntime import EngineError
    from cosmo_runtime.runtime.episodes.entries import LogError
    from cosmo_runtime.runtime.exchange.export import ExportError
    from cosmo_runtime.runtime.exchange.ros import ImportFailed
    from cosmo_runtime.runtime.health.metrics import MetricsError
    from cosmo_runtime.runtime.labels.prompt import PromptError
    from cosmo_runtime.runtime.labels.table import LabelsError
    from cosmo_runtime.runtime.mqtt.client import MqttError
    from cosmo_runtime.runtime.retention.expiry import ClockNotSet
    from cosmo_runtime.sensors.recording import RecordingError
    from cosmo_runtime.sensors.sensor import SensorError

    return (
        BundleError, ClockNotSet, ConfigError, EngineError, ExportError, Failure, ImportFailed, LabelsError, LogError,
        MetricsError, MqttError, PromptError, RecordingError, SensorError,
    )  # fmt: skip


def _log_handler() -> logging.Handler:
    if not TERMINAL.is_terminal:
        return logging.StreamHandler()
    from rich.logging import RichHandler

    return RichHandler(console=TERMINAL, show_path=False)
