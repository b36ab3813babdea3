"""``cosmo-runtime alarms``: shows the alarms that a run with ``--home`` has raised, and acknowledges them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict

from rich.table import Table

from cosmo_runtime.models.activity_names import as_known
from cosmo_runtime.runtime.alarms.last import number, times
from cosmo_runtime.runtime.alarms.rules import ACKNOWLEDGED
from cosmo_runtime.runtime.cli.common import DONE, UsageError, say, show_table
from cosmo_runtime.runtime.cli.options import add_home_folder
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.episodes.entries import ALARM, entries, last_alarms, why_behind
from cosmo_runtime.runtime.state import acknowledge, clips_folder, log_folder, state_folder

_HELP = """\
examples:
  cosmo-runtime alarms                           all alarms, the newest last
  cosmo-runtime alarms --acknowledge fall        the run takes it with its next window
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime alarms",
        description="Shows the alarms that a run with --home has raised, and why.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--acknowledge", metavar="NAME", help="say that somebody has dealt with this alarm")
    command.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_home_folder(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    home = options.home or state_folder()
    alarms = list(entries(log_folder(home), kinds=(ALARM,)))
    behind = why_behind(log_folder(home))
    if behind:
        say(behind)
    if options.acknowledge is not None:
        standing = {name: last for name, last in last_alarms(log_folder(home)).items() if last["stands"]}
        name = as_known(options.acknowledge, standing)
        if name not in standing:
            raise UsageError(f"alarm {options.acknowledge!r} is not active; active: {', '.join(standing) or 'none'}")
        acknowledge(home, name, number(standing[name]))
        say(f"{name}: acknowledged; the run takes it with its next window, or the next run as it starts")
    elif options.json:
        for entry in alarms:
            print(json.dumps(entry))
    else:
        _show(alarms, clips_folder(home))
    return DONE


def _show(alarms: list[Dict[str, Any]], clips: Path) -> None:
    table = Table("time", "alarm", "state", "activity", "confidence", "sensors", "clip", box=None, header_style="dim")
    for entry in alarms:
        evidence = entry["evidence"]
        sure = f"{evidence['confidence']:.0%}" if "confidence" in evidence else ""
        state = entry["state"] + (", quiet" if entry["quiet"] else "")
        time = entry["time"][:19].replace("T", " ")
        sensors = " ".join(evidence.get("sensors", ()))
        if entry["state"] == ACKNOWLEDGED and times(entry):  # the evidence is that of the last one
            state, sure, sensors = f"{state}, but not the last {times(entry)}", "", ""
        clip = entry.get("clip", "")
        if clip and not (clips / clip).exists():
            clip = "not there: deleted, or no room for it"
        table.add_row(time, entry["name"], state, evidence["activity"], sure, sensors, clip)
    show_table(table)
