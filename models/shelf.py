"""The bundles that a device holds, and which of them is in use.

person-2026-11-24-1/  a bundle, see ``models.bundle``; its name is the folder's
in-use.json           {"history": [names]}: the last one is in use, the one before it is where a rollback leads

The bundles that ship with the package are on every shelf, and the first is in use until another one is. Processes may
use a shelf at once: changes take turns by a lock, and readers see the file before or after a change, never in between.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from models.bundle import MANIFEST, Bundle, BundleError, load_bundle
from models.files import write_whole

SHIPPED = Path(__file__).parent / "bundles"
SHIPPED_BUNDLE = SHIPPED / "person"

_STATE = "in-use.json"
_LOCK = ".lock"
_HISTORY_KEPT = 100


@dataclass(frozen=True)
class Shelved:
    """A bundle on the shelf.

    Attributes:
        name: of its folder.
        path: its folder.
        shipped: it came with the package, and nothing writes to it.
        bundle: what it holds; None when it is damaged.
        damage: why it cannot be used; empty when it is whole.
    """

    name: str
    path: Path
    shipped: bool
    bundle: Optional[Bundle]
    damage: str = ""


class Shelf:
    """A folder of bundles.

    Args:
        folder: made when something is first written to it; ``default_folder()`` when left out.
    """

    def __init__(self, folder: Optional[Path] = None) -> None:
        self.folder = folder or default_folder()

    @property
    def in_use(self) -> Path:
        """The folder of the bundle in use; whether it holds one shows when it is loaded.

        Raises:
            BundleError: the file that says so is damaged.
        """
        return self._path(self._history()[-1])

    def bundles(self) -> List[Shelved]:
        """Returns all bundles by name, the damaged ones too; what a killed writer left half done is none."""
        return [_look_at(path) for path in self._paths().values()]

    def find(self, asked: str) -> Path:
        """Returns the folder that a person means: by its path, or else by its name in ``bundles``."""
        path = Path(asked)
        return path if path.exists() else self._paths().get(asked, path)

    def use(self, name: str) -> Bundle:
        """Puts a bundle in use.

        Raises:
            BundleError: there is none of this name, or it is damaged; the one in use stays in use.
        """
        with self._change():
            paths = self._paths()
            if name not in paths:
                raise BundleError(f"no bundle is called {name}; there are: {', '.join(paths)}")
            bundle = load_bundle(paths[name])
            history = self._history()
            if history[-1] != name:
                self._write([*history, name])
        return bundle

    def rollback(self) -> Bundle:
        """Puts the bundle in use that was in use before.

        Raises:
            BundleError: there was none, or it is damaged or gone; the one in use stays in use.
        """
        with self._change():
            history = self._history()
            if len(history) < 2:
                raise BundleError(f"{history[-1]} has been in use from the beginning; there is nothing to go back to")
            try:
                bundle = load_bundle(self._path(history[-2]))
            except BundleError as error:
                raise BundleError(f"{error}; or put another in use: cosmo-runtime bundle use NAME") from error
            self._write(history[:-1])
        return bundle

    def new_path(self, base: str) -> Path:
        """Makes an empty folder for ``models.bundle.write_bundle`` to fill; no other process is given the same.

        Args:
            base: name of the bundle that the new one comes from, which gives it its own: ``person`` and
                ``person-2026-11-24-1`` both lead to ``person-2026-11-25-1`` a day later.
        """
        stem = re.sub(r"-\d{4}-\d\d-\d\d-\d+$", "", base)
        with self._change():
            names = (f"{stem}-{date.today().isoformat()}-{number}" for number in itertools.count(1))
            path = next(self.folder / name for name in names if not (self.folder / name).exists())
            path.mkdir()
        return path

    def _paths(self) -> Dict[str, Path]:
        """The folders of all bundles by name; a user's own hides a shipped one of the same name."""
        paths = {path.name: path for folder in (SHIPPED, self.folder) if folder.is_dir() for path in folder.iterdir()}
        return {
            name: path
            for name, path in sorted(paths.items())
            if not name.startswith(".") and (path / MANIFEST).exists()
        }

    def _path(self, name: str) -> Path:
        own = self.folder / name
        return own if own.exists() or not (SHIPPED / name).exists() else SHIPPED / name

    def _history(self) -> List[str]:
        file = self.folder / _STATE
        try:
            history = json.loads(file.read_text(encoding="utf-8"))["history"]
            if not history or not all(isinstance(name, str) and name == Path(name).name for name in history):
                raise ValueError(f"no list of bundles' names: {history}")
        except FileNotFoundError:
            return [SHIPPED_BUNDLE.name]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{file} is damaged ({error}); remove it to begin with the shipped bundle") from error
        return list(history)

    def _write(self, history: List[str]) -> None:
        write_whole(self.folder / _STATE, json.dumps({"history": history[-_HISTORY_KEPT:]}, indent=2).encode())

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change at a time, whatever the processes; the system ends a turn together with its process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / _LOCK).open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise BundleError(f"{error.filename or self.folder} cannot be written: {error.strerror}") from error


def default_folder() -> Path:
    """Where a user's bundles lie: ``$XDG_DATA_HOME/cosmo-runtime/bundles``, by default below ``~/.local/share``."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "cosmo-runtime" / "bundles"


def _look_at(path: Path) -> Shelved:
    shipped = path.parent == SHIPPED
    try:
        return Shelved(path.name, path, shipped, load_bundle(path))
    except (BundleError, OSError) as error:
        return Shelved(path.name, path, shipped, None, str(error))
