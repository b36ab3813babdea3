"""``cosmo-runtime record``: keeps what the sensors bring, and may tell a person what to do meanwhile."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import List, Optional, Sequence

from runtime.cli.common import (
    DONE,
    TERMINAL,
    UsageError,
    add_expires,
    add_rig,
    check_recording,
    new_recording,
    open_live,
    say,
    seconds,
    until,
)
from runtime.config import load_config
from runtime.expiry import expires
from runtime.loop import Sink, keep
from runtime.prompt import Prompter, read_activities
from runtime.record import RecordingSink
from runtime.session import labels_beside, refuse_existing, write_labels
from runtime.truth import Segment
from runtime.view import LiveView
from sensors.recording import Recording, RecordingWriter

_REST_S = 5.0

_HELP = """\
ACTIVITIES.txt has an activity a line, with seconds and, where it is not three times, how often:
  # activity, seconds, times
  wave, 5
  sit down, 4, 6
Each is announced and counted down to, on the screen and by the terminal's bell. What was done to its end stands in
FILE.csv, which `cosmo-runtime finetune` reads; Ctrl-C keeps what was done until then.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime record",
        description="Keeps what the sensors bring in an MCAP file, for Foxglove, Rerun, --replay.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_rig(command)
    add_expires(command)
    command.add_argument("--prompt", type=Path, metavar="ACTIVITIES.txt", help="tell a person what to do, and label it")
    command.add_argument("--rest", type=seconds, metavar="S", help="before each activity of a prompt (default: 5)")
    command.add_argument("file", type=new_recording, metavar="FILE.mcap", help="the new recording")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    config = load_config(options.config)
    prompter = _prompter(options)
    with ExitStack() as stack:
        run = open_live(options, config, stack)
        story = {"source": run.title, **expires(options.expires)}
        writer = stack.enter_context(RecordingWriter(options.file, run.infos, story))
        title = f"recording to {options.file}"
        sinks: List[Sink] = [RecordingSink(writer)]
        if TERMINAL.is_terminal:
            cue = (lambda: prompter.cue) if prompter else None
            sinks.append(LiveView(None, run.infos, title, TERMINAL, cue))
        else:
            say(title + "; Ctrl-C ends")
        events = until(run.events, run.stop, options.duration)
        try:
            keep(prompter.lead(events) if prompter else events, sinks)
        finally:
            for sink in sinks:
                sink.close()
    check_recording(writer)
    counts = ", ".join(f"{name} {info.counts['samples']}" for name, info in run.infos.items())
    say(f"{options.file}: {options.file.stat().st_size / 1e6:.1f} MB, samples: {counts}")
    if prompter:
        _tell_labels(prompter, labels_beside(options.file))
    return DONE


def _prompter(options: argparse.Namespace) -> Optional[Prompter]:
    """Reads the prompt, if there is one, and says how long it will take."""
    if not options.prompt:
        if options.rest:
            raise UsageError("--rest goes with --prompt only")
        return None
    activities = read_activities(options.prompt)
    labels = labels_beside(options.file)
    refuse_existing(labels)

    def keep_labels(done: Sequence[Segment]) -> None:
        write_labels(labels, done, Recording(options.file).start_ns, replace=True)

    to_screen = TERMINAL.is_terminal
    prompter = Prompter(
        activities,
        options.rest or _REST_S,
        say=(lambda line: None) if to_screen else say,
        beep=TERMINAL.bell if to_screen else lambda: None,
        on_done=keep_labels,
    )
    say(f"{options.prompt}: {prompter.total} times an activity, {_minutes(prompter.seconds)} in all")
    once = [activity.name for activity in activities if activity.times == 1]
    if once:
        say(
            f"only once: {', '.join(once)}. Fine-tuning needs two examples of each activity, in this session or others."
        )
    if options.emulate:
        say("The emulated rig does not follow the prompt: its labels are for trying this out, and not true.")
    return prompter


def _tell_labels(prompter: Prompter, labels: Path) -> None:
    if prompter.done:
        say(f"{labels}: labels of {len(prompter.done)} of {prompter.total} activities, all that were done to their end")
    else:
        say("nothing was done to its end, so there are no labels")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
