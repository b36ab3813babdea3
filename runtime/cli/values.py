"""Values of options: parsers for argparse's ``type=``, one function for each, which import what they need."""

from __future__ import annotations

import argparse
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple

from cosmo_runtime.kinds import SENSOR_NAME
from cosmo_runtime.sources import parse_numbers

if TYPE_CHECKING:
    from cosmo_runtime.runtime.retention.keeping import Keep


ENGINES = ("auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt")
"""``CHOICES`` of ``engines.choose``, which imports ONNX Runtime. A test compares them."""


def bundle_folder(text: str) -> Path:
    """An option's value: the folder of a bundle, or its name as `bundle list` shows it."""
    from cosmo_runtime.models.shelf import Shelf

    return Shelf().find(text)


def new_recording(text: str) -> Path:
    """An option's value: a file that ends in .mcap, or a folder of segments, whose name has no dot."""
    path = Path(text)
    if path.suffix not in ("", ".mcap") or not path.name:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a recording is a file that ends in .mcap, or a folder without a dot in its name"
        )
    return path


def sensor_names(text: str) -> List[str]:
    """An option's value: sensors, separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not all(re.match(SENSOR_NAME, name) for name in names):
        raise argparse.ArgumentTypeError(f"{text!r}: expected sensor names in lower case, separated by commas")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}: name each sensor once")
    return names


def motion(text: str) -> str:
    """An option's value: the motion that the emulated rig plays."""
    from cosmo_runtime.sensors.emulation.motions import MOTIONS, is_motion

    if not is_motion(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {MOTIONS}")
    return text


def keep(text: str) -> Keep:
    """An option's value: how much of a recording to store: 20GB or 7d."""
    from cosmo_runtime.runtime.retention.keeping import parse_keep

    try:
        return parse_keep(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def line(text: str) -> str:
    """An option's value: one line of text."""
    from cosmo_runtime.runtime.retention.expiry import one_line

    try:
        return one_line(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def day(text: str) -> date:
    """An option's value: a day, as 2026-11-28."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a day such as 2027-05-31") from error


def day_to_come(text: str) -> date:
    """An option's value: today or a later day."""
    until = day(text)
    if until < date.today():
        raise argparse.ArgumentTypeError(f"{text!r} is in the past; give today or a later day")
    return until


def lifetime(text: str) -> timedelta:
    """An option's value: a duration such as 90m, 12h, 7d or 2w."""
    from cosmo_runtime.runtime.retention.expiry import parse_lifetime

    try:
        return parse_lifetime(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    """An option's value: a number of seconds above 0, small enough to count in nanoseconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0, at most 1e9")
    return value


def count(text: str) -> int:
    """An option's value: a whole number above 0."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


def seed(text: str) -> int:
    """An option's value: a whole number, 0 or more."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def address(text: str) -> Tuple[str, int]:
    """An option's value: an address and a port."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([\w.-]+)):(\d{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an address and a port, such as 127.0.0.1:8642")
    return match[1] or match[2], int(match[3])


def numbers(text: str) -> Tuple[int, ...]:
    """An option's value: numbers such as 7, 1-6 or 1-3,7."""
    try:
        return parse_numbers(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
