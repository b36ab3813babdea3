"""The command line of TI's mmWave firmware: commands out, answers in, one at a time.

The firmware echoes its input and answers each line with text that ends in a prompt, ``mmwDemo:/>`` (other labs put
their own name before the colon). Every wait has a time-out. Reference: TI mmWave SDK 3.5, ``ti/utils/cli``.
"""

from __future__ import annotations

import re
import time
from typing import Sequence

from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.serial_port import SerialPort

_PROMPT = b":/>"
_ANSWER_S = 3.0  # sensorStart calibrates the radio first
_STOP_S = 1.0  # sensorStop waits for the end of the frame
_FIRST_ANSWER_S = 2.0  # a radar answers in milliseconds, but this process or an emulated one may get no CPU time
_CONFIGURE_S = 15.0  # for all commands together; some take 3 s
_QUIET_S = 0.03
_UNQUIET_S = 1.0  # how long answers to other programs' input may go on
_MAX_ANSWER_BYTES = 8192
_MAX_QUOTE = 400

_REFUSAL = re.compile(r"^Error|is not recognized as a CLI command")
_CRASH = re.compile(r"exception|assert|terminating execution", re.IGNORECASE)  # an error of TI's operating system


class NoAnswer(SensorError):
    """Nothing on this port answers like a radar's command line."""


def greet(port: SerialPort) -> None:
    """Makes sure that a command line listens, and ends the line that another program (ModemManager) has begun to type.

    Raises:
        NoAnswer: no prompt came.
        SensorError: it answers without end, so that answers cannot be told apart.
        SensorLost: unplugged.
    """
    answer = _exchange(port, b"\n", _FIRST_ANSWER_S)
    if _PROMPT not in answer:
        heard = f"{len(answer)} bytes of something else" if answer else "nothing"
        raise NoAnswer(
            f"radar CLI on {port.path}: asked for a prompt, heard {heard}. Are CLI and data port swapped? Is cli_baud"
            " right (115200)? Does the board run TI's demo firmware? Press its reset button and try again."
        )
    if not _fell_quiet(port, _QUIET_S):  # after the answers to what other programs had typed
        raise SensorError(
            f"radar CLI on {port.path}: text comes without end, without any command. Does another program (such as"
            " ModemManager) type into this port? If not, press the board's reset button and try again."
        )


def stop(port: SerialPort) -> None:
    """Stops the radar if it runs.

    Raises:
        SensorError: it does not answer.
        SensorLost: unplugged.
    """
    _command(port, "sensorStop", "`sensorStop`", _STOP_S)


def configure(port: SerialPort, lines: Sequence[str], source: str = "the configuration") -> str:
    """Sends a chirp configuration, command by command. The last one usually starts the radar.

    Args:
        port: the port of the command line.
        lines: the lines of the .cfg; blank ones and comments (``%``) are not sent.
        source: the file's name, for messages.

    Returns:
        The radar's answer to the last command, in one line.

    Raises:
        NoAnswer: nothing listens on the port.
        SensorError: a command was refused (the message has its line and the firmware's answer), or all took too long.
        SensorLost: unplugged.
    """
    greet(port)
    answer = ""
    deadline = time.monotonic() + _CONFIGURE_S
    for number, line in enumerate(lines, start=1):
        command = line.strip()
        if not command or command.startswith("%"):
            continue
        place = f"{source}, line {number}: `{command}`"
        if time.monotonic() > deadline:
            raise SensorError(
                f"radar CLI on {port.path}: {place}: not reached within {_CONFIGURE_S:.0f} s; the answers are slow."
                " Press the board's reset button and try again."
            )
        answer = _command(port, command, place, _ANSWER_S)
    return answer


def unsolicited(port: SerialPort) -> str:
    """Returns in one line what the firmware wrote since the last answer, for example an error that came later.

    Raises:
        SensorLost: unplugged.
    """
    return _quoted(_words(port.read(0)[-_MAX_ANSWER_BYTES:]))


def _command(port: SerialPort, command: str, place: str, timeout_s: float) -> str:
    answer = _exchange(port, command.encode("ascii", "replace") + b"\n", timeout_s)
    words = [line for line in _words(answer) if not line.endswith(command)]  # without the echo
    place = f"radar CLI on {port.path}: {place}"
    if any(_CRASH.search(line) for line in words):
        raise SensorError(
            f"{place}: the radar's firmware crashed: {_quoted(words)}. Press the board's reset"
            " button, and use a .cfg that was made for this board and this firmware."
        )
    if _PROMPT not in answer:
        heard = f"only {_quoted(words)}" if words else "no answer"
        raise SensorError(
            f"{place}: {heard} within {timeout_s:.0f} s. Some firmware cannot be configured twice: press the board's"
            " reset button and try again."
        )
    if any(_REFUSAL.search(line) for line in words):
        raise SensorError(
            f"{place}: the radar answered {_quoted(words)}. Was the .cfg made for this board and this firmware?"
        )
    return _quoted(words)


def _words(answer: bytes) -> list[str]:
    """Returns the lines of an answer, without prompts."""
    lines = [line.strip() for line in answer.decode("ascii", "replace").splitlines()]
    return [line for line in lines if line and not line.endswith(_PROMPT.decode())]


def _quoted(words: Sequence[str]) -> str:
    """Joins lines into one that is safe to show; empty if there are none."""
    text = " / ".join(words)
    return repr(text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + " ...") if text else ""


def _exchange(port: SerialPort, line: bytes, timeout_s: float) -> bytes:
    """Sends a line and returns the answer up to the prompt, or what came before the time-out."""
    _fell_quiet(port, 0)  # drops unsolicited text, and late answers after a time-out
    port.write(line)
    answer = b""
    deadline = time.monotonic() + timeout_s
    while not answer.rstrip().endswith(_PROMPT):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            break
        answer = (answer + port.read(remaining_s))[-_MAX_ANSWER_BYTES:]
    return answer


def _fell_quiet(port: SerialPort, quiet_s: float) -> bool:
    """Drops incoming bytes until none come for ``quiet_s``; False if that does not happen in time."""
    deadline = time.monotonic() + _UNQUIET_S
    while port.read(quiet_s):
        if time.monotonic() > deadline:
            return False
    return True
