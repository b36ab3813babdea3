"""Writes latencies into a configuration, and leaves the rest as it is, including comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Mapping

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.runtime.config import ConfigError, load_config, parse_config


def write_latencies(path: Path, latencies_ms: Mapping[str, float]) -> None:
    """Sets ``latency_ms`` of sensors. Creates the file if it does not exist.

    Args:
        path: the configuration.
        latencies_ms: milliseconds by sensor.

    Raises:
        ConfigError: a sensor's section has a form that cannot be edited. The file is unchanged.
    """
    text = path.read_text("utf-8-sig") if path.exists() else ""
    before = load_config(path if path.exists() else None)
    lines = text.splitlines()
    for name, latency_ms in latencies_ms.items():
        section = f"sensors.{name}" if name in before.sensors else name
        lines = _with_latency(lines, section, f"latency_ms = {latency_ms:g}")
    edited = "\n".join(lines) + "\n"
    try:
        config = parse_config(edited, path)
        edited_well = all(config.sensor(name).config.latency_ms == value for name, value in latencies_ms.items())
    except ConfigError:  # the section exists in another spelling, and is now there twice
        edited_well = False
    if not edited_well:
        words = "; ".join(f"{name}: latency_ms = {value:g}" for name, value in latencies_ms.items())
        raise ConfigError(f"{path}: its sections cannot be edited here. Write by hand {words}")
    write_whole(path, edited.encode())


def _with_latency(lines: List[str], section: str, setting: str) -> List[str]:
    """Puts a setting into a section: replaces the existing one, or adds it below the heading or at the end."""
    heading = re.compile(rf"\s*\[\s*{re.escape(section)}\s*\]\s*(#.*)?$")
    at = next((number for number, line in enumerate(lines) if heading.match(line)), None)
    if at is None:
        return [*lines, *([""] if lines else []), f"[{section}]", setting]
    for number in range(at + 1, len(lines)):
        if re.match(r"\s*\[", lines[number]):
            break
        found = re.match(r"\s*latency_ms\s*=\s*[^#\s]+(.*)$", lines[number])
        if found:
            return [*lines[:number], setting + found[1], *lines[number + 1 :]]
    return [*lines[: at + 1], setting, *lines[at + 1 :]]
