"""``cosmo-runtime bundle``: which bundles there are, which one is in use, and changing between them."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any, Dict, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.bundle import MANIFEST, Bundle
from models.shelf import Shelf, Shelved
from runtime.cli.common import DONE, say
from runtime.engines import records

_HELP = """\
examples:
  cosmo-runtime bundle list
  cosmo-runtime bundle use person-2026-11-24-1     a running cosmo-runtime --follow takes it at once
  cosmo-runtime bundle rollback                    back to the one that was in use before
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime bundle",
        description=f"Bundles are the shipped one and those in {Shelf().folder}. "
        "The one in use is what runs where no other is asked for.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show all bundles")
    listing.add_argument("--json", action="store_true", help="for machines")
    using = actions.add_parser("use", help="put one in use")
    using.add_argument("name", metavar="NAME", help="as `list` shows it")
    actions.add_parser("rollback", help="put the one in use that was in use before")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    shelf = Shelf()
    if options.action == "list":
        _list(shelf, options.json)
    else:
        bundle = shelf.use(options.name) if options.action == "use" else shelf.rollback()
        say(f"in use: {bundle.path.name}, {len(bundle.spec.classes)} activities from {', '.join(bundle.spec.sensors)}")
    return DONE


def _list(shelf: Shelf, as_json: bool) -> None:
    in_use = shelf.in_use
    told = [{**_describe(shelved), "in_use": shelved.path == in_use} for shelved in shelf.bundles()]
    if as_json:
        print(json.dumps({"folder": str(shelf.folder), "in_use": in_use.name, "bundles": told}, indent=2))
        return
    Console().print(_table(told))
    for bundle in told:
        if bundle["damage"]:
            say(f"{bundle['name']} is damaged: {bundle['damage']}")
    if not any(bundle["in_use"] for bundle in told):
        say(f"{in_use} is in use but gone; put another in use: cosmo-runtime bundle use NAME")


def _describe(shelved: Shelved) -> Dict[str, Any]:
    """What there is to know of a bundle, for machines; of a damaged one only what is certain."""
    made = None if shelved.shipped else datetime.fromtimestamp((shelved.path / MANIFEST).stat().st_mtime).astimezone()
    return {
        "name": shelved.name,
        "path": str(shelved.path),
        "shipped": shelved.shipped,
        "made": made.isoformat(timespec="seconds") if made else None,
        "bytes": sum(file.stat().st_size for file in shelved.path.rglob("*") if file.is_file()),
        "damage": shelved.damage or None,
        **(_content(shelved.bundle) if shelved.bundle else {}),
    }


def _content(bundle: Bundle) -> Dict[str, Any]:
    data = bundle.provenance.get("data", "")
    return {
        "classes": bundle.spec.classes,
        "sensors": bundle.spec.sensors,
        "engines": [
            built.model_dump(include={"engine", "precision", "version", "gpu"})
            for built in records(bundle)
            if built.verification.passed
        ],
        "data": data if isinstance(data, str) else ", ".join(data),
        "accuracy": {
            part: scores["accuracy"]
            for part, scores in bundle.metrics.items()
            if isinstance(scores, Mapping) and "accuracy" in scores
        },
    }


def _table(told: Sequence[Dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
    for column in ("", "bundle", "activities", "accuracy", "engines", "made", "size"):
        table.add_column(column, justify="right" if column in ("activities", "size") else "left", no_wrap=True)
    table.add_column("learned from", no_wrap=True, ratio=1)  # what fits in the line; the model card has all of it
    for bundle in told:
        if bundle["damage"]:
            content = [Text("damaged", "red"), *[Text()] * 2]
        else:
            accuracy = [f"{value:.1%} {part}" for part, value in bundle["accuracy"].items() if part != "train"]
            engines = [f"{built['engine']} {built['precision']}" for built in bundle["engines"]]
            content = [
                Text(str(len(bundle["classes"]))),
                Text("\n".join(accuracy) or "–"),
                Text("\n".join(["onnxruntime", *engines])),
            ]
        table.add_row(
            Text("●" if bundle["in_use"] else "", "green"),
            Text(bundle["name"], "bold" if bundle["in_use"] else ""),
            *content,
            "shipped" if bundle["shipped"] else bundle["made"][:10],
            f"{bundle['bytes'] / 1e6:.1f} MB",
            bundle.get("data", ""),
        )
    return table
