"""The parser of every command's options."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn, Optional


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, instead of after a screen of usage, and takes no abbreviated options."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **{**settings, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the options and ends with exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help shows all options\n")

    def _print_message(self, message: Optional[str], file: Optional[Any] = None) -> None:
        """Lets an error of the disk through, as of all other output. argparse ignores it."""
        if message:
            (file or sys.stderr).write(message)
