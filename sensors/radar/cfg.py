"""Reads a chirp configuration file (.cfg), regardless of the editor that saved it.

Commands are ASCII. Comments may be in any language and encoding; they are dropped.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from cosmo_runtime.sensors.sensor import SensorError

_MAX_BYTES = 1 << 20
_MAX_COMMAND = 250  # the firmware reads 256 bytes a line


def read_cfg(path: Path) -> list[str]:
    """Returns the command on each line of a configuration; empty for blank lines and comments (``%``).

    Raises:
        SensorError: the file cannot be read, or a command in it cannot be sent.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: an impossible path
        why = getattr(error, "strerror", None) or error
        raise SensorError(f"radar: cannot read the chirp configuration {path}: {why}") from error
    if len(data) > _MAX_BYTES:
        raise SensorError(f"radar: {path} has more than {_MAX_BYTES} bytes, so it is not a chirp configuration.")
    text = _decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")  # splitlines would also split inside comments, at characters such as U+0085
    return [_command(line, f"{path.name}, line {number}") for number, line in enumerate(lines, start=1)]


def _decoded(data: bytes) -> str:
    """Decodes by the byte order mark, or by the places of zero bytes, or as UTF-8, or else one byte a character."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        little_endian = data[1::2].count(0) >= data[::2].count(0)
        return data.decode("utf-16-le" if little_endian else "utf-16-be", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # GBK, Shift JIS and the like: their bytes for ASCII are the same


def _command(line: str, place: str) -> str:
    """Returns the command on a line, without the comment and with single spaces."""
    command = " ".join(line.partition("%")[0].split())
    odd = next((character for character in command if not " " <= character <= "~"), None)
    if odd:
        raise SensorError(f"{place}: {command!r} has the character {odd!r}, which a radar cannot read. Retype it.")
    if len(command) > _MAX_COMMAND:
        raise SensorError(
            f"{place}: `{command[:40]}...` has {len(command)} characters; a radar reads {_MAX_COMMAND} at most."
        )
    return command
