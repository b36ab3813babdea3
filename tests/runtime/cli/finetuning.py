"""The command in a process of its own, and what is in a bundle."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "cosmo_runtime.runtime.cli", "finetune"]


def content(folder: Path) -> dict:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
