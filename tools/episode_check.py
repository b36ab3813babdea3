"""Measures episodes and the alarm of a fall against the truth, on people that the model has never seen.

    python tools/episode_check.py people:2000-2007 --minutes 10 --bundle models/bundles/everyday
    python tools/episode_check.py utd:PATH/utd-mhad:7,8 --bundle PATH/utd-bundle
    python tools/episode_check.py utd:PATH/utd-mhad:5,6 people:1900 --minutes 10 --bundle PATH --sweep   which constants
    python tools/episode_check.py utd:PATH/utd-mhad:1-8 --bundle models/bundles/person     false alarms of falls

A true activity is found if an episode of its name overlaps it for at least half the length of the longer of the two.
Other episodes are extra. Rests and standing still count as neither. The rule joins an activity that is repeated after a
rest shorter than ``off_s``: four trials of standing up are one episode. So the truth is joined in the same way for the
figures; those with every repetition for itself are told as ``apart``. Activities go by the model's names; those for
which it has none are ``none``. Where UTD-MHAD has the IMU on the thigh, a model of another rig gets no IMU. The alarm's
time is that of the window that raised it; a live run adds its latency of some milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.names import GAP, NONE, UNCERTAIN
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.alarms.rules import AlarmRule, Watch
from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.episodes.rule import Episode, Observation
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Truth
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import Trial, UtdMotion
from cosmo_runtime.sources import parse_source
from cosmo_runtime.training.benchmark.everyday import taught_by
from cosmo_runtime.training.datasets.everyday import LIKE_NAMED

STILL = "still"
FALL = AlarmRule(name="fall", activity="fall", held_s=1)
PROMPT_NS = 2 * 10**9
"""How long after a fall its alarm is right here: a window ends one second after its middle, and ``FALL`` holds for one.
``fall_alarms`` also takes late alarms for right, so the two count different things."""
SWEEP = {"on_s": (0.5, 1.0, 1.5, 2.0, 2.5), "off_s": (0.5, 1.0, 2.0, 3.0, 4.0, 5.0), "least_s": (1.0, 2.0, 3.0)}


class Answer(NamedTuple):
    """What a model says about one window."""

    end_ns: int
    middle_ns: int
    activity: str
    confidence: float


class Stream(NamedTuple):
    """A model's answers over one person's stream, and the truth."""

    name: str
    hop_ns: int
    seconds: float
    windows: List[Answer]
    truths: List[Segment]


class Answers(Sink):
    def __init__(self) -> None:
        self.windows: List[Answer] = []
        self.truths = TruthLine()
        self.end_ns = 0

    def event(self, event: Event) -> None:
        if isinstance(event, Truth):
            self.truths.add(event)

    def outcome(self, outcome: Outcome) -> None:
        prediction = outcome.prediction
        self.end_ns = prediction.window_end_ns
        self.windows.append(Answer(self.end_ns, outcome.middle_ns, prediction.activity, prediction.confidence))


def motions(source: str) -> Iterator[Tuple[str, Motion, int]]:
    """Name, motion and decimation of each stream."""
    named = parse_source(source, simulated=("people",), stored=("utd",))
    if not named or not named.numbers:
        raise SystemExit(f"{source!r}: expected people:SEEDS or utd:PATH:SUBJECTS")
    if named.kind == "people":
        for seed in named.numbers:
            yield f"person-{seed}", SimulatedPerson(seed, HALF_CAMERA), 1
    else:
        for subject in named.numbers:
            yield f"utd-{subject}", UtdMotion(Path(named.path), [subject]), 2


def known(bundle: Bundle, name: str) -> str:
    """A warning, if the model learned from the subject of a stream."""
    subject = int(name.rpartition("-")[2])
    return ", who taught this model" if name.startswith("utd-") and taught_by(bundle, [subject]) else ""


def streams(source: str, bundle_folder: Path, seconds: float, cache: Path) -> Iterator[Stream]:
    """Runs the model over each stream as the runtime would, or reads its earlier answers."""
    bundle = load_bundle(bundle_folder)
    for name, motion, decimation in motions(source):
        print(f"{name}{known(bundle, name)}", flush=True)
        stranger = "swipe left" not in bundle.spec.classes
        trials = motion.trials if isinstance(motion, UtdMotion) and stranger else []
        cut = "-wrist" if trials else ""
        file = cache / f"{name}{cut}-{bundle.path.name}-{bundle.digest[:8]}-{seconds:g}.json"
        if not file.exists():
            infos, answers = infos_of(motion), Answers()
            stream = events(motion, seconds, DepthConfig(decimation=decimation))
            recognise(
                _on_the_wrist(stream, trials),
                Aligner(bundle.spec, infos),
                Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx)),
                infos,
                [answers],
                live=False,
            )
            answers.truths.add(Truth(answers.end_ns, ""))
            cache.mkdir(parents=True, exist_ok=True)
            truths = list(answers.truths.segments())
            file.write_text(json.dumps({"windows": answers.windows, "truths": truths, "hop_ns": bundle.spec.hop_ns}))
            print(f"{name}: {len(answers.windows)} windows", flush=True)
        kept = json.loads(file.read_text())
        windows = [Answer(*window) for window in kept["windows"]]
        span_s = (windows[-1].end_ns - windows[0].end_ns) / 1e9
        truths = [Segment(*item) for item in kept["truths"]]
        yield Stream(name, kept["hop_ns"], span_s, windows, [_named(truth, bundle.spec.classes) for truth in truths])


def _on_the_wrist(stream: Iterator[Event], trials: Sequence[Trial]) -> Iterator[Event]:
    """Loses the IMU where it is on the thigh, and half-way into the rests beside."""
    half_ns = 5 * 10**8
    thigh = [
        (round(trial.start_s * 1e9) - half_ns, round(trial.end_s * 1e9) + half_ns)
        for trial in trials
        if trial.place == "thigh"
    ]
    on_the_thigh = False
    for event in stream:
        if isinstance(event, Sample) and event.sensor == "imu":
            at_ns = event.stamp_ns
            before, on_the_thigh = on_the_thigh, any(begin <= at_ns < end for begin, end in thigh)
            if on_the_thigh != before:
                yield StateChange("imu", event.arrival_ns, "lost" if on_the_thigh else "ok")
            if on_the_thigh:
                continue
        yield event


def _named(truth: Segment, classes: Sequence[str]) -> Segment:
    """A true activity by the model's name for it."""
    like = {**LIKE_NAMED, "stand still": STILL}.get(truth.activity, NONE)
    known = truth.activity if truth.activity in classes else like
    return truth._replace(activity=known if known in classes else NONE)


def episodes_of(
    windows: Sequence[Answer], hop_ns: int, config: EpisodesConfig, alarm: AlarmRule
) -> Tuple[List[Episode], List[bool]]:
    """The episodes of a stream, and for each window whether what the alarm watches for is met."""
    rule, watch, half_ns = config.rule(), Watch(alarm), hop_ns // 2
    ended: List[Episode] = []
    met: List[bool] = []
    for window in windows:
        middle_ns = window.middle_ns
        ended += rule.feed(Observation(middle_ns - half_ns, middle_ns + half_ns, window.activity, window.confidence))
        met.append(rule.current is not None and watch.met(rule.current))
    return ended + rule.finish(), met


def raised_at(windows: Sequence[Answer], met: Sequence[bool]) -> List[int]:
    """The ends of the windows that raised the alarm."""
    return [window.end_ns for window, before, now in zip(windows, [False, *met], met) if now and not before]


def joined(truths: Sequence[Segment], config: EpisodesConfig) -> List[Segment]:
    """The true activities, each with those of its name that follow after a shorter rest than the rule bridges."""
    together: List[Segment] = []
    for truth in truths:
        if truth.activity in (NONE, ""):
            continue
        before = together[-1] if together else None
        within_ns = config.hold(truth.activity).off_s * 1e9
        if before and before.activity == truth.activity and truth.start_ns - before.end_ns < within_ns:
            together[-1] = before._replace(end_ns=truth.end_ns)
        else:
            together.append(truth)
    return together


def compare(truths: Sequence[Segment], episodes: Sequence[Episode]) -> Dict[str, Any]:
    """Found activities, extra episodes, and the errors of their edges in seconds."""
    wanted = [truth for truth in truths if truth.activity not in (NONE, "")]
    named = [episode for episode in episodes if episode.activity not in (NONE, UNCERTAIN, GAP)]
    matched, edges, found = set(), [], 0
    for truth in wanted:
        for number, episode in enumerate(named):
            shared = min(truth.end_ns, episode.end_ns) - max(truth.start_ns, episode.start_ns)
            longer = max(truth.end_ns - truth.start_ns, episode.end_ns - episode.start_ns)
            if episode.activity == truth.activity and number not in matched and 2 * shared >= longer:
                matched.add(number)
                found += 1
                edges += [(episode.start_ns - truth.start_ns) / 1e9, (episode.end_ns - truth.end_ns) / 1e9]
                break
    extra = [named[n].activity for n in range(len(named)) if n not in matched and named[n].activity != STILL]
    return {"true": len(wanted), "found": found, "extra": len(extra), "edges_s": edges}


class OfFalls(NamedTuple):
    """Falls and the alarms that they raised.

    Attributes:
        delays_s: from the start of each fall that raised an alarm to its first one.
        false: how many alarms belong to no fall.
    """

    delays_s: List[float]
    false: int


def of_falls(falls: Sequence[Tuple[int, int]], alarms: Sequence[int], later_ns: int) -> OfFalls:
    """Finds the alarms of falls.

    Args:
        falls: the starts and ends of the true falls.
        alarms: when alarms were raised, in order.
        later_ns: how long after the end of a fall its alarm is right.
    """
    delays_s: List[float] = []
    right = set()
    for start_ns, end_ns in falls:
        within = [at_ns for at_ns in alarms if start_ns <= at_ns <= end_ns + later_ns]
        right.update(within)
        if within:
            delays_s.append((within[0] - start_ns) / 1e9)
    return OfFalls(delays_s, len(set(alarms) - right))


def measure(all_streams: Sequence[Stream], config: EpisodesConfig) -> Dict[str, Any]:
    """All figures over all streams."""
    total: Dict[str, Any] = {"true": 0, "found": 0, "extra": 0, "edges_s": [], "falls": 0, "delays_s": [], "false": 0}
    apart = {"true": 0, "found": 0, "extra": 0}
    for stream in all_streams:
        episodes, met = episodes_of(stream.windows, stream.hop_ns, config, FALL)
        alarms = raised_at(stream.windows, met)
        falls = [(truth.start_ns, truth.end_ns) for truth in stream.truths if truth.activity == "fall"]
        told = {"falls": len(falls), **of_falls(falls, alarms, PROMPT_NS)._asdict()}
        for key, value in {**compare(joined(stream.truths, config), episodes), **told}.items():
            total[key] = total[key] + value
        each = compare(stream.truths, episodes)
        apart = {key: apart[key] + each[key] for key in apart}
    hours = sum(stream.seconds for stream in all_streams) / 3600
    edges, delays = np.abs(total.pop("edges_s")), np.array(total.pop("delays_s"))
    share = round(total["found"] / max(1, total["true"]), 4)
    figures: Dict[str, Any] = {**total, "hours": round(hours, 3), "found_share": share, "apart": apart}
    if len(edges):
        figures.update(
            edge_median_s=round(float(np.median(edges)), 3), edge_90_s=round(float(np.quantile(edges, 0.9)), 3)
        )
    if len(delays):
        p50, p90, most = np.quantile(delays, [0.5, 0.9, 1.0])
        figures.update(
            falls_told=len(delays),
            delay_median_s=round(float(p50), 2),
            delay_90_s=round(float(p90), 2),
            delay_max_s=round(float(most), 2),
        )
    figures["false_alarms_per_hour"] = round(total["false"] / hours, 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="people:SEEDS or utd:PATH:SUBJECTS")
    parser.add_argument("--bundle", type=Path, default=SIMULATED_BUNDLE, help="folder of the model")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of each stream")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "episodes", help="of answers")
    parser.add_argument("--sweep", action="store_true", help="try many constants")
    options = parser.parse_args()
    found = [list(streams(source, options.bundle, 60 * options.minutes, options.cache)) for source in options.sources]
    if not options.sweep:
        for source, of in zip(options.sources, found):
            print(source, json.dumps(measure(of, EpisodesConfig()), indent=2))
        return
    rows = []
    for values in itertools.product(*SWEEP.values()):
        config = EpisodesConfig(**dict(zip(SWEEP, values)))
        figures = [measure(of, config) for of in found]
        rows.append((sum(map(_worth, figures)), values, figures))
    for worth, values, figures in sorted(rows, key=lambda row: (-round(row[0], 3), sum(row[1])))[:15]:
        print(f"{worth:.3f}", dict(zip(SWEEP, values)), json.dumps([_short(one) for one in figures]))
    print("with every repetition for itself:")
    for _, values, figures in sorted(rows, key=lambda row: -sum(_worth(one["apart"]) for one in row[2]))[:3]:
        print(dict(zip(SWEEP, values)), json.dumps([_short(one) for one in figures]))


def _worth(counts: Dict[str, Any]) -> float:
    """How many of the true activities are found, less what is told beside, so that each source counts alike."""
    return float(counts["found"] - counts["extra"]) / max(1, counts["true"])


def _short(figures: Dict[str, Any]) -> Dict[str, Any]:
    return {key: figures[key] for key in ("true", "found", "extra", "apart", "false")}


if __name__ == "__main__":
    main()
