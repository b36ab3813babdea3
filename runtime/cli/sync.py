"""``cosmo-runtime sync``: how far the sensors of a recording are out of step, and the latencies that put them right."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from rich.table import Table

from cosmo_runtime.runtime.cli.common import DONE, FAILED, Failure, UsageError, say, show_table
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.sync.configuration import write_latencies
from cosmo_runtime.runtime.sync.estimate import Step, estimate
from cosmo_runtime.runtime.sync.motion import Curves, Moment
from cosmo_runtime.sensors.events import Correction, Sample
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorInfo

_CONTRADICTION_S = 0.075  # minutes of one rig differ by less: docs/sync.md


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime sync",
        description="Estimates the delays between sensors, from the motion that all of them see. A minute of irregular "
        "motion of one person is enough. If the motion allows no estimate, it says why.",
    )
    command.add_argument("recordings", type=Path, nargs="+", metavar="RECORDING", help="recordings of the same rig")
    command.add_argument(
        "--write",
        type=Path,
        metavar="FILE.toml",
        help="set latency_ms of each sensor in this configuration file, which is made if there is none",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    if len({path.resolve() for path in options.recordings}) < len(options.recordings):
        raise UsageError("name each recording only once, or the result would seem more certain than it is")
    recordings = [Recording(path) for path in options.recordings]
    infos = _one_rig(recordings)
    stretches = [_moments(recording) for recording in recordings]
    kinds = {name: info.kind for name, info in infos.items()}
    steps = estimate(stretches, kinds)
    _refuse_contradictions(recordings, [estimate([stretch], kinds) for stretch in stretches])
    told = [name for name, step in steps.items() if not step.refusal]
    latencies_ms = latencies(steps, infos)
    figures = _figures(recordings, steps, infos, latencies_ms)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _show(figures)
    if not told:
        say("No delay found. Record one person who moves irregularly for a minute, in view of all sensors")
        return FAILED
    if options.write:
        load_config(options.write if options.write.exists() else None)  # says what is wrong before it is changed
        write_latencies(options.write, {name: latencies_ms[name] for name in told})
        say(f"{options.write}: latency_ms is set for {', '.join(told)}. Existing recordings do not change")
        _warn_of_lateness(options.write, latencies_ms)
    return DONE


def latencies(steps: Mapping[str, Step], infos: Mapping[str, SensorInfo]) -> Dict[str, float]:
    """What ``latency_ms`` puts the sensors in step: whole milliseconds, none below 0.

    Only differences can be told. So the reference keeps what it has, unless another would fall below 0.

    Args:
        steps: in relation to the first that is told.
        infos: of the sensors, whose present latency is off their stamps already.
    """
    told = [name for name, step in steps.items() if not step.refusal]
    if not told:
        return {}
    reference_ms = infos[told[0]].latency_ms
    wanted = {name: reference_ms + 1e3 * steps[name].delay_s for name in told}
    least = min(0.0, *wanted.values())
    return {name: float(round(value - least)) for name, value in wanted.items()}


def _one_rig(recordings: Sequence[Recording]) -> Dict[str, SensorInfo]:
    infos: Dict[str, SensorInfo] = {}
    for recording in recordings:
        for name, info in recording.infos.items():
            before = infos.setdefault(name, info)
            if before.kind != info.kind:
                raise Failure(f"{recording.path}: {name} is of kind {info.kind}, and of kind {before.kind} before")
    return infos


def _refuse_contradictions(recordings: Sequence[Recording], alone: Sequence[Mapping[str, Step]]) -> None:
    """Refuses recordings whose sensors have different delays, because their mean would be wrong for each."""
    found: Dict[Tuple[str, str], Tuple[Step, Path]] = {}
    for recording, steps in zip(recordings, alone):
        told = [name for name, step in steps.items() if not step.refusal]
        for name in told[1:]:
            step = steps[name]
            other, path = found.setdefault((told[0], name), (step, recording.path))
            apart_s, error_s = abs(step.delay_s - other.delay_s), math.hypot(step.error_s, other.error_s)
            if apart_s > max(_CONTRADICTION_S, 3 * error_s):
                raise Failure(
                    f"{name} is {1e3 * other.delay_s:+.0f} ms behind {told[0]} in {path}, but "
                    f"{1e3 * step.delay_s:+.0f} ms in {recording.path}: give recordings of one rig, with no sensor "
                    "changed in between"
                )


def _moments(recording: Recording) -> Dict[str, List[Moment]]:
    """What each sensor saw moving, at the times that it told, before any latency was taken off."""
    curves = Curves(recording.infos)
    taken_off_ns = {name: round(info.latency_ms * 1e6) for name, info in recording.infos.items()}
    configured_ns = dict(taken_off_ns)
    for event in recording.events():
        if isinstance(event, Correction):
            taken_off_ns[event.sensor] = configured_ns[event.sensor] + event.taken_off_ns
        elif isinstance(event, Sample):
            curves.add(replace(event, stamp_ns=event.stamp_ns + taken_off_ns[event.sensor]))
    if recording.cut:
        say(f"{recording.path}: was cut short by a kill or a full disk; what is there counts")
    return curves.moments


def _figures(
    recordings: Sequence[Recording],
    steps: Mapping[str, Step],
    infos: Mapping[str, SensorInfo],
    latencies_ms: Mapping[str, float],
) -> Dict[str, Any]:
    told = [name for name, step in steps.items() if not step.refusal]
    return {
        "recordings": [str(recording.path) for recording in recordings],
        "seconds": round(sum(recording.duration_s for recording in recordings), 1),
        "reference": told[0] if told else None,
        "sensors": {
            name: {
                "delay_ms": None if step.refusal else round(1e3 * step.delay_s, 1),
                "error_ms": None if step.refusal else round(1e3 * step.error_s, 1),
                "drift_ppm": _rounded(step.drift_ppm),
                "drift_error_ppm": _rounded(step.drift_error_ppm),
                "agreement": round(step.agreement, 3),
                "gap": round(step.gap, 2),
                "risk": round(step.risk, 4),
                "refusal": step.refusal or None,
                "latency_ms": {"now": infos[name].latency_ms, "in_step": latencies_ms.get(name)},
            }
            for name, step in steps.items()
        },
    }


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 1)


def _show(figures: Mapping[str, Any]) -> None:
    table = Table(
        "sensor", "delay", "drift", "agreement", "risk", "latency_ms now", "in step", box=None, header_style="dim"
    )
    for name, row in figures["sensors"].items():
        drift = "–"
        if row["drift_ppm"] is not None and name != figures["reference"]:
            drift = f"{row['drift_ppm']:+.0f} ± {row['drift_error_ppm']:.0f} µs/s"
        delay = f"{row['delay_ms']:+.0f} ± {row['error_ms']:.0f} ms" if row["delay_ms"] is not None else "?"
        delay = "reference" if name == figures["reference"] else delay
        latency = row["latency_ms"]
        in_step = "?" if latency["in_step"] is None else f"{latency['in_step']:g}"
        risk = f"{row['risk']:.1%}"
        table.add_row(name, delay, drift, f"{row['agreement']:.2f}", risk, f"{latency['now']:g}", in_step)
    print(f"{figures['seconds']:g} s of {', '.join(figures['recordings'])}")
    show_table(table)
    for name, row in figures["sensors"].items():
        if row["refusal"]:
            say(f"{name}: no delay found: {row['refusal']}")


def _warn_of_lateness(path: Path, latencies_ms: Mapping[str, float]) -> None:
    """Windows wait only so long for a sensor, and one that is stamped earlier seems to come later."""
    lateness_ms = load_config(path).recognition.lateness_ms
    most_ms = max(latencies_ms.values())
    if most_ms > lateness_ms - 100:
        say(f"Windows wait only {lateness_ms:g} ms for a sensor: set lateness_ms = {most_ms + 200:g} in [recognition]")
