"""Measures what sensors that sleep save and cost: trials, operations of the encoders, time asleep, delays of falls.

    python tools/measure/selection.py --data PATH/utd-mhad                          training people
    python tools/measure/selection.py --data PATH/utd-mhad --subjects 7,8 --people 904-911
    python tools/measure/selection.py … --curve curve.png            also for other confidences
    python tools/measure/selection.py                                the engine's time, by who is awake
    python tools/measure/selection.py … --start 1.0                  as if devices were switched off

Streams are those of UTD-MHAD (real IMU on the wrist, real depth, radar synthesised from the skeletons; with the IMU on
the thigh, it counts as absent) and of simulated people. Each is recognised twice, with all sensors awake and with the
policy. A trial is right if its most confident window is. The model must not know the people that test: pass a twin that
did not learn from them with --bundle.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
import onnx
from onnx import shape_inference

from cosmo_runtime.models.activity_names import FALL
from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.recognizer import Prediction, Recognizer
from cosmo_runtime.runtime.selection.policy import Selection
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.runtime.windows.aligner import COVERED_SHARE, Window
from cosmo_runtime.tools import episode_check
from cosmo_runtime.training.benchmark.everyday import taught_by
from cosmo_runtime.training.datasets.everyday import CLASSES, real_people, simulated
from cosmo_runtime.training.skipping import inputs_of
from cosmo_runtime.training.windows import UNLABELLED, Windows

SECONDS = 150.0  # of each simulated person
CURVE = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_ALARM = AlarmRule(name="fall", activity=FALL, held_s=2)
_EARLY = 3  # windows before the one with the fall at its middle may show it already


class Trial(NamedTuple):
    """Windows from ``first`` to before ``end`` with one true activity at their middles."""

    first: int
    end: int
    activity: str


class Remembering:
    """An engine that answers each window once for each combination of sensors."""

    def __init__(self, bundle: Bundle) -> None:
        self._engine = OnnxRuntimeEngine(bundle.onnx_skipping or bundle.onnx)
        self._answers: Dict[Tuple[int, bytes], Tuple[np.ndarray, np.ndarray]] = {}
        self.name, self.precision = self._engine.name, self._engine.precision
        self.window = 0
        self.asked: List[np.ndarray] = []  # which sensors, in each question

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        self.asked.append(inputs["presence"])
        key = self.window, inputs["presence"].tobytes()
        if key not in self._answers:
            self._answers[key] = self._engine.infer(inputs)
        return self._answers[key]


class Stream:
    """One person's windows."""

    def __init__(self, windows: Windows, bundle: Bundle) -> None:
        self.windows, self.bundle = windows, bundle
        self.trials = list(_trials(windows))
        self._engine = Remembering(bundle)
        self.all_awake = self.answers(None)

    def answers(self, settings: Optional[SelectionConfig], start_s: Optional[float] = None) -> List[Answer]:
        """Recognises the stream, with all sensors awake if there are no settings.

        Args:
            settings: of the policy.
            start_s: how long a device takes to start, if a sensor that sleeps is switched off.
        """
        spec = self.bundle.spec
        recognizer = Recognizer(self.bundle, self._engine)
        selection = Selection(spec.kinds, settings) if settings else None
        doubt = selection.doubt if selection and start_s is None else 0.0  # what is off cannot be asked
        away = 0 if start_s is None else round((start_s + COVERED_SHARE * spec.window_s) / spec.hop_s)
        starting: Dict[str, int] = {}  # windows until a device that was switched on fills one
        answers = []
        for number in range(len(self.windows)):
            self._engine.window = number
            end_ns = spec.window_ns + number * spec.hop_ns
            inputs = {name: np.asarray(self.windows.features[name][number], np.float32) for name in spec.sensors}
            there = dict(zip(spec.sensors, map(bool, self.windows.presence[number])))
            asleep = selection.asleep(Window(end_ns, inputs, there, end_ns)) if selection else frozenset()
            late = {name for name, left in starting.items() if left > 0 and name not in asleep}
            starting = {name: away if name in asleep else starting.get(name, 0) - 1 for name in spec.sensors}
            present = {name: here and name not in late for name, here in there.items()}
            if not any(present[name] and name not in asleep for name in spec.sensors):
                present, asleep = there, frozenset()
            self._engine.asked = []
            prediction = recognizer.answer(inputs, present, end_ns, 0, asleep, doubt)
            if selection:
                selection.learn(prediction)
            on = {name for name in there if there[name] and name not in prediction.asleep}
            answers.append(Answer(prediction, on, np.sum(self._engine.asked, axis=0)))
        return answers


class Answer(NamedTuple):
    """A prediction, the sensors that were on for it, and how often each one's encoder ran."""

    prediction: Prediction
    on: Set[str]
    ran: np.ndarray


def _trials(windows: Windows) -> Iterator[Trial]:
    keys = list(zip(windows.labels.tolist(), windows.recordings.tolist()))
    first = 0
    for end in range(1, len(keys) + 1):
        if end == len(keys) or keys[end] != keys[first]:
            if keys[first][0] != UNLABELLED:
                yield Trial(first, end, CLASSES[keys[first][0]])
            first = end


def right(stream: Stream, answers: Sequence[Answer]) -> int:
    """How many trials' most confident windows name the activity."""
    found = 0
    for trial in stream.trials:
        best = max(
            (answers[i].prediction for i in range(trial.first, trial.end)), key=lambda prediction: prediction.confidence
        )
        found += max(best.probabilities, key=best.probabilities.__getitem__) == trial.activity
    return found


def falls(stream: Stream, answers: Sequence[Answer]) -> List[Tuple[Optional[int], Optional[int]]]:
    """For each true fall, the windows that first tell it and that raise its alarm."""
    spec = stream.bundle.spec
    said = [answer.prediction for answer in answers]
    told = [prediction.activity == FALL for prediction in said]
    windows = [
        episode_check.Answer(one.window_end_ns, one.window_end_ns - spec.window_ns // 2, one.activity, one.confidence)
        for one in said
    ]
    _, alarms = episode_check.episodes_of(windows, spec.hop_ns, EpisodesConfig(), _ALARM)
    found = []
    for trial in stream.trials:
        if trial.activity == FALL:
            reach = range(max(0, trial.first - _EARLY), trial.end)
            found.append(tuple(next((i for i in reach if shown[i]), None) for shown in (told, alarms)))
    return found  # type: ignore[return-value]


def operations(bundle: Bundle) -> Dict[str, int]:
    """Multiplications in each sensor's encoder, for one window."""
    graph = shape_inference.infer_shapes(onnx.load(str(bundle.onnx))).graph
    depends = inputs_of(graph)
    values = [*graph.value_info, *graph.input, *graph.output]
    shape = {item.name: [axis.dim_value for axis in item.type.tensor_type.shape.dim] for item in values}
    shape.update((item.name, list(item.dims)) for item in graph.initializer)
    counts = dict.fromkeys(bundle.spec.sensors, 0)
    for node in graph.node:
        for sensor in counts:
            if depends[node.output[0]] == {sensor} and node.op_type in ("Conv", "Gemm", "MatMul"):
                summed = shape[node.input[1]][1:] if node.op_type == "Conv" else shape[node.input[0]][-1:]
                counts[sensor] += int(np.prod(shape[node.output[0]]) * np.prod(summed))
    return counts


def measure(streams: Sequence[Stream], settings: SelectionConfig, start_s: Optional[float]) -> Dict[str, Any]:
    """All figures of a policy."""
    work = operations(streams[0].bundle)
    total = sum(work.values())
    trials = all_on = with_policy = windows = missed = 0
    on = dict.fromkeys(work, 0)
    there = dict.fromkeys(work, 0)
    asked, asked_before = np.zeros(len(work)), np.zeros(len(work))
    later: List[int] = []
    alarms_later: List[int] = []
    for stream in streams:
        whole, saving = stream.all_awake, stream.answers(settings, start_s)
        trials += len(stream.trials)
        all_on += right(stream, whole)
        with_policy += right(stream, saving)
        windows += len(whole)
        for before, after in zip(whole, saving):
            asked_before, asked = asked_before + before.ran, asked + after.ran
            for name in work:
                there[name] += name in before.on
                on[name] += name in after.on
        for (told, alarm), (told_now, alarm_now) in zip(falls(stream, whole), falls(stream, saving)):
            missed += (told is not None and told_now is None) + (alarm is not None and alarm_now is None)
            later += [told_now - told] if told is not None and told_now is not None else []
            alarms_later += [alarm_now - alarm] if alarm is not None and alarm_now is not None else []
    each = np.array(list(work.values()))
    return {
        "trials": trials,
        "right, all awake": round(all_on / trials, 4),
        "right": round(with_policy / trials, 4),
        "points lost": round(100 * (all_on - with_policy) / trials, 2),
        "operations of encoders saved": round(float(1 - (asked @ each) / (asked_before @ each)), 3),
        "asleep": {name: round(1 - on[name] / max(1, there[name]), 3) for name in work},
        "operations of a window": {name: round(count / total, 3) for name, count in work.items()},
        "windows": windows,
        "falls": len(later),
        "falls later by hops": dict(zip(*(part.tolist() for part in np.unique(later, return_counts=True)))),
        "alarms later by hops": dict(zip(*(part.tolist() for part in np.unique(alarms_later, return_counts=True)))),
        "falls or alarms missed": missed,
    }


def engine_ms(bundle: Bundle, times: int = 600) -> Dict[str, Dict[str, float]]:
    """Median time of one answer, by the sensors that are present and the graph, asked in turns."""
    inputs = {name: array[0] for name, array in random_inputs(bundle.spec, np.random.default_rng(0)).items()}
    graphs = [graph for graph in (bundle.onnx, bundle.onnx_skipping) if graph]
    engines = {graph.name: OnnxRuntimeEngine(graph) for graph in graphs}
    found = {}
    for without in ((), ("depth",), ("depth", "radar")):
        awake = [name for name in bundle.spec.sensors if name not in without]
        inputs["presence"] = np.array([name in awake for name in bundle.spec.sensors], np.float32)
        took: Dict[str, List[float]] = {name: [] for name in engines}
        for _ in range(times):
            for name, engine in engines.items():
                began_s = time.perf_counter()
                engine.infer(inputs)
                took[name].append(1e3 * (time.perf_counter() - began_s))
        found[", ".join(awake)] = {name: round(float(np.median(each)), 3) for name, each in took.items()}
    return found


def draw(path: Path, points: Mapping[str, Sequence[Tuple[float, float]]]) -> None:
    """Draws trials right against operations done."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="operations of the encoders, %", ylabel="trials right, %")
    for name, of in points.items():
        axes.plot(*zip(*of), marker="o", label=name)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of UTD-MHAD; only the engine is timed when left out")
    parser.add_argument("--subjects", type=numbers, default=tuple(range(1, 7)), help="subjects of UTD-MHAD")
    parser.add_argument("--people", type=numbers, default=(900, 901, 902, 903), help="simulated people, by their seeds")
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE, help="folder of the model")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other settings of [selection]")
    parser.add_argument("--start", type=float, help="switch devices off, and let each take this many seconds to start")
    parser.add_argument("--curve", type=Path, metavar="FILE.png", help="also try other confidences, and draw them")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    settings = SelectionConfig(**dict(item.split("=", 1) for item in options.set))
    bundle = load_bundle(options.bundle)
    if not options.data:
        print(json.dumps(engine_ms(bundle), indent=1))
        return
    sources = {
        "UTD-MHAD": [Stream(real_people(options.data, [n], options.cache), bundle) for n in options.subjects],
        "simulated people": [Stream(simulated([n], SECONDS, options.cache), bundle) for n in options.people],
    }
    found: Dict[str, Any] = {
        name: measure(streams, settings, options.start) for name, streams in sources.items() if streams
    }
    found["subjects that taught the model"] = taught_by(bundle, options.subjects)
    print(json.dumps(found, indent=1))
    if options.curve:
        points = {}
        for name, streams in sources.items():
            rows = [measure(streams, settings.model_copy(update={"sure": sure}), options.start) for sure in CURVE]
            found[f"{name}, by sure"] = dict(zip(map(str, CURVE), rows))
            points[name] = [(100 * (1 - row["operations of encoders saved"]), 100 * row["right"]) for row in rows]
            points[name].append((100.0, 100 * rows[0]["right, all awake"]))
        draw(options.curve, points)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
