"""``cosmo-runtime status``: shows the health of the run in this home, so that a loop over ssh can watch many."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from shutil import disk_usage
from typing import Any, Dict, List

from rich.filesize import decimal

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.alarms.last import standing
from cosmo_runtime.runtime.alarms.rules import CORRECTED
from cosmo_runtime.runtime.cli.common import DONE, FAILED, Failure, version
from cosmo_runtime.runtime.cli.options import add_home_folder
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.episodes.entries import FULL_BYTES, LogError, is_written, last_alarms
from cosmo_runtime.runtime.health.heartbeat import EVERY_S, FILE, in_words
from cosmo_runtime.runtime.state import log_folder, service_folder, state_folder

_LATE_S = 2.5 * EVERY_S


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime status",
        description="Shows whether the run with --home is well, from the heartbeat that it writes every minute. Exit "
        "code 0: it is well, or has been starting for less than a minute; 1: it is not well, or does not run.",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    add_home_folder(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    status = _status(options.home or state_folder())
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        for line in _words(status):
            print(line)
    return DONE if status["well"] else FAILED


def _status(home: Path) -> Dict[str, Any]:
    try:
        status: Dict[str, Any] = json.loads((home / FILE).read_text("utf-8"))
        age_s = (datetime.now(timezone.utc) - datetime.fromisoformat(status["time"])).total_seconds()
    except FileNotFoundError:
        status, age_s = {"troubles": []}, None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{home / FILE} cannot be read: {error}") from error
    beats = age_s is not None and -_LATE_S < age_s < _LATE_S and status.get("running", False)
    held = is_written(log_folder(home))  # a run that was killed leaves its heartbeat, but no lock
    running = beats if held is None else held
    full = age_s is not None and held is not False and disk_usage(home).free < FULL_BYTES  # no heartbeat can be kept
    if full or not (beats and running):
        last = "" if age_s is None else f"; its last heartbeat {_when(age_s)}"
        what = "a run is active, but its heartbeat has stopped" if held else "no run with --home is running"
        status["troubles"] = [what + last + _elsewhere(home)]
        if full:
            status["troubles"] = [f"the disk of {home} is full, so that no heartbeat can be kept{last}"]
    try:
        in_use = Shelf().in_use.name
    except BundleError as error:
        in_use = f"unknown ({error})"
    alarms: Dict[str, Dict[str, Any]] = {}
    stand: List[Dict[str, Any]] = []
    with suppress(LogError):  # there is no log yet
        alarms, stand = last_alarms(log_folder(home)), standing(log_folder(home))
    unlogged = [name for name in status.get("alarms", ()) if name not in alarms]
    newest = list(alarms.values())[-1:]
    return {
        **status,
        "running": running,
        "well": beats and running and not full and status.get("well", False),
        "version_installed": version(),
        "bundle_in_use": in_use,
        "alarms": [alarm["name"] for alarm in stand] + unlogged,
        "standing": stand,
        "last_alarm": {key: newest[0][key] for key in ("name", "state", "time")} if newest else None,
    }


def _elsewhere(home: Path) -> str:
    """A word on the service, whose folder is another one."""
    with suppress(KeyError, OSError):  # this user has no name, or may not look
        folder = service_folder()
        if folder != home and folder.is_dir():
            return f"; this looked in {home}. For the service, use --home {folder}"
    return ""


def _when(age_s: float) -> str:
    if age_s < 0:
        return f"is of a time {_lasting(-age_s)} from now, so the clock was set back"
    return f"was {_lasting(age_s)} ago"


def _lasting(seconds: float) -> str:
    """A duration in the unit that a person would choose."""
    for unit, unit_s in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _words(status: Dict[str, Any]) -> list[str]:
    lines = [in_words(status, "not well")]
    if "uptime_s" in status:
        bundle = status["bundle"] or "has not answered yet"
        lines.append(f"device {status['device']}, version {status['version']}, bundle {bundle}")
        lines.append(f"up {_lasting(status['uptime_s'])} at {status['time']}, {status['windows']['answered']} windows")
        lines.append("sensors: " + ", ".join(f"{name} {state}" for name, state in status["sensors"].items()))
        corrected_ms = status.get("corrected_ms", {})  # earlier versions did not correct
        if corrected_ms:
            lines.append("put in step: " + ", ".join(f"{name} by {ms:.0f} ms" for name, ms in corrected_ms.items()))
        if status["activity"]:
            at = datetime.fromisoformat(status["time"]) - timedelta(seconds=status["last_prediction_s_ago"])
            lines.append(
                f"last: {status['activity']} ({status['confidence']:.0%}) at {at.isoformat(timespec='seconds')}"
            )
        if "memory_bytes" in status:  # the heartbeat of an earlier version has none
            lines.append(_memory(status))
        lines.append(f"disk: {decimal(status['disk_free_bytes'])} free ({status['disk_free_share']:.0%})")
    if status["alarms"]:
        since = {alarm["name"]: f" ({_since(alarm)})" for alarm in status["standing"]}
        words = ", ".join(name + since.get(name, "") for name in status["alarms"])
        lines.append(f"alarms that nobody has acknowledged: {words}")
    if status["last_alarm"]:
        last = status["last_alarm"]
        state = "had its time corrected" if last["state"] == CORRECTED else last["state"]
        lines.append(f"last alarm: {last['name']} {state} at {last['time']}")
    lines.append(f"installed: version {status['version_installed']}; bundle in use: {status['bundle_in_use']}")
    return lines


def _since(alarm: Dict[str, Any]) -> str:
    """Since when an alarm stands, and how often it was raised."""
    often = f"{alarm['times']} times " if alarm["times"] > 1 else ""
    return f"{often}since {alarm['since'][:19].replace('T', ' ')}{', quiet' if alarm['quiet'] else ''}"


def _memory(status: Dict[str, Any]) -> str:
    total, clips, most = (
        round(status[f"{name}_bytes"] / 1e6) for name in ("memory", "clips_memory", "clips_memory_most")
    )
    return f"memory: {total} MB" + (f", of which {clips} MB (at most {most} MB) are for clips" if most else "")
