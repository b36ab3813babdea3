"""Measures what the loop computes, at several hops: CPU time from the last sample to the answer, and in all.

    python tools/measure/cost.py people:1000 --seconds 120 --hops 0.5 0.0666666667

It is CPU time of the loop's thread, so that other work on the machine counts little. Reading devices is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sync.watch import StepWatch
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.tools.episode_check import motions

_WARM_UP = 4  # answers


def cost(stream: Sequence[Event], infos: Dict[str, SensorInfo], bundle: Bundle, seconds: float) -> Dict[str, Any]:
    """What one run over a stream of events takes."""
    aligner, recognizer = Aligner(bundle.spec, infos), Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx))
    steps = StepWatch(infos)
    answers_ms: List[float] = []
    began_s = time.thread_time()
    for event in stream:
        event_s = time.thread_time()
        windows = aligner.feed(event)
        for window in windows:
            recognizer.predict(window)
        if windows:
            answers_ms.append(1e3 * (time.thread_time() - event_s) / len(windows))
        if isinstance(event, Sample):
            steps.take(aligner.kept(event))
            if windows:
                steps.look(event.arrival_ns)
    took_s = time.thread_time() - began_s
    p50, p99 = np.percentile(answers_ms[_WARM_UP:], [50, 99])
    return {
        "hop_s": round(bundle.spec.hop_s, 3),
        "answers": len(answers_ms),
        "from_last_sample_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)},
        "share_of_one_core": round(took_s / seconds, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="people:SEEDS or utd:PATH:SUBJECTS; the first stream counts")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the stream (default: 120)")
    parser.add_argument("--bundle", type=Path, default=SIMULATED_BUNDLE, help="folder of the model")
    parser.add_argument("--hops", type=float, nargs="+", default=[0.5, 1 / 15], metavar="S")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    _, motion, decimation = next(motions(options.source))
    stream = list(events(motion, options.seconds, DepthConfig(decimation=decimation)))
    for hop_s in options.hops:
        print(json.dumps(cost(stream, infos_of(motion), bundle.at_hop(hop_s), options.seconds)))


if __name__ == "__main__":
    main()
