"""``cosmo-runtime record``: records the sensors, and can tell a person what to do meanwhile."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

from cosmo_runtime.names import NOBODY
from cosmo_runtime.runtime.cli.common import DONE, TERMINAL, UsageError, counted, say
from cosmo_runtime.runtime.cli.keys import Keys
from cosmo_runtime.runtime.cli.options import add_rig, add_run_metadata
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.rig import check_recording, connect_rig, free_recording, open_writer, run_metadata
from cosmo_runtime.runtime.cli.streams import leads_nowhere
from cosmo_runtime.runtime.cli.values import new_recording, seconds
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.labels.prompt import Prompter, read_activities
from cosmo_runtime.runtime.labels.prompted import PromptedLabels
from cosmo_runtime.runtime.recognition.loop import Sink, call_all, pass_on
from cosmo_runtime.runtime.retention.expiry import expires
from cosmo_runtime.runtime.run import until
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sinks.view import LiveView
from cosmo_runtime.sensors.events import Event, Tick

_REST_S = 5.0

_HELP = """\
ACTIVITIES.txt has one activity per line, with its seconds and how often to do it (default: 3):
  # activity, seconds, times
  wave, 5
  sit down, 4, 6
Each activity is announced with a countdown, on the screen and with the terminal's bell. The labels of completed
activities are written beside the recording, with its name and .csv, for `cosmo-runtime finetune`. Ctrl-C ends and
keeps them. Keys: r repeats the last activity, s skips this one, p pauses and continues, e ends.
"""

_KEYS = {"r": "repeat", "s": "skip", "p": "pause", " ": "pause", "e": "end"}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime record",
        description="Records the sensors to an MCAP file, or to a folder of them, for --replay, Foxglove and Rerun.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_rig(command)
    add_run_metadata(command)
    command.add_argument(
        "--prompt", type=Path, metavar="ACTIVITIES.txt", help="tell a person what to do, and write labels"
    )
    command.add_argument(
        "--rest", type=seconds, metavar="S", help="seconds of rest before each activity of the prompt (default: 5)"
    )
    command.add_argument("file", type=new_recording, metavar="FILE.mcap|FOLDER", help="the new recording")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    config = load_config(options.config)
    asked, options.file = options.file, free_recording(options.file)
    labels = PromptedLabels(options.file)
    prompter = _prompter(options, labels)
    with ExitStack() as stack:
        run = connect_rig(options, config, stack)
        about = {**run_metadata(options, config, run), **expires(options.expires)}
        writer = open_writer(asked, options.file, options, run.infos, about)
        stack.callback(writer.close)
        title = f"recording to {options.file}"
        recording = RecordingSink(writer)
        sinks: List[Sink] = [recording]
        if TERMINAL.is_terminal:
            cue = (lambda: prompter.cue) if prompter else None
            view = LiveView(None, run.infos, title, TERMINAL, cue)
            sinks.append(QueuedSink(view, "live view", live=True))  # a terminal may block
        else:
            say(title + "; Ctrl-C ends")
        events = until(run.events, run.stop, options.duration)
        try:
            if prompter:
                events = prompter.lead(_with_keys(events, prompter, stack.enter_context(Keys())))
            pass_on(events, run.infos, sinks)
        finally:
            call_all(sinks, "close")
    check_recording(recording)
    counts = ", ".join(f"{name} {recording.samples[name]}" for name in run.infos)
    say(f"{options.file}: {recording.size / 1e6:.1f} MB, samples: {counts}")
    if prompter:
        _tell_labels(prompter, labels)
    return DONE


def _prompter(options: argparse.Namespace, labels: PromptedLabels) -> Optional[Prompter]:
    """Reads the prompt, if there is one, and says how long it will take."""
    if not options.prompt:
        if options.rest:
            raise UsageError("--rest needs --prompt")
        return None
    to_screen = TERMINAL.is_terminal
    if not to_screen and leads_nowhere(sys.stderr):
        raise UsageError(
            "--prompt has no way to tell the person what to do. Run it on a terminal, or do not close standard error"
        )
    activities = read_activities(options.prompt)
    prompter = Prompter(
        activities,
        options.rest or _REST_S,
        say=(lambda line: None) if to_screen else say,
        beep=TERMINAL.bell if to_screen else lambda: None,
        on_done=labels.keep,
    )
    to_do = counted(prompter.total, "activity", "activities")
    say(f"{options.prompt}: {to_do}, repetitions included, in {_minutes(prompter.seconds)}")
    times: Counter[str] = Counter()
    for activity in activities:
        times[activity.name] += activity.times
    once = [name for name, number in times.items() if number == 1 and name != NOBODY]
    if once:
        say(f"only once: {', '.join(once)}. Fine-tuning needs two examples of an activity, in this session or others.")
    if options.emulate:
        say("The emulated rig does not follow the prompt. Its labels are not true; use them to try things out.")
    return prompter


def _with_keys(events: Iterable[Event], prompter: Prompter, keys: Keys) -> Iterator[Event]:
    """Lets keys control the prompter."""
    for event in events:
        if isinstance(event, Tick):
            for key in keys.pressed():
                if key in _KEYS:
                    prompter.obey(_KEYS[key])
        yield event


def _tell_labels(prompter: Prompter, labels: PromptedLabels) -> None:
    if prompter.done:
        total = counted(prompter.total, "activity", "activities")
        if labels.warning:
            say(labels.warning)
        say(f"{labels.table}: labels of {len(prompter.done)} of {total}, all that were completed")
    else:
        say("no activity was completed, so there are no labels")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
