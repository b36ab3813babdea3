"""The command line of TI's mmWave firmware: commands out, answers in, one at a time.

The firmware echoes what it hears and answers each line with text that ends in a prompt, ``mmwDemo:/>`` (other labs put
their own name before the colon). Followed: TI mmWave SDK 3.5, ``ti/utils/cli``.
"""

from __future__ import annotations

import time
from typing import Sequence

from sensors.sensor import SensorError
from sensors.serial_port import SerialPort

_PROMPT = b":/>"
_ANSWER_S = 3.0  # sensorStart calibrates the radio first
_STOP_S = 1.0  # sensorStop waits for the end of the frame
_FIRST_ANSWER_S = 0.5
_QUIET_S = 0.03


class NoAnswer(SensorError):
    """Nothing that speaks like a radar's command line is on this port."""


def greet(port: SerialPort) -> None:
    """Makes sure that a command line listens, and ends whatever others (ModemManager) have typed into it.

    Raises:
        NoAnswer: no prompt comes.
        SensorLost: unplugged.
    """
    answer = _exchange(port, b"\n", _FIRST_ANSWER_S)
    if _PROMPT not in answer:
        heard = f"{len(answer)} bytes of something else" if answer else "nothing"
        raise NoAnswer(
            f"radar CLI on {port.path}: asked for a prompt, heard {heard}. Are CLI and data port swapped? Is cli_baud"
            " right (115200)? Does the board run TI's demo firmware? Press its reset button and try again."
        )
    while port.read(_QUIET_S):  # the answers to what others had typed
        pass


def stop(port: SerialPort) -> None:
    """Stops the radar if it runs.

    Raises:
        SensorError: it does not answer.
        SensorLost: unplugged.
    """
    _command(port, "sensorStop", "`sensorStop`", _STOP_S)


def configure(port: SerialPort, lines: Sequence[str], source: str = "the configuration") -> None:
    """Sends a chirp configuration, command by command; the last one usually starts the radar.

    Args:
        port: of the command line.
        lines: of the .cfg as they stand in the file; blank ones and comments (``%``) are left out.
        source: the file's name, for messages.

    Raises:
        NoAnswer: nothing listens on the port.
        SensorError: a command was refused; with its line and the firmware's own words.
        SensorLost: unplugged.
    """
    greet(port)
    for number, line in enumerate(lines, start=1):
        command = line.strip()
        if command and not command.startswith("%"):
            _command(port, command, f"{source}, line {number}: `{command}`", _ANSWER_S)


def _command(port: SerialPort, command: str, place: str, timeout_s: float) -> None:
    answer = _exchange(port, command.encode("ascii", "replace") + b"\n", timeout_s)
    words = [line.strip() for line in answer.decode("ascii", "replace").splitlines()]
    words = [line for line in words if line and not line.endswith((command, _PROMPT.decode()))]
    if _PROMPT not in answer:
        raise SensorError(
            f"radar CLI on {port.path}: {place}: no answer within {timeout_s:.0f} s. Some firmware cannot be configured"
            " twice: press the board's reset button and try again."
        )
    if any(line.startswith("Error") or "is not recognized as a CLI command" in line for line in words):
        raise SensorError(
            f"radar CLI on {port.path}: {place}: the radar answered {' / '.join(words)!r}. Is the .cfg made for this"
            " board and this firmware?"
        )


def _exchange(port: SerialPort, line: bytes, timeout_s: float) -> bytes:
    """Sends a line and returns all that comes back up to the prompt, or until the time is out."""
    while port.read(0):  # what came unasked, or after an earlier time-out
        pass
    port.write(line)
    answer = b""
    deadline = time.monotonic() + timeout_s
    while not answer.rstrip().endswith(_PROMPT):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            break
        answer += port.read(remaining_s)
    return answer
