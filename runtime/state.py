"""The folder of a device's state: its log of episodes, clips, acknowledgements and heartbeat."""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path
from typing import Dict
from urllib.parse import unquote

from cosmo_runtime.places import data_folder

_OF_SERVICES = Path("/var/lib")


def state_folder() -> Path:
    """A service's ``StateDirectory=``, or else ``$XDG_STATE_HOME/cosmo-runtime``, by default in ``~/.local/state``."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "cosmo-runtime"


def service_folder() -> Path:
    """The folder of this user's service, as its unit names it; only a process of the service is told of it."""
    return _OF_SERVICES / f"cosmo-runtime-{pwd.getpwuid(os.getuid()).pw_name}"


def recordings_folder() -> Path:
    """The page's recordings, which are no state but the user's own data."""
    return data_folder() / "recordings"


def log_folder(state: Path) -> Path:
    """The folder of the log of episodes and alarms."""
    return state / "episodes"


def clips_folder(state: Path) -> Path:
    """The folder of the recordings around alarms."""
    return state / "clips"


def acknowledge(state: Path, name: str, seen: int) -> None:
    """Tells the run that somebody has acknowledged an alarm. Root tells the run of the folder's owner.

    Args:
        state: the folder of the state.
        name: the alarm's name.
        seen: the number of its last raise that this person has seen. Later ones stay.

    Raises:
        OSError: the message to the run cannot be written.
    """
    folder = _acknowledged(state)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    message = folder / f"{_as_file(name)}@{seen}"  # no content, which a full disk would not take
    message.touch(mode=0o600)
    if os.geteuid() == 0:
        owner = state.stat()
        for made in folder, message:
            os.chown(made, owner.st_uid, owner.st_gid)


def take_acknowledgements(state: Path) -> Dict[str, int]:
    """The alarms that somebody has acknowledged since the last call, as far as they can be read.

    Returns:
        The number of the last raise that was seen, by the alarm's name.
    """
    taken: Dict[str, int] = {}
    with suppress(OSError):  # see deaf_to_acknowledgements
        for path in _acknowledged(state).iterdir():
            path.unlink()
            name, is_numbered, seen = path.name.rpartition("@")
            if not is_numbered:  # of an earlier version, which did not count: all that it raised is number 1
                name, seen = path.name, "1"
            with suppress(ValueError):  # nobody here wrote it
                taken[unquote(name)] = max(int(seen), taken.get(unquote(name), 0))
    return taken


def deaf_to_acknowledgements(state: Path) -> str:
    """Why acknowledgements cannot be taken; empty if they can."""
    folder = _acknowledged(state)
    if not folder.exists() or os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return ""
    return f"{folder} cannot be read and written, so no alarm can be acknowledged: give it to the user of the run"


def _as_file(name: str) -> str:
    """A name as that of a file. Letters stay as they are: a name of 32 of them would be too long if all were quoted."""
    return re.sub(r"[%/.@\0]", lambda match: f"%{ord(match[0]):02X}", name)


def _acknowledged(state: Path) -> Path:
    return state / "acknowledged"
