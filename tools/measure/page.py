"""Measures the cost and the speed of the page, in Debian's Chromium on this machine.

    python tools/measure/page.py all --data PATH/utd-mhad    all of it, in some nine minutes; needs 10 GB of disk
    python tools/measure/page.py live --minutes 3            cost of an open page, side by side in one run
    python tools/measure/page.py recording hour.mcap         opening, scrubbing, memory of the server
    python tools/measure/page.py labels --data PATH/utd-mhad labelling the 54 actions of a session by keys
    python tools/measure/page.py make hour.mcap --hours 1    a long recording to measure with
    python tools/measure/page.py make day --hours 24         likewise, a folder of segments with few pictures

Needs the extras [web], [emulation] and [dev], and psutil.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Dict

from cosmo_runtime.tools.measure.page_labels import measure_labelling
from cosmo_runtime.tools.measure.page_live import measure_live
from cosmo_runtime.tools.measure.page_long import make_day, make_long
from cosmo_runtime.tools.measure.page_recordings import measure_recording

_SUBJECT = 7
_LIVE_MINUTES = 3.0


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = command.add_subparsers(dest="what", required=True)
    everything = parts.add_parser("all")
    live = parts.add_parser("live")
    live.add_argument("--minutes", type=float, default=_LIVE_MINUTES)
    for part in everything, live:
        part.add_argument(
            "--nice", type=int, default=0, help="niceness of the run; below 0 (as root), it goes before other work"
        )
    made = parts.add_parser("make")
    made.add_argument("path", type=Path, help="a file that ends in .mcap, or a folder")
    made.add_argument("--hours", type=float, default=1)
    recording = parts.add_parser("recording")
    recording.add_argument("path", type=Path)
    labels = parts.add_parser("labels")
    for part in everything, labels:
        part.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    options = command.parse_args()
    if options.what == "make":
        make = make_long if options.path.suffix else make_day
        make(options.path, options.hours)
        return
    if options.what == "all":
        measured = measure_all(options.data, options.nice)
    elif options.what == "live":
        measured = measure_live(options.minutes, options.nice)
    elif options.what == "recording":
        measured = measure_recording(options.path)
    else:
        measured = measure_labelling(options.data, _SUBJECT)
    print(json.dumps(measured, indent=2))


def measure_all(data: Path, nice: int) -> Dict[str, Any]:
    """Measures all figures, one after the other."""
    began = time.monotonic()
    measured: Dict[str, Any] = {"live": measure_live(_LIVE_MINUTES, nice)}
    with tempfile.TemporaryDirectory() as folder:
        hour = Path(folder) / "hour.mcap"
        make_long(hour, 1)
        measured["hour"] = measure_recording(hour)
        hour.unlink()
        make_day(Path(folder) / "day", 24)
        measured["day"] = measure_recording(Path(folder) / "day")
    measured["labels"] = measure_labelling(data, _SUBJECT)
    return {**measured, "minutes": round((time.monotonic() - began) / 60, 1)}


if __name__ == "__main__":
    main()
