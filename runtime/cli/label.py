"""``cosmo-runtime label``: a first table of labels for a recording, to be corrected by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.bundle import load_bundle
from runtime.aligner import Aligner
from runtime.cli.common import DONE, Failure, add_bundle, chosen_bundle, say
from runtime.config import load_config
from runtime.engines import open_engine
from runtime.loop import recognise
from runtime.recognizer import UNCERTAIN, Recognizer
from runtime.replay import replay
from runtime.segmentation import Segmenter
from runtime.session import labels_beside, refuse_existing, write_labels
from runtime.truth import Segment
from sensors.recording import Recording

_HELP = """\
The table has a row for each stretch in which the person does one thing: start and end in seconds from the recording's
start, as Foxglove counts them too, and what the model takes it for. Correct it with any editor: say what the stretches
are that the model does not know (uncertain), drop those that are nothing, then `cosmo-runtime finetune` learns from it.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "cosmo-runtime label",
        description="Writes a first table of labels for a recording: what was done, from when to when.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE.mcap", help="the recording")
    command.add_argument("--out", type=Path, metavar="FILE.csv", help="the new table (default: FILE.csv)")
    add_bundle(command)
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: none)")
    return command


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code."""
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
        raise Failure(f"{options.file} holds {held}, and {bundle.path} knows {', '.join(spec.sensors)}")
    recognizer = Recognizer(bundle, open_engine(bundle, settings.engine, settings.threads), smoothing=0)
    segmenter = Segmenter(spec, infos)
    aligner = Aligner(spec, {name: info.rate_hz for name, info in infos.items()}, settings.lateness_ms / 1e3)
    events = replay(recording, infos, own_ticks=False, paced=False)
    recognise(events, aligner, recognizer, infos, [segmenter], live=False)
    segments = segmenter.segments(settings.min_confidence)
    if not segments:
        raise Failure(f"{options.file}: no activity found in {recording.duration_s:.1f} s; no table was written")
    write_labels(out, [_within(recording, segment) for segment in segments], recording.start_ns)
    unknown = sum(segment.activity == UNCERTAIN for segment in segments)
    say(f"{out}: {len(segments)} activities in {recording.duration_s:.0f} s, {unknown} of them {UNCERTAIN}")
    say("These are guesses of " + bundle.path.name + ": correct them by hand before anything learns from them.")
    return DONE


def _within(recording: Recording, segment: Segment) -> Segment:
    """The part of a segment in the recording, which begins when the first sample arrived, not when it was measured."""
    end_ns = recording.start_ns + round(recording.duration_s * 1e9)
    return segment._replace(start_ns=max(segment.start_ns, recording.start_ns), end_ns=min(segment.end_ns, end_ns))
