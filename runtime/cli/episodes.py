"""``cosmo-runtime episodes``: shows what was done, from when to when, in the log of a run with ``--home``."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from datetime import date, datetime, timedelta
from typing import Any, Dict, List

from rich.table import Table

from cosmo_runtime.runtime.cli.common import DONE, show_table
from cosmo_runtime.runtime.cli.options import add_home_folder
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.episodes.days import bounds_ns, minutes_by_day
from cosmo_runtime.runtime.episodes.entries import EPISODE, entries
from cosmo_runtime.runtime.state import log_folder, state_folder

_COLUMNS = ("start", "end", "start_utc", "end_utc", "seconds", "activity", "confidence", "sensors", "bundle", "reason")

_HELP = """\
examples:
  cosmo-runtime episodes --day today
  cosmo-runtime episodes --day 2026-11-28 --csv > day.csv
  cosmo-runtime episodes summary                 minutes by activity and day
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime episodes",
        description="Shows the log of a run with --home: what was done, from when to when, and how sure that is.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "what",
        nargs="?",
        choices=("list", "summary"),
        default="list",
        help="the episodes, or the minutes of each activity by day (default: list)",
    )
    command.add_argument("--day", type=_day, metavar="DAY", help="only this local day: 2026-11-28, today, yesterday")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print a table for spreadsheets and other programs")
    form.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_home_folder(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    folder = log_folder(options.home or state_folder())
    one_day = options.day and options.what == "list"  # when nothing ran, only the days around can tell
    bounds = bounds_ns(options.day) if one_day else (0, 1 << 62)
    logged = list(entries(folder, *bounds, kinds=(EPISODE,)))
    if options.what == "summary":
        days = minutes_by_day(logged)
        rows = [
            {"day": day.isoformat(), "activity": activity, "minutes": round(minutes, 2)}
            for day, counts in days.items()
            for activity, minutes in counts.items()
            if options.day in (None, day)
        ]
        _print(rows, ("day", "activity", "minutes"), options)
    elif options.json:
        _print(logged, (), options)
    else:
        _print([{**entry, "sensors": " ".join(entry.get("sensors", ()))} for entry in logged], _COLUMNS, options)
    return DONE


def _print(rows: List[Dict[str, Any]], columns: tuple[str, ...], options: argparse.Namespace) -> None:
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    if options.csv:
        writer = csv.DictWriter(sys.stdout, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    shown = [name for name in columns if not name.endswith("_utc") and name not in ("bundle", "reason")]
    table = Table(*shown, box=None, header_style="dim")
    for row in rows:
        table.add_row(*(_cell(name, row.get(name, "")) for name in shown))
    show_table(table)


def _cell(name: str, value: Any) -> str:
    if name in ("start", "end"):
        return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.0%}" if name == "confidence" and value != "" else str(value)


def _day(text: str) -> date:
    named = {"today": 0, "yesterday": 1}
    if text in named:
        return datetime.now().date() - timedelta(days=named[text])
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
        bounds_ns(day)
        return day
    except (ValueError, OverflowError) as error:  # the first and the last day that Python knows have no bounds
        raise argparse.ArgumentTypeError(f"{text!r}: expected a day such as 2026-11-28, or today") from error
