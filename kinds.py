"""Sensors have a name and a kind. Each package that deals with kinds has one table of them.

The name says which device it is (``wrist``, ``door``), the kind says what sort of device (``imu``, ``depth``). Another
package adds a kind through the entry point group ``cosmo_runtime.kinds``: each entry point is a function without
arguments that registers the kind's row in every table.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Dict, Generic, Optional, TypeVar

ENTRY_POINTS = "cosmo_runtime.kinds"

SENSOR_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
"""The form of a sensor's name, which is part of topics, file names and a network's parameters."""

Row = TypeVar("Row")


class UnknownKind(ValueError):
    """A table does not have this kind of sensor."""


class Kinds(Generic[Row]):
    """A table of facts about each kind of sensor.

    Args:
        what: what a row describes, for messages: "how a rig opens it".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._rows: Dict[str, Row] = {}

    def register(self, kind: str, row: Row) -> None:
        """Adds a kind.

        Raises:
            ValueError: there is another kind with this name.
        """
        if self._rows.setdefault(kind, row) != row:
            raise ValueError(f"there are two kinds of sensor called {kind!r}; rename one of them")

    def get(self, kind: str) -> Optional[Row]:
        """The row of a kind; None if the table has none."""
        return self._rows.get(kind)

    def __getitem__(self, kind: str) -> Row:
        """The row of a kind. If it is missing, installed packages are searched for it.

        Raises:
            UnknownKind: no package has it either.
        """
        if kind not in self._rows:
            load_installed_kinds()
        if kind not in self._rows:
            raise UnknownKind(
                f"unknown kind of sensor {kind!r}: nothing says {self._what}; known are {', '.join(self._rows)}"
            )
        return self._rows[kind]


def load_installed_kinds() -> None:
    """Lets other installed packages register their kinds."""
    installed: Any = metadata.entry_points()
    ours = installed.select(group=ENTRY_POINTS) if hasattr(installed, "select") else installed.get(ENTRY_POINTS, ())
    for entry_point in ours:
        entry_point.load()()
