"""``cosmo-runtime evaluate``: measures a model on labelled recordings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from rich.table import Table

from cosmo_runtime.models.activity_names import as_known
from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.names import NOBODY
from cosmo_runtime.runtime.cli.common import DONE, Failure, chosen_bundle, counted, say, say_left_out, show_table
from cosmo_runtime.runtime.cli.options import add_bundle
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.config import RecognitionConfig, load_config
from cosmo_runtime.runtime.engines.answers import BadAnswer
from cosmo_runtime.runtime.engines.choose import open_engine
from cosmo_runtime.runtime.labels.table import labels_beside, read_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.run import open_replay
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.recording import Recording, recordings_below


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime evaluate",
        description="Runs a model over labelled recordings, as a live run would, and compares each window with the "
        "label at its middle. Windows without a label are left out. Labels that the model does not know are counted "
        "separately.",
    )
    command.add_argument(
        "paths", type=Path, nargs="+", metavar="RECORDING|FOLDER", help="recordings with their labels beside them"
    )
    add_bundle(command)
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration")
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    config = load_config(options.config)
    bundle = load_bundle(chosen_bundle(options, config)).at_hop(config.recognition.hop_s)
    pairs: List[Tuple[str, str]] = []
    recordings = _labelled(options.paths)
    known = bundle.provenance.get("recordings", ())
    learned_from = [str(recording.path) for recording, _ in recordings if recording.began in known]
    for recording, segments in recordings:
        pairs += _answers(recording, segments, bundle, config.recognition)
    if not pairs:
        raise Failure("no window of these recordings has a label")
    names = {*bundle.spec.classes, NOBODY}
    named = [pair for pair in pairs if pair[0] in names]
    unnamed = [pair for pair in pairs if pair[0] not in names]
    if not named:
        strange, known = ", ".join(sorted({truth for truth, _ in unnamed})), ", ".join(bundle.spec.classes)
        raise Failure(f"{bundle.path.name} has no name for any label here ({strange}); it knows {known}")
    apart = report(unnamed)["confusion"] if unnamed else {}
    figures = {
        "bundle": bundle.path.name,
        "recordings": len(recordings),
        "learned_from": learned_from,
        **report(named),
        "unnamed": apart,
    }
    for path in learned_from:
        say(f"{path}: {bundle.path.name} has learned from it, so these figures are not a test")
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _show(figures)
    return DONE


def report(pairs: List[Tuple[str, str]]) -> Dict[str, Any]:
    """Figures for pairs of a true activity and an answer, which may be ``uncertain``."""
    truths = sorted({truth for truth, _ in pairs})
    answers = sorted({answer for _, answer in pairs} | set(truths))
    counts = {truth: dict.fromkeys(answers, 0) for truth in truths}
    for truth, answer in pairs:
        counts[truth][answer] += 1
    activities = {}
    for truth in truths:
        right, windows = counts[truth][truth], sum(counts[truth].values())
        answered = sum(row[truth] for row in counts.values())
        activities[truth] = {
            "windows": windows,
            "recall": round(right / windows, 4),
            "precision": round(right / answered, 4) if answered else 0.0,
            "f1": round(2 * right / (windows + answered), 4),
        }
    return {
        "windows": len(pairs),
        "accuracy": round(sum(truth == answer for truth, answer in pairs) / len(pairs), 4),
        "macro_f1": round(sum(figures["f1"] for figures in activities.values()) / len(truths), 4),
        "activities": activities,
        "confusion": counts,
    }


def _labelled(paths: List[Path]) -> List[Tuple[Recording, List[Segment]]]:
    labelled = []
    seen = set()
    for path in paths:
        for file in recordings_below(path):
            if not file.exists():
                raise Failure(f"{file} does not exist")
            if file.resolve() in seen:  # named twice, or in a folder that is named, too
                continue
            seen.add(file.resolve())
            recording, table = Recording(file), labels_beside(file)
            segments = read_labels(table, recording, examples=1).get(file.resolve()) if table.exists() else None
            if segments:
                labelled.append((recording, segments))
            elif file == path:
                raise Failure(
                    f"{file} has no labels: {table} {'has none of it' if table.exists() else 'does not exist'}"
                )
            else:
                say(f"{file}: has no labels, and is left out")
    if not labelled:
        raise Failure(f"{', '.join(map(str, paths))}: no recording with labels beside it")
    return labelled


def _answers(
    recording: Recording, segments: List[Segment], bundle: Bundle, settings: RecognitionConfig
) -> Iterator[Tuple[str, str]]:
    """The label at each window's midpoint, and the model's answer."""
    spec = bundle.spec
    engine = open_engine(bundle, settings.engine, settings.threads)
    recognizer = Recognizer(bundle, engine, settings.min_confidence, settings.smoothing)
    run = open_replay(recording, spec.sensors, spec, settings.lateness_ms, paced=False)
    if not run.infos:
        held, known = ", ".join(recording.infos) or "none", ", ".join(spec.sensors)
        raise Failure(f"{recording.path} has none of the sensors of {bundle.path.name}, {known}; it has {held}")
    say_left_out(recording, bundle.path.name, spec.sensors)
    for window in Aligner(spec, run.infos, settings.lateness_ms / 1e3).windows(run.events):
        try:
            answer = recognizer.predict(window).activity
        except BadAnswer:
            continue
        middle_ns = window.end_ns - spec.window_ns // 2
        for segment in segments:
            if segment.start_ns <= middle_ns < segment.end_ns:
                yield as_known(segment.activity, spec.classes), answer


def _show(figures: Dict[str, Any]) -> None:
    print(
        f"{figures['bundle']}: {figures['accuracy']:.1%} of {counted(figures['windows'], 'window', 'windows')} right, "
        f"macro F1 {figures['macro_f1']:.1%}"
    )
    activities = Table("activity", "windows", "recall", "precision", "F1", box=None, header_style="dim")
    for name, row in figures["activities"].items():
        shares = (f"{row[key]:.1%}" for key in ("recall", "precision", "f1"))
        activities.add_row(name, str(row["windows"]), *shares)
    answers = list(next(iter(figures["confusion"].values())))
    confusion = Table("true \\ answered", *answers, box=None, header_style="dim")
    for name, row in figures["confusion"].items():
        confusion.add_row(name, *(str(row[answer] or "") for answer in answers))
    if figures["unnamed"]:
        windows = sum(sum(row.values()) for row in figures["unnamed"].values())
        left_out = counted(windows, "window is", "windows are")
        print(f"{left_out} not counted, because the model has no name for {', '.join(figures['unnamed'])}")
    show_table(activities)
    show_table(confusion)
