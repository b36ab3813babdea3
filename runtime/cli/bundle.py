"""``cosmo-runtime bundle``: lists the bundles, and changes the one in use."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Literal, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cosmo_runtime.models.bundle import MANIFEST, Bundle, load_bundle
from cosmo_runtime.models.carry import export_bundle, import_bundle, read_key
from cosmo_runtime.models.shelf import SHIPPED, Shelf, Shelved
from cosmo_runtime.runtime.cli.common import DONE, TERMINAL, say
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import bundle_folder
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.choose import records

_LEAST_COLUMNS = 14  # of the last column, which may be cut

_HELP = """\
examples:
  cosmo-runtime bundle list
  cosmo-runtime bundle use person-2026-11-24-1     a running `cosmo-runtime --follow` switches at once
  cosmo-runtime bundle rollback                    back to the model used before
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime bundle",
        description=f"Lists the models (bundles) and chooses the one in use, which runs unless you name another.\n"
        f"Models are those that ship and those in {Shelf().folder}.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show all bundles")
    listing.add_argument("--json", action="store_true", help="print JSON")
    using = actions.add_parser("use", help="choose the one in use")
    using.add_argument("name", metavar="NAME", help="name from `list`")
    actions.add_parser("rollback", help="go back to the one used before")
    carrying = [
        actions.add_parser("export", help="write a bundle to a file, for other devices"),
        actions.add_parser("import", help="add an exported bundle to this device; `use` puts it in use"),
    ]
    carrying[0].add_argument("name", metavar="NAME", type=bundle_folder, help="name from `list`, or a folder")
    for action in carrying:
        action.add_argument("file", metavar="FILE", type=Path)
        action.add_argument(
            "--config",
            type=Path,
            metavar="FILE.toml",
            help="configuration whose [bundles] key_file signs what is exported and checks what is imported",
        )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    shelf = Shelf()
    if options.action == "list":
        _list(shelf, options.json)
    elif options.action in ("export", "import"):
        _carry(shelf, options)
    else:
        bundle = shelf.use(options.name) if options.action == "use" else shelf.rollback()
        say(f"in use: {bundle.path.name}, {len(bundle.spec.classes)} activities from {', '.join(bundle.spec.sensors)}")
    return DONE


def _carry(shelf: Shelf, options: argparse.Namespace) -> None:
    key_file = load_config(options.config).bundles.key_file
    key = read_key(key_file) if key_file else None
    signed = "signed" if key else "not signed"
    if options.action == "export":
        export_bundle(load_bundle(options.name), options.file, key)
        say(f"{options.file}: {options.name.name}, {options.file.stat().st_size / 1e6:.1f} MB, {signed}")
    else:
        bundle = import_bundle(options.file, shelf, key)
        checked = "digests and signature" if key else "digests"
        say(f"{bundle.path}: {checked} are right; put it in use: cosmo-runtime bundle use {bundle.path.name}")


def _list(shelf: Shelf, as_json: bool) -> None:
    in_use = shelf.in_use
    facts = [{**_describe(shelved), "in_use": shelved.path == in_use} for shelved in shelf.bundles()]
    if as_json:
        print(json.dumps({"folder": str(shelf.folder), "in_use": in_use.name, "bundles": facts}, indent=2))
        return
    _print_table(facts)
    for bundle in facts:
        if bundle["damage"]:
            say(f"{bundle['name']} is damaged: {bundle['damage']}")
        if not bundle["shipped"] and (SHIPPED / bundle["name"]).exists():
            say(f"{bundle['name']} is the one in {bundle['path']}. It hides the shipped one; rename it to see both")
    if not any(bundle["in_use"] for bundle in facts):
        say(f"{in_use} is in use but does not exist. Choose another: cosmo-runtime bundle use NAME")


def _describe(shelved: Shelved) -> Dict[str, Any]:
    """A bundle's facts for machines. A damaged one has only those that are certain."""
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
        "data": ", ".join(map(str, data)) if isinstance(data, list) else str(data),
        "accuracy": {
            part: scores["accuracy"]
            for part, scores in bundle.metrics.items()
            if isinstance(scores, Mapping) and isinstance(scores.get("accuracy"), float)
        },
    }


def _print_table(facts: Sequence[Dict[str, Any]]) -> None:
    """Prints a table with as many of the first columns as fit into a terminal. Elsewhere it has any width.

    Names are never cut, because `use` needs them. On a terminal that is too narrow, the line wraps.
    """
    columns: Dict[str, List[Text]] = {
        "": [Text("●" if bundle["in_use"] else "", "green") for bundle in facts],
        "bundle": [Text(bundle["name"], "bold" if bundle["in_use"] else "") for bundle in facts],
        "activities": [_activities(bundle) for bundle in facts],
        "accuracy": [_accuracy(bundle) for bundle in facts],
        "engines": [_engines(bundle) for bundle in facts],
        "made": [Text("shipped" if bundle["shipped"] else bundle["made"][:10]) for bundle in facts],
        "size": [Text(f"{bundle['bytes'] / 1e6:.1f} MB") for bundle in facts],
        "learned from": [Text(bundle.get("data", "")) for bundle in facts],
    }
    table = Table(box=None, padding=(0, 1), header_style="dim")
    shown: List[List[Text]] = []
    width, room = 0, TERMINAL.width if TERMINAL.is_terminal else sys.maxsize
    for title, cells in columns.items():
        needed = 2 + max(cell_len(line) for cell in (title, *cells) for line in str(cell).split("\n"))
        if title == "learned from" and room - width > _LEAST_COLUMNS:  # the model's card has the whole text
            needed = min(needed, room - width)
        if width + needed > room and len(shown) > 1:
            break
        justify: Literal["left", "right"] = "right" if title in ("activities", "size") else "left"
        table.add_column(title, justify=justify, no_wrap=True, width=needed - 2)
        shown.append(cells)
        width += needed
    for row in zip(*shown):
        table.add_row(*row)
    Console(width=width).print(table)


def _activities(bundle: Dict[str, Any]) -> Text:
    return Text("damaged", "red") if bundle["damage"] else Text(str(len(bundle["classes"])))


def _accuracy(bundle: Dict[str, Any]) -> Text:
    shares = [f"{share:.1%} {part}" for part, share in bundle.get("accuracy", {}).items() if part != "train"]
    return Text("" if bundle["damage"] else "\n".join(shares) or "–")


def _engines(bundle: Dict[str, Any]) -> Text:
    built = [f"{engine['engine']} {engine['precision']}" for engine in bundle.get("engines", [])]
    return Text("" if bundle["damage"] else "\n".join(["onnxruntime", *built]))
