"""Where this program keeps a user's data, and what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """The user's own data: ``$XDG_DATA_HOME/cosmo-runtime``, by default ``~/.local/share/cosmo-runtime``."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "cosmo-runtime"


def cache_folder() -> Path:
    """What can be made again, such as training's decoded windows: ``~/.cache/cosmo-runtime``."""
    return Path.home() / ".cache" / "cosmo-runtime"
