"""What ``cosmo-runtime`` alone does, whose options ``default.py`` has: recognises live or from a recording."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping, NamedTuple, Optional, Tuple

from rich.console import Console

from cosmo_runtime.models.bundle import STRANGER_TO_PEOPLE, Bundle, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.outputs import refuse_other_content
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.cli.common import DONE, FAILED, TERMINAL, Failure, UsageError, chosen_bundle, say, version
from cosmo_runtime.runtime.cli.options import DEFAULT_HOME
from cosmo_runtime.runtime.cli.page import Opened, open_page
from cosmo_runtime.runtime.cli.rig import check_recording, connect_rig, free_recording, open_writer, run_metadata
from cosmo_runtime.runtime.cli.signals import stop_on_signals
from cosmo_runtime.runtime.config import Config, load_config
from cosmo_runtime.runtime.engines.choose import open_engine
from cosmo_runtime.runtime.health.metrics import MetricsServer
from cosmo_runtime.runtime.health.notify import Notifier
from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.recognition.follow import Follower
from cosmo_runtime.runtime.recognition.loop import EndOfRun, Sink, call_all, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.retention.expiry import expires, same_person
from cosmo_runtime.runtime.run import Run, open_replay, until
from cosmo_runtime.runtime.selection.policy import Selection
from cosmo_runtime.runtime.sinks.json_lines import JsonLines
from cosmo_runtime.runtime.sinks.line_file import LineFile
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.sources.replay import windows_key
from cosmo_runtime.runtime.sync.correction import Corrector
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.recording import Recording

if TYPE_CHECKING:
    from cosmo_runtime.runtime.cli.home import Home


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    config = load_config(options.config)
    settings = config.recognition
    bundle = load_bundle(chosen_bundle(options, config)).at_hop(settings.hop_s)
    saves = options.save_energy or config.selection.save_energy
    _refuse_nonsense(options, config, bundle)

    def recognizer_of(bundle: Bundle) -> Recognizer:
        engine = open_engine(bundle, options.engine or settings.engine, settings.threads, saves)
        return Recognizer(bundle, engine, settings.min_confidence, settings.smoothing)

    opened = _open_page(options, config)
    recognizer = recognizer_of(bundle)
    live = not options.replay
    with ExitStack() as stack:
        run = connect_rig(options, config, stack) if live else _open_replay(options, bundle, settings.lateness_ms)
        _refuse_other_kinds(run, bundle)
        if not bundle.knows_real_people and not run.simulated:
            say(f"{bundle.path.name}: {STRANGER_TO_PEOPLE}. Choose another model: cosmo-runtime bundle list")
        sinks = _open_sinks(options, config, run, bundle, opened, stack)
        aligner = Aligner(bundle.spec, run.infos, settings.lateness_ms / 1e3)
        events = run.events
        if live and (options.auto_sync or settings.auto_sync):
            corrector = Corrector(run.infos)  # no queue: what it decides comes before the next window
            sinks.all.append(corrector)
            events = corrector.through(events)
        events = until(events, run.stop, options.duration)
        follower = Follower(
            Shelf(motion=options.emulate),
            bundle,
            run.infos,
            recognizer_of,
            same_windows_only=bool(sinks.recordings or run.check),
            hop_s=settings.hop_s,
        )
        if options.follow:
            stack.enter_context(follower)
        gc.freeze()  # a full collection would walk through all that is imported, and hold up an answer
        try:
            selection = _selection(config, run) if saves else None
            recognise(events, aligner, recognizer, run.infos, sinks.all, live, follower.take, selection)
            whole = options.duration is None and not run.stop.is_set()
        except EndOfRun:  # the reader of our lines has closed the pipe
            whole = False
        finally:
            gc.unfreeze()
            call_all(sinks.all, "close")
    return _conclude(options, run, sinks, whole)


def _open_page(options: argparse.Namespace, config: Config) -> Optional[Opened]:
    """Opens the page, if the run has one. A run that watches a home goes on without it."""
    if not options.web:
        return None
    try:
        return open_page(options, config)
    except Failure as failure:
        if options.page_only or options.home is None:
            raise
        say(f"cosmo-runtime: {failure}; the run goes on without the page")
        return None


class _Sinks(NamedTuple):
    """The open sinks of a run.

    Attributes:
        all: in the order in which they are told.
        recordings: those that record.
        summary: the closing summary.
        lines: the JSON lines, and the queue before them; None without.
        home: what ``--home`` opened; None without.
    """

    all: List[Sink]
    recordings: List[RecordingSink]
    summary: Summary
    lines: Optional[Tuple[JsonLines, QueuedSink]]
    home: Optional[Home]


def _open_sinks(
    options: argparse.Namespace, config: Config, run: Run, bundle: Bundle, opened: Optional[Opened], stack: ExitStack
) -> _Sinks:
    """Opens what the options ask for. What may block, such as a pipe, a disk or a terminal, gets a queue."""
    live = not options.replay
    queues: List[QueuedSink] = []
    recordings: List[RecordingSink] = []  # of which others tell
    json_lines = _output(options, run, stack)
    if json_lines:
        queues.append(QueuedSink(json_lines, "JSON lines", live=live))
    lines = (json_lines, queues[0]) if json_lines else None
    on_screen = TERMINAL.is_terminal and str(options.output) != "-" and not options.page_only
    if on_screen:  # drawing takes long, too
        from cosmo_runtime.runtime.sinks.view import LiveView

        queues.append(QueuedSink(LiveView(bundle.spec, run.infos, run.title, TERMINAL), "live view", live=live))
    about = {"bundle": bundle.path.name, **run_metadata(options, config, run)}
    recorder: Optional[Sink] = None
    if opened:
        feed, recorder = _page(opened, run, bundle, about, live, stack, recordings)
        queues.append(QueuedSink(feed, "page", live=live))
    home: Optional[Home] = None
    if options.home is not None:
        from cosmo_runtime.runtime.cli.home import open_home

        home = open_home(options, config, bundle, run, about)
        queues.append(home.queue)
    summary = Summary(run.infos, queues, recordings)
    vitals = Vitals(run.infos, queues, recordings, home.clips if home else None, home.troubles if home else tuple)
    # no queue: they only count, and must miss nothing; the last one tells systemd that the loop itself runs
    sinks: List[Sink] = [summary, vitals, Notifier(vitals)]
    if options.metrics:
        stack.enter_context(closing(MetricsServer(options.metrics, vitals, version())))
    if home:
        stack.enter_context(home.heartbeat(vitals))
    if options.record:
        windows = windows_key(bundle.spec, config.recognition.lateness_ms)
        about = {"windows": windows, **about, **expires(options.expires)}
        writer = open_writer(options.record, free_recording(options.record), options, run.infos, about)
        stack.callback(writer.close)
        recordings.append(RecordingSink(writer))
    sinks += recordings  # no queue: its writer has one
    if recorder:
        sinks.append(recorder)  # likewise
    if run.check:
        sinks.append(run.check)  # no queue: it must see every window, and no device waits for a replay
    return _Sinks([*sinks, *queues], recordings, summary, lines, home)


def _conclude(options: argparse.Namespace, run: Run, sinks: _Sinks, whole: bool) -> int:
    """Says how the run went, and returns the exit code. ``whole``: the events ended by themselves."""
    summary = sinks.summary
    Console(stderr=True).print(summary.render())
    written = not options.summary or _write_summary(options.summary, summary)
    for recording in sinks.recordings:
        check_recording(recording)
    different = 0
    if run.check:
        different = len(run.check.different) + (len(run.check.missing) if whole else 0)
        say(f"windows equal to those of the live run, bit for bit: {run.check.same} of {run.check.same + different}")
    if sinks.lines:
        lines, queue = sinks.lines
        if lines.failure:
            raise Failure(lines.failure)
        if queue.abandoned:
            raise Failure("JSON lines: the last lines could not be written")
    if sinks.home and sinks.home.unwritten():
        raise Failure(f"--home {sinks.home.folder}: {sinks.home.unwritten()} entries of the log could not be written")
    if summary.last_silence and not summary.windows:
        raise Failure(f"{run.title}: no window could be recognised: {summary.last_silence.reason}")
    return DONE if written and not different else FAILED


def _selection(config: Config, run: Run) -> Selection:
    watched = [name for rule in config.alarms for name in (rule.activity, *(rule.nothing_but or ())) if name]
    return Selection({name: info.kind for name, info in run.infos.items()}, config.selection, watched)


def _refuse_nonsense(options: argparse.Namespace, config: Config, bundle: Bundle) -> None:
    """Refuses options that contradict each other, the model, or the configuration."""
    unknown = bundle.spec.unknown(options.sensors)
    if unknown:
        raise UsageError(f"--sensors: the model {bundle.path.name} {unknown}")
    if options.replay and (options.emulate or options.record or options.auto_sync):
        raise UsageError("--replay cannot be used with --emulate, --record or --auto-sync")
    for option in ("expires", "keep", "operator", "note", "consent_until"):
        if getattr(options, option) and not options.record:
            raise UsageError(f"--{option.replace('_', '-')} needs --record")
    page_records = options.web and not options.replay
    if options.participant and not (options.record or page_records) and options.home is None:  # home: clips name them
        raise UsageError("--participant needs --record, --home, or --web with live sensors")
    if options.summary:
        _refuse_summary(options.summary)
    if not options.web and (options.listen or options.token or options.token_file or options.recordings):
        raise UsageError("--listen, --token, --token-file and --recordings need --web")
    if options.speed != "1" and not options.replay:
        raise UsageError("--speed needs --replay")
    if options.follow and (options.bundle or config.recognition.bundle):
        raise UsageError(
            "--follow runs the bundle in use. Leave out --bundle, and remove `bundle` from the configuration"
        )
    if options.home is not None:
        from cosmo_runtime.runtime.cli.home import refuse_silent_alarms

        refuse_silent_alarms(config, bundle)
    elif not options.replay and (config.alarms or config.mqtt):
        what = " and ".join(["alarms"] * bool(config.alarms) + ["[mqtt]"] * bool(config.mqtt))
        say(f"{options.config}: without --home, {what} do nothing")


def _refuse_summary(path: Path) -> None:
    """Refuses a summary that could not be written at the end."""
    if not path.parent.is_dir():
        raise Failure(f"--summary {path}: there is no folder {path.parent}")
    if (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK):
        raise Failure(f"--summary {path}: the folder {path.parent} cannot be written to")
    try:
        refuse_other_content(path)
    except OSError as error:
        raise Failure(f"--summary {path}: {error.strerror}") from error


def _refuse_other_kinds(run: Run, bundle: Bundle) -> None:
    for name, info in run.infos.items():
        kind = bundle.spec.kinds.get(name, info.kind)
        if kind != info.kind:
            raise UsageError(f"{name} is of kind {info.kind} here, but the model {bundle.path.name} knows it as {kind}")


def _open_replay(options: argparse.Namespace, bundle: Bundle, lateness_ms: float) -> Run:
    recording = Recording(options.replay)
    if not any(name in recording.infos for name in options.sensors):
        held = ", ".join(recording.infos) or "none"
        raise UsageError(f"--sensors: {options.replay} has none of them; it has {held}")
    if options.home not in (None, DEFAULT_HOME):
        from cosmo_runtime.runtime.cli.home import refuse_time_again

        refuse_time_again(recording, options.home)
    who = recording.metadata.get("participant")
    if who and options.participant and not same_person(who, options.participant):
        raise UsageError(f"--participant {options.participant}: {options.replay} is of {who}")
    lacking = [name for name in options.sensors if name not in recording.infos]
    if lacking:
        say(f"{recording.path}: has no {', '.join(lacking)}, and is played without")
    if recording.cut:
        say(f"{recording.path}: was cut short by a kill or a full disk, and is played up to there")
    return open_replay(
        recording,
        options.sensors,
        bundle.spec,
        lateness_ms,
        paced=options.speed == "1",
        raw=bool(options.home),  # for clips of alarms, which are recordings
        make_stop=stop_on_signals,
    )


def _output(options: argparse.Namespace, run: Run, stack: ExitStack) -> Optional[JsonLines]:
    """The sink for machines: a file, or standard output if it is not a terminal."""
    if options.output is None and (TERMINAL.is_terminal or options.page_only):
        return None
    if options.output is None or str(options.output) == "-":
        sys.stdout.flush()
        binary = sys.stdout.buffer
        file = LineFile(getattr(binary, "raw", binary), "<stdout>")
    else:
        try:
            refuse_other_content(options.output)
            file = LineFile.append(options.output)
        except OSError as error:
            raise Failure(f"--output {options.output}: {error.strerror}") from error
        stack.callback(file.close)
    return JsonLines(file, run.infos, run.wall_offset_ns)


def _page(
    opened: Opened,
    run: Run,
    bundle: Bundle,
    about: Mapping[str, str],
    live: bool,
    stack: ExitStack,
    recordings: List[RecordingSink],
) -> Tuple[Sink, Optional[Sink]]:
    """Serves the page. Returns the sink that shows the run, and the one that records a live run on request."""
    from cosmo_runtime.runtime.web.feed import PageFeed
    from cosmo_runtime.runtime.web.link import Link
    from cosmo_runtime.runtime.web.recorder import Recorder

    link = stack.enter_context(Link(opened.settings, opened.listening))
    recorder: Optional[Recorder] = None
    if live:
        recorder = Recorder(link.send, run.infos, about)
        link.obey(recorder.obey)
    return PageFeed(link.send, bundle.spec, run.infos, run.title, run.wall_offset_ns, recordings), recorder


def _write_summary(path: Path, summary: Summary) -> bool:
    """Writes the summary whole, or says why it cannot be written. Returns whether it is written."""
    try:
        write_whole(path, (json.dumps(summary.as_dict(), indent=2) + "\n").encode())
    except OSError as error:
        say(f"cosmo-runtime: --summary {path}: {error.strerror}")
        return False
    return True
