"""``cosmo-runtime bench``: measures latency, throughput, memory and energy; see ``tools/bench.py``."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parsed: argparse.ArgumentParser = _tool().parser()
    return parsed


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    return int(_tool().run(options))


def _tool() -> Any:
    return import_module("cosmo_runtime.tools.bench")  # by name: it knows torch, which the other commands do without
