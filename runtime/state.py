"""The folder of a device's state: its log of episodes, clips, acknowledgements and heartbeat."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import List
from urllib.parse import quote, unquote

from cosmo_runtime.places import data_folder


def state_folder() -> Path:
    """A service's ``StateDirectory=``, or else ``$XDG_STATE_HOME/cosmo-runtime``, by default in ``~/.local/state``."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "cosmo-runtime"


def recordings_folder() -> Path:
    """The page's recordings, which are no state but the user's own data."""
    return data_folder() / "recordings"


def log_folder(state: Path) -> Path:
    """The folder of the log of episodes and alarms."""
    return state / "episodes"


def clips_folder(state: Path) -> Path:
    """The folder of the recordings around alarms."""
    return state / "clips"


def acknowledge(state: Path, name: str) -> None:
    """Tells the run that somebody has acknowledged an alarm.

    Raises:
        OSError: the message to the run cannot be written.
    """
    folder = state / "acknowledged"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / quote(name, safe=" ")).touch(mode=0o600)


def take_acknowledgements(state: Path) -> List[str]:
    """Names of the alarms that somebody has acknowledged since the last call."""
    taken: List[str] = []
    with suppress(FileNotFoundError):
        for path in (state / "acknowledged").iterdir():
            path.unlink()
            taken.append(unquote(path.name))
    return taken
