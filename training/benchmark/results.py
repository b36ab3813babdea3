"""Stores the results of the comparison's jobs, each in a small file, so that a run can resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from cosmo_runtime.models.files import write_whole

COST = "cost"
INFERENCE = "inference"
ONCE = (COST, INFERENCE)
"""Names of the results of ``training.benchmark.cost`` and ``.inference``, which are measured once, outside jobs."""


class ResultError(Exception):
    """A result is damaged or cannot be written. The message names the file and what to do."""


class Results:
    """A folder of results, each written whole or not at all."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def file(self, name: str) -> Path:
        """The path of a job's result, which may not exist."""
        return self.folder / f"{name.replace(':', '.')}.json"

    def names(self) -> list[str]:
        """The names of all existing results, sorted."""
        return sorted(file.stem for file in self.folder.glob("*.json"))

    def read(self, name: str) -> Optional[dict[str, Any]]:
        """A job's result; None if there is none.

        Raises:
            ResultError: it is damaged.
        """
        file = self.file(name)
        try:
            result = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ResultError(f"{file} is not a result ({error}). Delete it; it is made again.") from error
        if not isinstance(result, dict):
            raise ResultError(f"{file} is not a result. Delete it; it is made again.")
        return result

    def restore(self, report: Path, name_of: Callable[[Mapping[str, Any]], Optional[str]]) -> None:
        """Imports a report's results that are missing here or out of date.

        Args:
            report: the file.
            name_of: the name of a result's job; None if it has another budget or an earlier method.

        Raises:
            ResultError: the report is damaged, or the folder cannot be written.
        """
        try:
            kept = json.loads(report.read_text())
            named = {name: result for result in kept["results"] for name in [name_of(result)] if name}
            named.update({name: kept[name] for name in ONCE if kept.get(name)})
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultError(f"{report} is not a report ({error}). Delete it; it is written again.") from error
        for name, result in named.items():
            there = self.read(name)
            if there is None or (name not in ONCE and name_of(there) is None):
                self.write(name, result)

    def write(self, name: str, result: Mapping[str, Any]) -> None:
        """Writes a job's result, whole or not at all.

        Raises:
            ResultError: the folder cannot be written.
        """
        text = json.dumps(result, indent=1) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.file(name), text.encode())
        except OSError as error:
            raise ResultError(f"{self.folder} cannot be written ({error.strerror}). Give another folder.") from error
