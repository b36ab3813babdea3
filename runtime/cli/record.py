"""``cosmo-runtime record``: keeps what the sensors bring, without recognising."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import List

from runtime.cli.common import DONE, TERMINAL, add_expires, add_rig, check_recording, open_live, say, until
from runtime.config import load_config
from runtime.expiry import expires
from runtime.loop import Sink, keep
from runtime.record import RecordingSink
from runtime.view import LiveView
from sensors.recording import RecordingWriter


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime record",
        description="Keeps what the sensors bring in an MCAP file, for Foxglove, Rerun, --replay.",
    )
    add_rig(command)
    add_expires(command)
    command.add_argument("file", type=Path, metavar="FILE.mcap", help="the new recording")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    config = load_config(options.config)
    with ExitStack() as stack:
        run = open_live(options, config, stack)
        story = {"source": run.title, **expires(options.expires)}
        writer = stack.enter_context(RecordingWriter(options.file, run.infos, story))
        title = f"recording to {options.file}"
        sinks: List[Sink] = [RecordingSink(writer)]
        if TERMINAL.is_terminal:
            sinks.append(LiveView(None, run.infos, title, TERMINAL))
        else:
            say(title + "; Ctrl-C ends")
        try:
            keep(until(run.events, run.stop, options.duration), sinks)
        finally:
            for sink in sinks:
                sink.close()
    check_recording(writer)
    counts = ", ".join(f"{name} {info.counts['samples']}" for name, info in run.infos.items())
    say(f"{options.file}: {options.file.stat().st_size / 1e6:.1f} MB, samples: {counts}")
    return DONE
