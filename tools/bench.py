"""Measures latency, throughput, memory and energy of recognition, with one row per engine.

    cosmo-runtime bench                                        # the bundle in use; also: python tools/bench.py
    cosmo-runtime bench --bundle B --engines onnxruntime,tensorrt --json FILE.json --plot FILE.png
    cosmo-runtime bench --bundle B --live                      # from device to prediction, on an emulated rig
    cosmo-runtime bench --bundle B --live --sensors imu,radar  # the same on attached sensors
    cosmo-runtime bench --training                             # stage 2 beside DeepSense and AttnSense

Each engine runs in its own process, so its memory is its own. Energy is measured if the machine has a meter: the rails
of a Jetson, NVML or RAPL. Idle power is measured before and after the work and subtracted. With --batch N, a bundle's
engines take N windows one after another; torch takes them at once.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from rich.console import Console

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.outputs import try_file
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.common import DONE, FAILED, USAGE, Failure, UsageError, chosen_bundle, say
from cosmo_runtime.runtime.cli.options import add_bundle
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import count, seconds, sensor_names
from cosmo_runtime.runtime.config import ConfigError, load_config
from cosmo_runtime.tools.measure import engines, live, training
from cosmo_runtime.tools.measure.energy import BLOCK_S, IDLE_S
from cosmo_runtime.tools.measure.machine import machine, versions
from cosmo_runtime.tools.measure.meters import EnergyError, Found, find_sources
from cosmo_runtime.tools.measure.report import Answer
from cosmo_runtime.tools.measure.rows import KNOWN

_QUESTIONS: Dict[str, Callable[[argparse.Namespace, Console], Answer]] = {
    "engines": engines.answer,
    "live": live.answer,
    "training": training.answer,
}


def parser() -> Parser:
    command = Parser("cosmo-runtime bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_bundle(command)
    command.add_argument(
        "--engines",
        type=_engine_names,
        default=["onnxruntime", "tensorrt", "torch"],
        metavar="NAMES",
        help=f"any of {','.join(KNOWN)} (default: onnxruntime,tensorrt,torch)",
    )
    command.add_argument("--batch", type=count, default=1, metavar="N", help="windows per run (default: 1)")
    command.add_argument("--threads", type=count, default=1, metavar="N", help="threads per inference (default: 1)")
    command.add_argument(
        "--duration", type=seconds, metavar="S", help="seconds to measure each engine (default: 10, with --live 30)"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    command.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a picture (needs matplotlib)")
    questions = command.add_mutually_exclusive_group()
    questions.add_argument("--live", action="store_true", help="measure each stage from device to prediction")
    questions.add_argument("--training", action="store_true", help="measure stage 2 beside others (needs torch)")
    live_group = command.add_argument_group("with --live")
    live_group.add_argument(
        "--sensors", type=sensor_names, metavar="NAMES", help="use attached sensors (default: an emulated rig)"
    )
    live_group.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="configuration (default: find the sensors automatically)"
    )
    training_group = command.add_argument_group("with --training")
    training_group.add_argument(
        "--data", type=Path, metavar="PATH", help="folder that holds utd-mhad (default: simulated people)"
    )
    training_group.add_argument(
        "--epochs", type=count, default=50, metavar="N", help="epochs of each method, a multiple of 5 (default: 50)"
    )
    training_group.add_argument("--runs", type=count, default=3, metavar="N", help="runs of each method (default: 3)")
    training_group.add_argument(
        "--cache", type=Path, default=cache_folder(), help="cache of windows (default: %(default)s)"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Measures, shows and writes the results. Returns the exit code."""
    _check(options)
    options.duration = options.duration or (30.0 if options.live else 10.0)
    options.bundle = chosen_bundle(options, load_config(options.config))
    bundle = load_bundle(options.bundle)
    _check_sensors(options.sensors or [], bundle)
    report = _description(options, bundle, find_sources())
    question = "training" if options.training else "live" if options.live else "engines"
    try:
        answer = _QUESTIONS[question](options, Console(stderr=True, soft_wrap=True, highlight=False))
    except EnergyError as error:
        raise Failure(str(error)) from error
    report[question] = answer.figures
    _show(answer, report)
    if options.json:
        _write(options.json, json.dumps(report, indent=2).encode() + b"\n")
    if options.plot and answer.table.row_count:
        _write(options.plot, _picture(answer, report))
    return DONE if answer.table.row_count else FAILED


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        reason, code = "stopped; nothing was written", FAILED
    except UsageError as error:
        reason, code = str(error), USAGE
    except (BundleError, ConfigError, Failure) as error:
        reason, code = str(error), FAILED
    say(f"bench: {reason}")
    return code


def _engine_names(text: str) -> List[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in KNOWN]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected any of {', '.join(KNOWN)}, separated by commas")
    return list(dict.fromkeys(names))


def _check(options: argparse.Namespace) -> None:
    """Refuses options that do not fit together, and files that cannot be written, before anything is measured."""
    if not options.live and (options.sensors or options.config):
        raise UsageError("--sensors and --config need --live")
    if options.live and options.batch > 1:
        raise UsageError("--batch cannot be used with --live: a live run recognises each window as it closes")
    if options.epochs % 5:
        raise UsageError("--epochs: give a multiple of 5, the epochs of one turn of stage 2")
    if options.data and not options.training:
        raise UsageError("--data needs --training")
    for file in options.json, options.plot:
        if file and not file.parent.is_dir():
            raise UsageError(f"{file}: there is no folder {file.parent}")
        try:
            if file:
                try_file(file)
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}") from error
    if options.plot:
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise UsageError("--plot needs matplotlib: pip install matplotlib") from error


def _check_sensors(names: Sequence[str], bundle: Bundle) -> None:
    strangers = [name for name in names if name not in bundle.spec.sensors]
    if strangers:
        known = ", ".join(bundle.spec.sensors)
        raise UsageError(f"--sensors: {bundle.path} has no {', '.join(strangers)}; it has {known}")


def _description(options: argparse.Namespace, bundle: Bundle, meters: Found) -> Dict[str, Any]:
    """Returns the machine, the versions and the settings."""
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": {
            "command": shlex.join(["python", *sys.argv]),
            "bundle": bundle.path.name,
            "threads": options.threads,
            "batch": options.batch,
            "duration_s": options.duration,
            "rig": (",".join(options.sensors) if options.sensors else "emulated") if options.live else None,
            "idle_s": [IDLE_S, IDLE_S] if meters.sources else None,
        },
        "meters": [{"name": source.name, "covers": source.covers} for source in meters.sources],
        "notes": meters.notes,
    }


def _show(answer: Answer, report: Mapping[str, Any]) -> None:
    """Prints the table, and an explanation of it."""
    terminal = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)
    lines = answer.failures
    if answer.table.row_count:
        terminal.print(answer.table)
        lines = [*lines, answer.explanation, *_about_energy(report)]
    terminal.print("\n".join(lines), markup=False, soft_wrap=True)


def _about_energy(report: Mapping[str, Any]) -> List[str]:
    if not report["meters"]:
        none = "No energy meter was found (rails of a Jetson, NVML, RAPL), so no energy was measured."
        return [none, *report["notes"]]
    covers = " and ".join(dict.fromkeys(meter["covers"] for meter in report["meters"]))
    names = ", ".join(meter["name"] for meter in report["meters"])
    return [
        f"Energy of {covers} ({names}) above idle. Idle power was measured for {IDLE_S:g} s before and after the work; "
        f"± is two standard deviations of its means over {BLOCK_S:g} s.",
        *report["notes"],
    ]


def _picture(answer: Answer, report: Mapping[str, Any]) -> bytes:
    """Returns a PNG file, 800 pixels wide."""
    import matplotlib
    from matplotlib.figure import Figure

    look: Dict[Any, Any] = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    where = report["machine"]
    with matplotlib.rc_context(look):
        figure = Figure(figsize=(8, answer.height_in), layout="constrained")
        answer.draw(figure)
        figure.suptitle(f"{report['settings']['bundle']} on {where['gpu'] or where['model'] or where['processor']}")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
