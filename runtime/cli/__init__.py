"""The command line: ``cosmo-runtime`` recognises; the other commands are named by their first word.

A command is a module with ``parser()``, its options, and ``run(options)``, which returns the exit code.
"""

from __future__ import annotations

import logging
import sys
from typing import Optional, Sequence

from rich.console import Console
from rich.logging import RichHandler

from models.bundle import BundleError
from runtime.cli import build, bundle, doctor, finetune, label, pretrain, purge, recognise, record
from runtime.cli.common import FAILED, TERMINAL, USAGE, Failure, UsageError
from runtime.config import ConfigError
from runtime.engine import EngineError
from runtime.expiry import ClockNotSet
from runtime.prompt import PromptError
from runtime.session import LabelsError
from sensors.recording import RecordingError
from sensors.sensor import SensorError

_FAILURES = (
    BundleError, ClockNotSet, ConfigError, EngineError, Failure, LabelsError, PromptError, RecordingError, SensorError,
)  # fmt: skip
_COMMANDS = {
    "": recognise,
    "record": record,
    "label": label,
    "doctor": doctor,
    "bundle": bundle,
    "build": build,
    "pretrain": pretrain,
    "finetune": finetune,
    "purge": purge,
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command; returns 0 when it is done, 1 when it failed, 2 on wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and words[0] in _COMMANDS else ""
    options = _COMMANDS[command].parser().parse_args(words)
    errors = Console(stderr=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_log_handler()], force=True)
    try:
        return _COMMANDS[command].run(options)
    except UsageError as error:
        errors.print(f"cosmo-runtime: {error}", markup=False, highlight=False, soft_wrap=True)
        return USAGE
    except _FAILURES as error:
        errors.print(f"cosmo-runtime: {error}", markup=False, highlight=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:  # before the run began, or for the second time
        return FAILED


def _log_handler() -> logging.Handler:
    return RichHandler(console=TERMINAL, show_path=False) if TERMINAL.is_terminal else logging.StreamHandler()
