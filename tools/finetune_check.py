"""Measures what a person gains from `cosmo-runtime finetune`, with emulated sessions and later tests.

    python tools/finetune_check.py utd --data PATH/utd-mhad --subject 7 --base utd-bundle
    python tools/finetune_check.py utd --data PATH/utd-mhad --subject 7 --base models/pretrained/utd
    python tools/finetune_check.py utd --data PATH/utd-mhad --subject 7 --base utd-bundle --one-window
    python tools/finetune_check.py person --subject 900 --base person-without --new squat,punch

The rig is recorded faster than real time. A subject of UTD-MHAD performs each action twice in the session; the other
two repeats are the test. A simulated person is recorded for four minutes, and only the activities of `--new` are
labelled. The test is the next four minutes. Everything else uses the commands that users have: `finetune` learns, and a
replay of the test with the model before and after counts what was recognised.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.outputs import try_file
from cosmo_runtime.names import NONE
from cosmo_runtime.runtime.cli import main as cosmo_runtime
from cosmo_runtime.runtime.cli.values import count
from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Motion
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.training.adapt.base import load_base
from cosmo_runtime.training.benchmark.everyday import require_strangers
from cosmo_runtime.training.pretrained import PretrainedError

SESSION_REPEATS, TEST_REPEATS = (1, 2), (3, 4)
MINUTES = 4.0
SECOND_NS = 10**9


@dataclass
class Later:
    """A motion from a given time on."""

    motion: Motion
    start_s: float

    def __post_init__(self) -> None:
        self.duration_s = self.motion.duration_s - self.start_s
        self.camera = self.motion.camera
        self.imu_places = self.motion.imu_places
        self.imu_rate_hz, self.radar_rate_hz = self.motion.imu_rate_hz, self.motion.radar_rate_hz

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        return self.motion.imu(times_s + self.start_s, place)

    def depth(self, time_s: float) -> np.ndarray:
        return self.motion.depth(time_s + self.start_s)

    def radar(self, time_s: float) -> np.ndarray:
        return self.motion.radar(time_s + self.start_s)

    def activities(self, until_s: float) -> List[ActivityStart]:
        starts = [
            ActivityStart(max(0.0, start_s - self.start_s), activity)
            for start_s, activity in self.motion.activities(until_s + self.start_s)
        ]
        return [start for start, after in zip(starts, [*starts[1:], None]) if after is None or after.start_s > 0]


def record(motion: Motion, seconds: float, decimation: int, path: Path) -> List[Segment]:
    """Records what a rig in front of a motion would see, and returns what was done when."""
    infos = infos_of(motion)
    began_ns = time.monotonic_ns() // SECOND_NS * SECOND_NS  # whole, so that windows do not depend on the time
    truths, now_ns = TruthLine(), began_ns
    with RecordingWriter(path, infos, {"source": "emulated, without waiting"}) as writer:
        for event in events(motion, seconds, DepthConfig(decimation=decimation)):
            if isinstance(event, Truth):
                event = Truth(began_ns + event.stamp_ns, event.activity)
                truths.add(event)
            elif isinstance(event, Sample):
                now_ns = began_ns + event.stamp_ns
                event = replace(event, stamp_ns=now_ns, arrival_ns=now_ns)
            writer.write(event)
    if writer.failure or writer.dropped:
        raise SystemExit(f"{path}: {writer.failure or 'the disk was too slow'}")
    truths.add(Truth(now_ns, ""))
    return list(truths.segments())


def middle_of(segment: Segment) -> Segment:
    """The half second in the middle. It contains the middle of one window, because a window ends every half second."""
    middle_ns = (segment.start_ns + segment.end_ns) // 2
    return Segment(middle_ns - SECOND_NS // 4, middle_ns + SECOND_NS // 4, segment.activity)


def replayed(test: Path, bundle: Path, folder: Path, new: Sequence[str]) -> Dict[str, float]:
    """What a model recognises in a test, by the runtime's own replay."""
    lines, summary = folder / "lines.jsonl", folder / "summary.json"
    words = ["--sensors", "imu,depth,radar", "--replay", test, "--speed", "max", "--bundle", bundle]
    if cosmo_runtime([*map(str, words), "--output", str(lines), "--summary", str(summary)]):
        raise SystemExit(f"{bundle} could not be run over {test}")
    activities = json.loads(summary.read_text())["activities"]
    windows = [json.loads(line) for line in lines.read_text().splitlines()]
    right = {"windows": [], "windows of new activities": [], "windows of others": []}  # type: Dict[str, List[bool]]
    for window in windows:
        recognised = window["activity"] == window["truth"]
        right["windows"].append(recognised)
        right["windows of new activities" if window["truth"] in new else "windows of others"].append(recognised)
    if not new:
        right = {"windows": right["windows"]}
    shares = {name: statistics.mean(answers) for name, answers in right.items()}
    return {"activities": activities["right"] / activities["total"], **shares}


def motions(options: argparse.Namespace) -> Sequence[Motion]:
    """The session and the test that comes later."""
    if options.kind == "utd":
        return [UtdMotion(options.data, [options.subject], repeats=part) for part in (SESSION_REPEATS, TEST_REPEATS)]
    seconds = 60 * MINUTES
    person = SimulatedPerson(options.subject, HALF_CAMERA)
    return [person, Later(person, seconds)]


def measure(options: argparse.Namespace, folder: Path) -> Dict[str, Any]:
    """Records, learns with each seed, and tests."""
    seconds, decimation = (math.inf, 2) if options.kind == "utd" else (60 * MINUTES, 1)
    session, test = folder / "session.mcap", folder / "test.mcap"
    session_motion, test_motion = motions(options)
    done = record(session_motion, seconds, decimation, session)
    record(test_motion, seconds, decimation, test)
    labelled = [segment for segment in done if not options.new or segment.activity in options.new]
    if options.one_window:
        labelled = [middle_of(segment) for segment in labelled if segment.activity != NONE]
    write_labels(labels_beside(session), labelled, Recording(session))

    is_bundle = (options.base / "model.json").is_file()
    before = replayed(test, options.base, folder, options.new) if is_bundle else None
    runs = []
    for seed in range(options.seeds):
        out, figures = folder / f"seed-{seed}", folder / f"seed-{seed}.json"
        words = ["finetune", "--labels", labels_beside(session), "--bundle", options.base, "--out", out]
        if cosmo_runtime([*map(str, words), "--seed", str(seed), "--json", str(figures)]):
            raise SystemExit("the session could not be learned")
        learned = json.loads(figures.read_text())
        row = {name: learned[name] for name in ("learned_windows", "seconds", "peak_memory_mb", "before", "after")}
        runs.append({**row, "test": replayed(test, out, folder, options.new)})
    return {"examples": len(labelled), "before": before, "runs": runs}


def render(options: argparse.Namespace, measured: Dict[str, Any]) -> Table:
    runs = measured["runs"]
    table = Table(
        Column(Text(f"{options.kind} {options.subject}, from {options.base}")),
        "before",
        "after: mean, each seed",
        box=None,
    )
    for name in runs[0]["test"]:
        after = [run["test"][name] for run in runs]
        before = f"{measured['before'][name]:.1%}" if measured["before"] else "–"
        each = ", ".join(f"{share:.1%}" for share in after)
        table.add_row(f"{name} recognised", before, f"{statistics.mean(after):.1%} ({each})")
    table.add_row("examples, windows learned", "", f"{measured['examples']}, {runs[0]['learned_windows']}")
    table.add_row("seconds, peak memory", "", ", ".join(f"{r['seconds']} s, {r['peak_memory_mb']} MB" for r in runs))
    return table


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("utd", "person"))
    parser.add_argument(
        "--subject", type=int, required=True, help="subject of UTD-MHAD, or seed of the simulated person"
    )
    parser.add_argument("--base", type=Path, required=True, help="bundle or encoders to start from")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument(
        "--new", type=lambda text: text.split(","), default=[], help="label only these activities, separated by commas"
    )
    parser.add_argument("--one-window", action="store_true", help="label one window of each action, and no rests")
    parser.add_argument("--seeds", type=count, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args(arguments)
    try:
        base = load_base(options.base)
        if options.kind == "utd":
            require_strangers(base, [options.subject])
    except (BundleError, PretrainedError) as error:
        parser.error(f"--base: {error}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.parent}")
    try:
        if options.json:
            try_file(options.json)
    except OSError as error:
        parser.error(f"--json {options.json} cannot be written: {error.strerror}")
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options, Path(folder))
    Console().print(render(options, measured))
    if options.json:
        write_whole(options.json, json.dumps(measured, indent=2).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except SensorError as error:
        raise SystemExit(str(error)) from error
