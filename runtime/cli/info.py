"""``cosmo-runtime info``: shows what a recording holds, whom it shows, and how it was made."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Mapping

from cosmo_runtime.runtime.cli.common import DONE, counted
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.labels.table import labels_beside, of_another
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.segments import segments_of, size_and_change

_NOT_SET = ", because the clock was not set: its wall times mean nothing, its seconds from the start are right"
_SET_S = 978_307_200  # 2001; a clock that shows less was never set

_FIRST = ("participant", "operator", "note", "consent_until", "expires", "alarm", "source", "bundle", "version")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime info", description="Shows what a recording holds, whose it is, and how it was made."
    )
    command.add_argument("recording", type=Path, metavar="RECORDING")
    command.add_argument(
        "--json", action="store_true", help="print JSON, with the configuration and the chirp file that were used"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    facts = _describe(Recording(options.recording))
    if options.json:
        print(json.dumps(facts, indent=2))
        return DONE
    for key in ("path", "began", "seconds", "bytes"):
        print(f"{key:<15}{facts[key]}{_NOT_SET if key == 'began' and not facts['clock_set'] else ''}")
    print(f"{'state':<15}{_state(facts)}")
    refused = f", but {facts['labels_refused']}" if facts["labels_refused"] else ""
    print(f"{'labels':<15}{facts['labels'] or 'no labels'}{refused}")
    for name, sensor in facts["sensors"].items():
        print(f"{'sensor ' + name:<15}{sensor['kind']}, {sensor['device']}, {sensor['rate_hz']:g} Hz")
    metadata = facts["metadata"]
    for key in _FIRST:
        if metadata.get(key):
            print(f"{key.replace('_', ' '):<15}{metadata[key]}")
    settings = [key for key in metadata if key == "configuration" or key.startswith("chirps.")]
    if any(metadata[key] for key in settings):
        print(f"{'also kept':<15}{', '.join(key for key in settings if metadata[key])} (--json shows them)")
    return DONE


def _state(facts: Mapping[str, Any]) -> str:
    dropped = facts["dropped"]
    if facts["damaged"]:
        return f"damaged: {', '.join(facts['damaged'])}, and nothing behind that is read"
    if not facts["whole"]:
        return "cut short: the run was killed, the disk was full, or it is still being written"
    but = f", but {counted(dropped, 'event was', 'events were')} dropped" if dropped else ""
    return f"written to its end{but}"  # its content is not read


def _describe(recording: Recording) -> Dict[str, Any]:
    labels = labels_beside(recording.path)
    segments = segments_of(recording.path)
    began_s = recording.wall_ns(recording.start_ns) / 1e9
    return {
        "path": str(recording.path),
        "began": datetime.fromtimestamp(began_s, timezone.utc).astimezone().isoformat(timespec="seconds"),
        "clock_set": began_s >= _SET_S,
        "seconds": round(recording.duration_s, 3),
        "bytes": size_and_change(recording.path)[0],
        "segments": len(segments) or None,
        "whole": not recording.cut and not recording.holes,
        "damaged": recording.holes,
        "dropped": recording.dropped,
        "labels": str(labels) if labels.exists() else None,
        "labels_refused": of_another(labels, recording) if labels.exists() else "",
        "sensors": {
            name: {"kind": info.kind, "device": info.device, "rate_hz": info.rate_hz, "latency_ms": info.latency_ms}
            for name, info in recording.infos.items()
        },
        "metadata": recording.metadata,
    }
