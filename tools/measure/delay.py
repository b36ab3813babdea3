"""Measures how long after its true start an activity is answered, at several hops side by side.

    python tools/measure/delay.py people:2000-2003 --minutes 5
    python tools/measure/delay.py utd:PATH/utd-mhad:7,8 --bundle PATH

An activity is answered from the first right answer on that stays: all answers of the next second are right, too, or all
until the activity ends. Times are of the data: an answer comes at the end of its window. A live run adds its latency.
Activities without a name in the model are not counted, nor is the first one of a stream.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.names import NONE
from cosmo_runtime.runtime.engines.answers import BadAnswer
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.tools.episode_check import known, motions

HOPS_S = (0.5, 1 / 15)
_STAYS_NS = 10**9


class Answer(NamedTuple):
    """What a window was answered with, and when it ended."""

    end_ns: int
    activity: str


def delays_s(truths: Sequence[Segment], answers: Sequence[Answer], known: Sequence[str]) -> List[Optional[float]]:
    """For each activity with a name in the model, the delay of its answer; None if no right answer stays."""
    return [
        _delay_s(truth, [answer for answer in answers if truth.start_ns < answer.end_ns <= truth.end_ns])
        for truth in truths[1:]
        if truth.activity in known and truth.activity != NONE
    ]


def _delay_s(truth: Segment, answers: Sequence[Answer]) -> Optional[float]:
    for number, first in enumerate(answers):
        staying = [answer for answer in answers[number:] if answer.end_ns <= first.end_ns + _STAYS_NS]
        if all(answer.activity == truth.activity for answer in staying):
            return (first.end_ns - truth.start_ns) * 1e-9
    return None


def answers_of(motion: Motion, decimation: int, seconds: float, bundles: Sequence[Bundle]) -> Tuple[Any, ...]:
    """The true activities of a motion, and each bundle's answers to the same samples."""
    infos, truths = infos_of(motion), TruthLine()
    runs = [(Aligner(bundle.spec, infos), Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx))) for bundle in bundles]
    answers: List[List[Answer]] = [[] for _ in runs]
    for event in events(motion, seconds, DepthConfig(decimation=decimation)):
        if isinstance(event, Truth):
            truths.add(event)
        for (aligner, recognizer), told in zip(runs, answers):
            for window in aligner.feed(event):
                try:
                    told.append(Answer(window.end_ns, recognizer.predict(window).activity))
                except BadAnswer:
                    continue
    return list(truths.segments()), answers


def figures_of(delays: Sequence[Optional[float]]) -> Dict[str, Any]:
    """How many activities were answered, and after how long."""
    found = [delay for delay in delays if delay is not None]
    p50, p90 = np.percentile(found, [50, 90]) if found else (np.nan, np.nan)
    return {
        "activities": len(delays),
        "answered": len(found),
        "delay_p50_s": round(float(p50), 2),
        "delay_p90_s": round(float(p90), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="people:SEEDS or utd:PATH:SUBJECTS")
    parser.add_argument("--bundle", type=Path, default=SIMULATED_BUNDLE, help="folder of the model")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="minutes of each stream")
    options = parser.parse_args()
    bundles = [load_bundle(options.bundle).at_hop(hop_s) for hop_s in HOPS_S]
    delays: List[List[Optional[float]]] = [[] for _ in bundles]
    for name, motion, decimation in motions(options.source):
        truths, answers = answers_of(motion, decimation, 60 * options.minutes, bundles)
        for of_hop, told in zip(delays, answers):
            of_hop += delays_s(truths, told, bundles[0].spec.classes)
        print(f"{name}: {len(truths)} activities{known(bundles[0], name)}", flush=True)
    print(json.dumps({f"{hop_s:.3f} s": figures_of(of_hop) for hop_s, of_hop in zip(HOPS_S, delays)}, indent=2))


if __name__ == "__main__":
    main()
