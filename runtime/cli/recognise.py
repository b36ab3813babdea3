"""``cosmo-runtime``: recognises, live or from a recording."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, List, Optional

from rich.console import Console

from models.bundle import Bundle, load_bundle
from models.shelf import Shelf
from runtime.aligner import Aligner
from runtime.cli.common import (
    DONE,
    FAILED,
    TERMINAL,
    Failure,
    Run,
    UsageError,
    add_bundle,
    add_expires,
    add_rig,
    check_recording,
    chosen_bundle,
    new_recording,
    open_live,
    say,
    stop_on_signals,
    until,
)
from runtime.config import load_config
from runtime.engines import CHOICES, open_engine
from runtime.expiry import expires
from runtime.follow import Follower
from runtime.json_lines import JsonLines
from runtime.loop import Sink, recognise
from runtime.recognizer import Recognizer
from runtime.record import RecordingSink
from runtime.replay import WindowCheck, is_same_run, replay, windows_key
from runtime.summary import Summary
from runtime.view import LiveView
from sensors.recording import Recording, RecordingWriter

_HELP = """\
other commands (each has its own --help):
  cosmo-runtime record     keep what the sensors bring, without recognising
  cosmo-runtime label      a first table of labels for a recording, to be corrected by hand
  cosmo-runtime purge      delete the recordings that have expired
  cosmo-runtime build      an engine for this machine's GPU
  cosmo-runtime doctor     what is attached, what is wrong, how to mend it
  cosmo-runtime bundle     which models there are, which one is in use, and changing it
  cosmo-runtime finetune   learn one person and one room from a labelled recording
  cosmo-runtime pretrain   learn from unlabelled data (stage 1 of Cosmo)

examples:
  cosmo-runtime --sensors imu,depth,radar --emulate person      no hardware needed
  cosmo-runtime --sensors imu,depth,radar --config cosmo.toml --record today.mcap
  cosmo-runtime --sensors imu,depth,radar --replay today.mcap --speed max --output -
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime",
        description="Recognises what a person does from an IMU, a depth camera and a mmWave radar, live.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_rig(command)
    add_bundle(command)
    command.add_argument(
        "--follow", action="store_true", help="take the bundle that is put in use (`bundle use`) without stopping"
    )
    command.add_argument(
        "--engine", choices=CHOICES, help="what runs the model (default: auto, the fastest that `build` has verified)"
    )
    command.add_argument("--replay", type=Path, metavar="FILE.mcap", help="a recording instead of sensors")
    command.add_argument("--speed", choices=("1", "max"), default="1", help="of a replay (default: 1, real time)")
    command.add_argument(
        "--record", type=new_recording, metavar="FILE.mcap", help="also keep everything in a recording"
    )
    add_expires(command)
    command.add_argument(
        "--output", type=Path, metavar="FILE|-", help="JSON lines, one a prediction (default: when not on a terminal)"
    )
    command.add_argument("--summary", type=Path, metavar="FILE.json", help="also write the closing figures to a file")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
    config = load_config(options.config)
    settings = config.recognition
    bundle = load_bundle(chosen_bundle(options, config))
    spec = bundle.spec
    _refuse_nonsense(options, bundle)
    if options.follow and (options.bundle or settings.bundle):
        raise UsageError("--follow runs the bundle in use: leave out --bundle, and bundle in the configuration")

    def recognizer_of(bundle: Bundle) -> Recognizer:
        engine = open_engine(bundle, options.engine or settings.engine, settings.threads)
        recognizer = Recognizer(bundle, engine, settings.min_confidence, settings.smoothing)
        recognizer.warm_up()
        return recognizer

    recognizer = recognizer_of(bundle)
    windows = windows_key(spec, settings.lateness_ms)
    with ExitStack() as stack:
        run = _open_replay(options, windows) if options.replay else open_live(options, config, stack)
        lines = _output(options, run.wall_offset_ns, stack)
        summary = Summary(run.infos)
        sinks: List[Sink] = [summary]
        writer: Optional[RecordingWriter] = None
        if options.record:
            story = {"windows": windows, "bundle": bundle.path.name, "source": run.title, **expires(options.expires)}
            writer = stack.enter_context(RecordingWriter(options.record, run.infos, story))
            sinks.append(RecordingSink(writer))
        if run.check:
            sinks.append(run.check)
        if lines:
            sinks.append(lines)
        if TERMINAL.is_terminal and str(options.output) != "-":
            sinks.append(LiveView(spec, run.infos, run.title, TERMINAL))
        rates_hz = {name: info.rate_hz for name, info in run.infos.items()}
        aligner = Aligner(spec, rates_hz, settings.lateness_ms / 1e3)
        events = until(run.events, run.stop, options.duration)
        follower = Follower(Shelf(), bundle, run.infos, recognizer_of, bool(writer or run.check))
        if options.follow:
            stack.enter_context(follower)
        try:
            recognise(events, aligner, recognizer, run.infos, sinks, not options.replay, follower.take)
            whole = options.duration is None and not run.stop.is_set()
        except BrokenPipeError:  # whoever read our lines has seen enough
            whole = False
        finally:
            for sink in sinks:
                sink.close()
    Console(stderr=True).print(summary.render())
    unwritten = _write_summary(options.summary, summary) if options.summary else None
    if writer:
        check_recording(writer)
    different = 0
    if run.check:
        different = len(run.check.different) + (len(run.check.missing) if whole else 0)
        say(f"windows equal to those of the live run, bit for bit: {run.check.same} of {run.check.same + different}")
    if lines and lines.failure:
        raise Failure(lines.failure)
    if unwritten:
        raise Failure(unwritten)
    return FAILED if different else DONE


def _refuse_nonsense(options: argparse.Namespace, bundle: Bundle) -> None:
    unknown = [name for name in options.sensors if name not in bundle.spec.sensors]
    if unknown:
        known = ", ".join(bundle.spec.sensors)
        raise UsageError(f"--sensors: {bundle.path} has no {', '.join(unknown)}; it has {known}")
    if options.replay and (options.emulate or options.record):
        raise UsageError("--replay goes with neither --emulate nor --record")
    if options.record and options.record.exists():  # the writer would say so, but after --output was emptied
        raise Failure(f"{options.record} exists already: choose another name, or move it away")
    if options.expires and not options.record:
        raise UsageError("--expires goes with --record only")
    if options.summary and not options.summary.parent.is_dir():
        raise UsageError(f"--summary {options.summary}: there is no folder {options.summary.parent}")
    if options.speed != "1" and not options.replay:
        raise UsageError("--speed goes with --replay only")


def _open_replay(options: argparse.Namespace, windows: str) -> Run:
    """Opens a recording; ``windows`` is the key of those that will be cut."""
    recording = Recording(options.replay)
    infos = {name: recording.infos[name] for name in options.sensors if name in recording.infos}
    if not infos:
        held = ", ".join(recording.infos) or "none"
        raise UsageError(f"--sensors: {options.replay} holds none of them; it holds {held}")
    if recording.cut:
        say(f"{recording.path}: was cut short, by a kill or a full disk; plays up to there")
    same_run = is_same_run(recording, infos, windows)
    stop = stop_on_signals()
    events = replay(recording, infos, same_run, options.speed == "1", stop.is_set)
    check = WindowCheck(recording) if same_run else None
    title = f"replay of {options.replay.name}"
    return Run(events, infos, stop, title, lambda: recording.wall_offset_ns, check)


def _output(options: argparse.Namespace, wall_offset_ns: Callable[[], int], stack: ExitStack) -> Optional[JsonLines]:
    """The sink for machines: a file, or the standard output where nobody watches."""
    if options.output is None and TERMINAL.is_terminal:
        return None
    if options.output is None or str(options.output) == "-":
        return JsonLines(sys.stdout, wall_offset_ns)
    try:
        file = stack.enter_context(options.output.open("w", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--output {options.output}: {error.strerror}") from error
    return JsonLines(file, wall_offset_ns)


def _write_summary(path: Path, summary: Summary) -> Optional[str]:
    """Returns why it could not be written."""
    try:
        path.write_text(json.dumps(summary.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        return f"--summary {path}: {error.strerror}"
    return None
