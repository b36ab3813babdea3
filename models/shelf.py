"""The bundles on a device, and which of them is in use.

person-2026-11-24-1/  a bundle, see ``models.bundle``, named after its folder
in-use.json           {"history": [names]}: the last one is in use; a rollback returns to the previous one

The shipped bundles are on every shelf, and one of them is in use at first. Several processes may use a shelf at once. A
lock makes changes take turns, and readers see the file before or after a change, never in between.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from cosmo_runtime.models.bundle import MANIFEST, Bundle, BundleError, has_controls, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.folders import sweep
from cosmo_runtime.places import data_folder

SHIPPED = Path(__file__).parent / "bundles"
SHIPPED_BUNDLE = SHIPPED / "everyday"
"""In use until a person chooses another: it knows real people."""
SIMULATED_BUNDLE = SHIPPED / "person"
"""Used instead for the simulated person, whom it knows better and exclusively."""
SHIPPED_ENCODERS = Path(__file__).parent / "pretrained"
"""Folders of encoders after stage 1, from which ``finetune`` starts. These are not bundles."""

_STATE = "in-use.json"
_LOCK = ".lock"
_HISTORY_KEPT = 100
_DATED = re.compile(r"-\d{4}-\d\d-\d\d-\d+$")  # the end of every name that new_path makes
_NO_HOME = Path("/nonexistent")  # Debian's name for it, which this package uses if there is no other


@dataclass(frozen=True)
class Shelved:
    """A bundle on the shelf.

    Attributes:
        name: its folder's name.
        path: its folder.
        shipped: whether it came with the package. Nothing writes to it then.
        bundle: the bundle; None if it is damaged.
        damage: why it cannot be used; empty if it is complete.
    """

    name: str
    path: Path
    shipped: bool
    bundle: Optional[Bundle]
    damage: str = ""


class Shelf:
    """A folder of bundles.

    Args:
        folder: created when something is first written to it; ``bundles`` in ``places.data_folder()`` by default.
        motion: what an emulated rig plays, in the form of ``--emulate``. ``person`` has a shipped bundle of its own.
    """

    def __init__(self, folder: Optional[Path] = None, motion: Optional[str] = None) -> None:
        self.folder = folder or data_folder() / "bundles"
        simulated = (motion or "").split(":")[0] == "person"
        self._first = (SIMULATED_BUNDLE if simulated else SHIPPED_BUNDLE).name

    @property
    def in_use(self) -> Path:
        """The folder of the bundle in use. It is checked when it is loaded, not here.

        Raises:
            BundleError: the file that names it is damaged.
        """
        return self._path(self._history()[-1])

    def bundles(self) -> List[Shelved]:
        """Returns all bundles by name, including damaged ones, but not a killed writer's leftovers."""
        return [_look_at(path) for path in self._paths().values()]

    def find(self, asked: str) -> Path:
        """Returns the folder that a path, a name in ``bundles`` or a name of shipped encoders refers to."""
        path = Path(asked)
        return path if path.exists() else self.named(asked) or path

    def named(self, name: str) -> Optional[Path]:
        """Returns the folder of a name in ``bundles`` or of shipped encoders; None if there is none."""
        return {**_encoders(), **self._paths()}.get(name)

    def called(self, path: Path) -> str:
        """What a command may call a bundle in this folder: its name if that leads here, or else the path."""
        return path.name if self.find(path.name) == path else str(path)

    def sweep(self) -> None:
        """Removes the leftovers of killed processes, and puts back what they had moved aside."""
        if not self.folder.is_dir():
            return
        sweep(self.folder)
        with suppress(BundleError, OSError), self._change():  # no other process is writing the file now
            for left in self.folder.glob(f".{_STATE}.*.new"):
                left.unlink()

    def use(self, asked: str) -> Bundle:
        """Puts a bundle in use.

        Args:
            asked: its name, or an unambiguous beginning of the name. What names encoders is no beginning.

        Raises:
            BundleError: no bundle has this name, several begin with it, or it is damaged. The current one stays in use.
        """
        with self._change():
            paths = self._paths()
            name = _named(asked, list(paths))
            bundle = load_bundle(paths[name])
            history = self._history()
            if history[-1] != name:
                self._write([*history, name])
        return bundle

    def rollback(self) -> Bundle:
        """Puts the previous bundle in use.

        Raises:
            BundleError: there was none, or it is damaged or gone. The current one stays in use.
        """
        with self._change():
            history = self._history()
            if len(history) < 2:
                raise BundleError(f"{history[-1]} is the first model; there is none before it")
            try:
                bundle = load_bundle(self._path(history[-2]))
            except BundleError as error:
                raise BundleError(f"{error}; or choose another: cosmo-runtime bundle use NAME") from error
            self._write(history[:-1])
        return bundle

    def new_path(self, base: str) -> Path:
        """Makes an empty folder for ``models.bundle.write_bundle``. No other process gets the same one.

        Args:
            base: name of the bundle that the new one comes from. It determines the new name: ``person`` and
                ``person-2026-11-24-1`` both lead to ``person-2026-11-25-1`` a day later.
        """
        stem = _DATED.sub("", base)
        with self._change():
            names = (f"{stem}-{date.today().isoformat()}-{number}" for number in itertools.count(1))
            path = next(self.folder / name for name in names if not (self.folder / name).exists())
            path.mkdir()
        return path

    def _paths(self) -> Dict[str, Path]:
        """Returns the folders of all bundles by name. A user's bundle hides a shipped one of the same name."""
        paths = {path.name: path for folder in (SHIPPED, self.folder) if folder.is_dir() for path in folder.iterdir()}
        return {name: path for name, path in sorted(paths.items()) if _is_name(name) and (path / MANIFEST).exists()}

    def _path(self, name: str) -> Path:
        own = self.folder / name
        return own if own.exists() or not (SHIPPED / name).exists() else SHIPPED / name

    def _history(self) -> List[str]:
        file = self.folder / _STATE
        try:
            history = json.loads(file.read_text(encoding="utf-8"))["history"]
            if not history or not all(isinstance(name, str) and _is_name(name) for name in history):
                raise ValueError(f"not a list of bundle names: {history}")
        except FileNotFoundError:
            return [self._first]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BundleError(f"{file} is damaged ({error}); delete it to start with the shipped bundle") from error
        is_default = history[0] in (SHIPPED_BUNDLE.name, SIMULATED_BUNDLE.name)  # nobody chose it
        return [self._first, *history[1:]] if is_default else list(history)

    def _write(self, history: List[str]) -> None:
        write_whole(self.folder / _STATE, json.dumps({"history": history[-_HISTORY_KEPT:]}, indent=2).encode())

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Allows one change at a time among all processes. The lock ends with the process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / _LOCK).open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            homeless = _NO_HOME in self.folder.parents
            why = "this user has no home folder; set HOME or XDG_DATA_HOME" if homeless else error.strerror
            raise BundleError(f"{error.filename or self.folder} cannot be written: {why}") from error


def _is_name(name: str) -> bool:
    """Whether a bundle may have this name: not hidden, no path, no control characters."""
    return name == Path(name).name and not name.startswith(".") and not has_controls(name)


def _named(asked: str, names: Sequence[str]) -> str:
    """Returns the name that a full name or its beginning refers to."""
    if asked in names:
        return asked
    meant = [name for name in names if asked and name.startswith(asked)]
    if asked in _encoders():
        instead = f"; choose one of: {', '.join(meant)}" if meant else ""
        raise BundleError(
            f"{asked} is a set of encoders, which recognise nothing until `finetune` makes a bundle of them{instead}"
        )
    if len(meant) > 1:
        raise BundleError(f"{asked} may be any of: {', '.join(meant)}; type more of the name")
    if not meant or _DATED.search(asked):  # a whole name: number 1 is gone, and 10 is another
        raise BundleError(f"no bundle is called {asked}; there are: {', '.join(names)}")
    return meant[0]


def _encoders() -> Dict[str, Path]:
    """The folders of the shipped encoders by name."""
    return {folder.name: folder for folder in SHIPPED_ENCODERS.iterdir()} if SHIPPED_ENCODERS.is_dir() else {}


def _look_at(path: Path) -> Shelved:
    shipped = path.parent == SHIPPED
    try:
        return Shelved(path.name, path, shipped, load_bundle(path))
    except BundleError as error:
        return Shelved(path.name, path, shipped, None, str(error))
