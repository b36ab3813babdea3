"""Measures `cosmo-runtime sync`: gives every sensor a delay of its own, and estimates it.

    python tools/sync_check.py --data PATH/utd-mhad

Sources are streams of UTD-MHAD (real IMU on the wrist, real depth, radar synthesised from the skeletons), simulated
people who do many activities, people who only walk, and people who stand still. Samples are taken from the motion
itself, without devices. Each case is a piece of one stream. Each of its sensors is shifted by a random delay of -500 to
500 ms. The error is the difference between the estimated and the added delay between two sensors. UTD-MHAD's camera is
late by itself, by a time that differs from person to person. This time is estimated from the person's whole unshifted
stream and shown; errors are relative to it. In a second row, it is estimated from each piece, so that only the added
delay counts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers, sensor_names
from cosmo_runtime.runtime.sync.estimate import estimate
from cosmo_runtime.runtime.sync.motion import Curves, Moment
from cosmo_runtime.runtime.sync.watch import StepWatch
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorError, SensorInfo
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.offline import infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.setting import Setting
from cosmo_runtime.sensors.simulation.utd import ON_THE_WRIST, UtdMotion

WRONG_S = 0.1
"""An error above this is a wrong answer."""

_MOST_S = 0.5  # largest delay of a sensor
_BEGIN_NS = 10**12
_UTD, _UTD_MINUTES = "UTD-MHAD", "UTD-MHAD, against the same minute as it is"
_SENSORS = ("imu", "depth", "radar")

Stream = Mapping[str, List[Moment]]


class Case(NamedTuple):
    """A sensor whose delay was estimated."""

    source: str
    sensor: str
    error_s: float
    told: bool
    gap: float
    agreement: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of UTD-MHAD; without it, simulated people only")
    parser.add_argument("--subjects", type=numbers, default=(7, 8), help="of UTD-MHAD")
    parser.add_argument("--people", type=numbers, default=tuple(range(904, 912)), help="simulated ones, by their seeds")
    parser.add_argument("--seconds", type=float, default=60.0, help="of motion in a case")
    parser.add_argument("--stream", type=float, default=120.0, help="seconds of each simulated person")
    parser.add_argument("--draws", type=int, default=4, help="of delays for each piece of a stream")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "sync", help="of streams")
    parser.add_argument("--sensors", type=sensor_names, default=list(_SENSORS), help="of the rig")
    parser.add_argument("--json", type=Path, help="where every case goes, refused or not")
    parser.add_argument("--cost", action="store_true", help="measure what watching takes in a run, and nothing else")
    options = parser.parse_args()
    if options.cost:
        print(f"watching takes {_share_of_a_core():.2%} of a core")
        return
    rng = np.random.default_rng(18)
    cases: List[Case] = []
    sources = _sources(options.data, options.subjects, options.people, options.stream)
    for name, streams in sources.items():
        for source in streams:
            stream = _stream(source, options.cache)
            if name == _UTD:
                own_s = {sensor: step.delay_s for sensor, step in estimate([stream]).items()}
                late = ", ".join(f"{sensor} {1e3 * late_s:+.0f} ms" for sensor, late_s in own_s.items())
                print(f"{source.name} as it is: {late}")
                cases += _cases(name, stream, own_s, options, rng)
                cases += _cases(_UTD_MINUTES, stream, None, options, rng)
            else:
                cases += _cases(name, stream, dict.fromkeys(_SENSORS, 0.0), options, rng)
    if options.json:
        options.json.write_text(json.dumps([case._asdict() for case in cases], indent=1) + "\n")
    print(_table(cases))


class _Source(NamedTuple):
    """A stream to make."""

    name: str
    make: Callable[[], Motion]


def _sources(
    data: Optional[Path], subjects: Sequence[int], people: Sequence[int], seconds: float
) -> Dict[str, List[_Source]]:
    def person(called: str, seed: int, *only: str) -> _Source:
        setting = Setting(HALF_CAMERA, only=only)
        return _Source(
            f"{called}-{seed}-{seconds:g}", lambda: SimulatedPerson(seed, duration_s=seconds, setting=setting)
        )

    return {
        **({_UTD: [_subject(number, data) for number in subjects]} if data else {}),
        "simulated people": [person("person", seed) for seed in people],
        "walking alone": [person("walk", seed, "walk") for seed in people],
        "standing still": [person("still", seed, "stand still") for seed in people[:2]],
    }


def _subject(number: int, folder: Path) -> _Source:
    return _Source(f"utd-{number}", lambda: UtdMotion(folder, [number], ON_THE_WRIST, seed=number))


def stream_of_subject(number: int, folder: Path, cache: Path) -> Stream:
    """What each sensor sees moving in the stream of a subject of UTD-MHAD. It is cached."""
    return _stream(_subject(number, folder), cache)


def _stream(source: _Source, cache: Path) -> Stream:
    """What each sensor sees moving in a motion. It is stored in a file."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{source.name}.npz"
    if not path.exists():
        motion = source.make()
        curves = Curves(infos_of(motion))
        for sample in _samples(motion):
            curves.add(sample)
        arrays: Any = {name: np.array(moments) for name, moments in curves.moments.items()}
        np.savez(path, **arrays)
    with np.load(path) as kept:
        return {name: [Moment(int(at), float(value)) for at, value in kept[name]] for name in _SENSORS}


def _samples(motion: Motion) -> Iterator[Sample]:
    """Each sensor's samples of a motion from its start to its end, one sensor after the other."""

    def times(rate_hz: float) -> np.ndarray:
        return np.arange(int(motion.duration_s * rate_hz)) / rate_hz

    def sample(name: str, at_s: float, data: np.ndarray) -> Sample:
        stamp_ns = _BEGIN_NS + round(at_s * 1e9)
        return Sample(name, stamp_ns, stamp_ns, data)

    at_s = times(motion.imu_rate_hz)
    yield from (sample("imu", at, row) for at, row in zip(at_s, motion.imu(at_s, motion.imu_places[0])))
    yield from (sample("depth", at, motion.depth(at)) for at in times(motion.camera.rate_hz))
    yield from (sample("radar", at, motion.radar(at)) for at in times(motion.radar_rate_hz))


def _cases(
    source: str,
    stream: Stream,
    own_s: Optional[Mapping[str, float]],
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> Iterator[Case]:
    """Pieces of a stream, which overlap by half, with random delays added to the stream's own ones, ``own_s``.

    If ``own_s`` is None, each piece's own delays are estimated from the unshifted piece.
    """
    length_ns, end_ns = round(options.seconds * 1e9), min(moments[-1].stamp_ns for moments in stream.values())
    for start_ns in range(_BEGIN_NS, end_ns - length_ns + 10**9, length_ns // 2):
        piece = {name: _piece(stream[name], start_ns, length_ns) for name in options.sensors}
        there_s = own_s or {name: step.delay_s for name, step in estimate([piece]).items()}
        for _ in range(options.draws):
            delays_s = dict(zip(_SENSORS, rng.uniform(-_MOST_S, _MOST_S, len(_SENSORS))))
            steps = estimate([{name: shifted(piece[name], delays_s[name]) for name in options.sensors}])
            told = [name for name, step in steps.items() if not step.refusal]
            reference = told[0] if told else options.sensors[0]
            for name in options.sensors:
                if name != reference:
                    put_in_s = delays_s[name] + there_s[name] - delays_s[reference] - there_s[reference]
                    step = steps[name]
                    yield Case(source, name, step.delay_s - put_in_s, name in told, step.gap, step.agreement)


def shifted(moments: Sequence[Moment], delay_s: float) -> List[Moment]:
    """The same moments with later stamps."""
    shift_ns = round(delay_s * 1e9)
    return [moment._replace(stamp_ns=moment.stamp_ns + shift_ns) for moment in moments]


def _piece(moments: Sequence[Moment], start_ns: int, length_ns: int) -> List[Moment]:
    return [moment for moment in moments if 0 <= moment.stamp_ns - start_ns < length_ns]


def _share_of_a_core(seconds: int = 130) -> float:
    """The share of one core that a run's watch takes, with samples of the size and rate of a usual rig."""
    rng = np.random.default_rng(0)
    pictures = [(4000 * rng.random((135, 240))).astype(np.uint16) for _ in range(5)]
    shapes = {"imu": (100, (9,)), "depth": (15, ()), "radar": (20, (40, 5))}
    samples = [
        Sample(name, at_ns, at_ns, pictures[number % 5] if name == "depth" else rng.normal(size=shape))
        for name, (rate_hz, shape) in shapes.items()
        for number in range(seconds * rate_hz)
        for at_ns in [_BEGIN_NS + round(number * 1e9 / rate_hz)]
    ]
    watch = StepWatch({name: SensorInfo(name, "", rate_hz) for name, (rate_hz, _) in shapes.items()})
    began_s = time.thread_time()
    for sample in sorted(samples, key=lambda sample: sample.arrival_ns):
        watch.take(sample)
        if sample.sensor == "radar":
            watch.look(sample.arrival_ns)
    return (time.thread_time() - began_s) / seconds


def _table(cases: Sequence[Case]) -> str:
    rows = [
        "| source | sensor | cases | delay given | median error | 95 % | given but wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for source in dict.fromkeys(case.source for case in cases):
        for sensor in _SENSORS:
            here = [case for case in cases if (case.source, case.sensor) == (source, sensor)]
            if here:
                rows.append(f"| {source} | {sensor} | {_figures(here)} |")
        rows.append(f"| **{source}** | all | {_figures([case for case in cases if case.source == source])} |")
    return "\n".join(rows)


def _figures(cases: Sequence[Case]) -> str:
    errors_ms = 1e3 * np.abs([case.error_s for case in cases if case.told])
    wrong = sum(case.told and abs(case.error_s) > WRONG_S for case in cases)
    middle, most = np.percentile(errors_ms, [50, 95]) if len(errors_ms) else (np.nan, np.nan)
    errors = f"{middle:.0f} ms | {most:.0f} ms" if len(errors_ms) else "– | –"
    return f"{len(cases)} | {len(errors_ms) / len(cases):.0%} | {errors} | {wrong} ({wrong / len(cases):.1%})"


if __name__ == "__main__":
    try:
        main()
    except SensorError as error:
        raise SystemExit(str(error)) from error
