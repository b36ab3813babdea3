"""``cosmo-runtime label``: writes a first table of labels for a recording, to be corrected by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.cli.common import DONE, Failure, chosen_bundle, counted, say, say_left_out
from cosmo_runtime.runtime.cli.options import add_bundle
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.choose import open_engine
from cosmo_runtime.runtime.labels.segmentation import Segmenter, TooLong
from cosmo_runtime.runtime.labels.table import labels_beside, refuse_existing, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.recognition.loop import recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sources.replay import replay
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.recording import Recording

_HELP = """\
The table has one row per activity: start and end in seconds from the recording's start (as in Foxglove), and the
model's guess. Correct it with any editor. Replace `uncertain` by what the person really did, and delete rows that are
no activity. `cosmo-runtime finetune` then learns from the table.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime label",
        description="Proposes labels for a recording: what the person did, from when to when.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="RECORDING", help="the recording")
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE.csv",
        help="the new table (default: beside the recording, with its name and .csv)",
    )
    add_bundle(command)
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: none)")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    out = options.out or labels_beside(options.file)
    refuse_existing(out)
    config = load_config(options.config)
    settings = config.recognition
    recording = Recording(options.file)
    bundle = load_bundle(chosen_bundle(options, config))
    spec = bundle.spec
    infos = {name: recording.infos[name] for name in spec.sensors if name in recording.infos}
    if not infos:
        held = ", ".join(recording.infos) or "no sensor"
        raise Failure(f"{options.file} has {held}, but the model {bundle.path} needs one of {', '.join(spec.sensors)}")
    say_left_out(recording, bundle.path.name, spec.sensors)
    if recording.cut:
        say(f"{recording.path}: was cut short, or is still being written; the table covers what is there now")
    recognizer = Recognizer(
        bundle, open_engine(bundle, settings.engine, settings.threads), settings.min_confidence, smoothing=0
    )
    segmenter = Segmenter(spec, infos)
    aligner = Aligner(spec, infos, settings.lateness_ms / 1e3)
    events = replay(recording, infos, own_ticks=False, paced=False)
    try:
        recognise(events, aligner, recognizer, infos, [segmenter], live=False)
    except TooLong as error:
        raise Failure(f"{options.file}: {error}; no table was written. Label it by hand.") from error
    segments = segmenter.segments()
    if not segments:
        raise Failure(f"{options.file}: no activity found in {recording.duration_s:.1f} s; no table was written")
    write_labels(out, [_within(recording, segment) for segment in segments], recording)
    unknown = sum(segment.activity == UNCERTAIN for segment in segments)
    found = counted(len(segments), "activity", "activities")
    say(f"{out}: {found} in {recording.duration_s:.0f} s, {unknown} of them {UNCERTAIN}")
    say("These are guesses of " + bundle.path.name + ". Correct them by hand before you train with them.")
    return DONE


def _within(recording: Recording, segment: Segment) -> Segment:
    """The part of a segment inside the recording, which begins at the first sample's arrival, not its measurement."""
    return segment._replace(
        start_ns=max(segment.start_ns, recording.start_ns), end_ns=min(segment.end_ns, recording.end_ns)
    )
