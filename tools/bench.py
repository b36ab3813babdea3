"""Measures what a recognition costs: latency, throughput, memory, and energy above idle; an engine a row.

    python tools/bench.py                                        # the bundle in use
    python tools/bench.py --bundle B --engines onnxruntime,tensorrt --json FILE.json --plot FILE.png
    python tools/bench.py --bundle B --live                      # from device to prediction, on an emulated rig
    python tools/bench.py --bundle B --live --sensors imu,radar  # the same on the sensors that are attached
    python tools/bench.py --training                             # stage 2 beside DeepSense and AttnSense

Each engine runs in a process of its own, so that its memory is its own. Energy meters are found by themselves: the
rails of a Jetson, NVML, RAPL; what idleness before and after the work draws is subtracted. Where there is no meter,
there is no energy. A bundle's engines take one window: with --batch N they take N one after another, torch N at once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.bundle import Bundle, BundleError, load_bundle
from models.files import write_whole
from models.spec import ModelSpec
from runtime.cli.common import (
    CACHE,
    DONE,
    FAILED,
    USAGE,
    Failure,
    UsageError,
    add_bundle,
    chosen_bundle,
    count,
    open_live,
    seconds,
    sensor_names,
    until,
)
from runtime.config import ConfigError, load_config
from runtime.energy import BLOCK_S, IDLE_S, EnergyError, Measurement, find_sources
from runtime.engine import Engine, EngineError
from runtime.engines import ENGINES, open_engine
from runtime.gpu import find_gpu
from runtime.json_lines import JsonLines
from runtime.loop import recognise
from runtime.stages import STAGES, Stages
from runtime.summary import Summary
from sensors.rig import SENSOR_NAMES
from sensors.sensor import SensorError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TORCH = {"torch": "cpu", "torch-cuda": "cuda"}
STEADY_WITHIN = 0.05
WARM_UP_SHARE, WARM_UP_RUNS = 0.1, 20
LIVE_WARM_UP = 4  # predictions
PEOPLE, PEOPLE_S = range(2), 150.0  # simulated, and seconds of each
LABELS_EACH = (2, 4)  # of the simulated person's activities: about as many labels as in the paper's table
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
LIBRARIES = ("cosmo-runtime", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "pycuda", "torch", "nvidia-ml-py")
BLUE, ORANGE = "#0072B2", "#E69F00"  # Okabe and Ito's colours, which colour-blind people can tell apart
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


class Row(NamedTuple):
    """What an engine came to.

    Attributes:
        name: of the engine.
        figures: for machines; None where it could not run.
        reason: why it could not.
        times_ms: for the picture: of each run (runs,), or of each prediction's stages (predictions, stages).
    """

    name: str
    figures: Optional[Dict[str, Any]]
    reason: str = ""
    times_ms: Optional[np.ndarray] = None


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = _options(arguments)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        options.bundle = chosen_bundle(options, load_config(options.config))
        bundle = load_bundle(options.bundle)
        strangers = [sensor for sensor in options.sensors or () if sensor not in bundle.spec.sensors]
        if strangers:
            known = ", ".join(bundle.spec.sensors)
            raise UsageError(f"--sensors: {bundle.path} has no {', '.join(strangers)}; it has {known}")
        report = _description(options, bundle)
        if options.training:
            rows: List[Row] = []
            report["training"] = _training(options, bundle.spec, console)
            table = _training_table(report["training"])
        else:
            rows = [_apart(_live if options.live else _alone, name, options, console) for name in options.engines]
            report["live" if options.live else "engines"] = [_for_machines(row) for row in rows]
            table = (_live_table if options.live else _alone_table)(rows)
        _show(table, rows, options, report)
        if options.json:
            _write(options.json, json.dumps(report, indent=2).encode() + b"\n")
        if options.plot:
            _draw(options, report, rows)
    except UsageError as error:
        console.print(f"bench: {error}", markup=False)
        return USAGE
    except (BundleError, ConfigError, EnergyError, Failure) as error:
        console.print(f"bench: {error}", markup=False)
        return FAILED
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written.")
        return FAILED
    return DONE if options.training or any(row.figures for row in rows) else FAILED


def _options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_bundle(parser)
    parser.add_argument(
        "--engines",
        type=_engine_names,
        default=["onnxruntime", "tensorrt", "torch"],
        metavar="NAMES",
        help=f"any of {','.join((*ENGINES, *TORCH))} (default: onnxruntime,tensorrt,torch)",
    )
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="windows a run (default: 1)")
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="of an inference (default: 1)")
    parser.add_argument("--duration", type=seconds, metavar="S", help="of an engine's turn (default: 10, live 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything for machines")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a picture (needs matplotlib)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--live", action="store_true", help="measure the whole chain, stage by stage")
    kinds.add_argument("--training", action="store_true", help="measure stage 2 beside others (needs torch)")
    live = parser.add_argument_group("with --live")
    live.add_argument("--sensors", type=sensor_names, metavar="NAMES", help="attached ones (default: an emulated rig)")
    live.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: find everything)")
    training = parser.add_argument_group("with --training")
    training.add_argument("--data", type=Path, metavar="PATH", help="folder with utd-mhad (default: simulated people)")
    training.add_argument(
        "--epochs", type=count, default=50, metavar="N", help="of each method, a multiple of 5 (default: 50)"
    )
    training.add_argument("--runs", type=count, default=3, metavar="N", help="of each method (default: 3)")
    training.add_argument("--cache", type=Path, default=CACHE, help="of windows (default: %(default)s)")
    options = parser.parse_args(arguments)

    if not options.live and (options.sensors or options.config):
        parser.error("--sensors and --config go with --live only")
    if options.live and options.batch > 1:
        parser.error("--batch: a live run recognises each window as it closes")
    if options.epochs % 5:
        parser.error("--epochs: give a multiple of 5, which is a turn of stage 2")
    if options.data and not options.training:
        parser.error("--data goes with --training only")
    for file in options.json, options.plot:
        if file and not file.parent.is_dir():
            parser.error(f"{file}: there is no folder {file.parent}")
    if options.plot:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            parser.error("--plot needs matplotlib: pip install matplotlib")
    options.duration = options.duration or (30.0 if options.live else 10.0)
    return options


def _engine_names(text: str) -> List[str]:
    known = (*ENGINES, *TORCH)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected any of {', '.join(known)}, separated by commas")
    return list(dict.fromkeys(names))


# Measuring


def _apart(
    measure: Callable[[str, argparse.Namespace], Row], name: str, options: argparse.Namespace, console: Console
) -> Row:
    """Measures an engine in a process of its own, which may die without harm to the others."""
    console.print(f"{name}: {options.duration:g} s", style="dim")  # and no more: a spinner would keep the machine busy
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(measure, name, options).result()
        except BrokenProcessPool:
            return Row(name, None, "its process died; what it said stands above")
        except Exception as error:  # whatever befalls one engine, the others are measured
            known = isinstance(error, (BundleError, EngineError, EnergyError, SensorError))
            return Row(name, None, str(error) if known else f"{type(error).__name__}: {error}")


def _open(bundle: Bundle, name: str, threads: int) -> Engine:
    if name not in TORCH:
        return open_engine(bundle, name, threads)
    try:
        from training.eager import TorchEngine
    except ImportError as error:
        raise EngineError(f"needs torch ({error}): pip install 'cosmo-runtime[train]'") from error
    return TorchEngine(bundle, TORCH[name], threads)


def _alone(name: str, options: argparse.Namespace) -> Row:
    """The engine without a pause between two inferences, on noise: what it computes takes as long as on a person."""
    bundle = load_bundle(options.bundle)
    began_s = time.perf_counter()
    engine = _open(bundle, name, options.threads)
    step = _step(engine, bundle.spec, options.batch)
    step()
    first_answer_s = time.perf_counter() - began_s
    _repeat(step, WARM_UP_SHARE * options.duration, WARM_UP_RUNS)
    with Measurement(find_sources().sources) as measurement, measurement.work():
        cpu_s, waited_ns = time.process_time(), _waited_ns()
        latency_ms = _repeat(step, options.duration)
        cpu_s, waited_ns = time.process_time() - cpu_s, _waited_ns() - waited_ns
    first, second = map(np.median, np.array_split(latency_ms, 2))
    windows = options.batch * len(latency_ms)
    figures = {
        "precision": engine.precision,
        "at_once": _takes_batches(engine),
        "runs": len(latency_ms),
        "latency_ms": _percentiles(latency_ms),
        "drift": round(float(second / first - 1), 4),
        "waited_for_a_core": round(waited_ns / latency_ms.sum() * 1e-6, 4),
        "cpu_ms_per_window": round(1e3 * cpu_s / windows, 4),
        "windows_per_s": round(windows / latency_ms.sum() * 1e3, 1),
        "first_answer_s": round(first_answer_s, 3),
        "memory_mb": _peak_memory_mb(),
        "energy": measurement.net and measurement.net.as_dict(windows),
    }
    return Row(name, figures, times_ms=latency_ms)


def _step(engine: Engine, spec: ModelSpec, batch: int) -> Callable[[], object]:
    """One run: the next ``batch`` windows."""
    random = np.random.default_rng(0)
    batches = []
    for _ in range(8):
        batches.append(
            {
                **{m.sensor: random.uniform(0, 3, (batch, spec.steps(m), *m.shape)) for m in spec.modalities},
                "presence": np.ones((batch, len(spec.modalities))),
            }
        )
    stacked = cycle([{name: array.astype(np.float32) for name, array in inputs.items()} for inputs in batches])
    if _takes_batches(engine):
        return lambda: engine.infer_batch(next(stacked))  # type: ignore[attr-defined]

    def step() -> None:
        inputs = next(stacked)
        for window in range(batch):
            engine.infer({name: array[window] for name, array in inputs.items()})

    return step


def _takes_batches(engine: Engine) -> bool:
    return hasattr(engine, "infer_batch")


def _repeat(step: Callable[[], object], duration_s: float, at_least: int = 2) -> np.ndarray:
    """Runs a step over and over; returns the milliseconds of each."""
    taken = []
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s or len(taken) < at_least:
        began_s = time.perf_counter()
        step()
        taken.append(1e3 * (time.perf_counter() - began_s))
    return np.array(taken)


def _live(name: str, options: argparse.Namespace) -> Row:
    """The runtime as it is, its output for machines included, with stamps around its parts."""
    bundle = load_bundle(options.bundle)
    config = load_config(options.config)
    settings = config.recognition
    sensors = options.sensors or [sensor for sensor in SENSOR_NAMES if sensor in bundle.spec.sensors]
    rig = argparse.Namespace(sensors=sensors, emulate=None if options.sensors else "person")
    stages = Stages()
    engine = _open(bundle, name, options.threads)
    recognizer = stages.recognizer(bundle, engine, settings.min_confidence, settings.smoothing)
    with Measurement(find_sources().sources) as measurement, ExitStack() as stack:
        run = open_live(rig, config, stack, stages.source)
        rates_hz = {sensor: info.rate_hz for sensor, info in run.infos.items()}
        aligner = stages.aligner(bundle.spec, rates_hz, settings.lateness_ms / 1e3)
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        sinks = [Summary(run.infos), JsonLines(nowhere, run.wall_offset_ns), stages]
        events = until(run.events, run.stop, options.duration)
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        with measurement.work():
            recognise(events, aligner, recognizer, run.infos, sinks, live=True)
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    times_ms = np.array(stages.times_ms[LIVE_WARM_UP:])
    if not len(times_ms):
        raise EngineError(f"too few windows in {options.duration:g} s: give a longer --duration")
    figures = {
        "precision": engine.precision,
        "windows": len(times_ms),
        "left_out": stages.left_out,
        "stages_ms": {stage: _percentiles(column) for stage, column in zip(STAGES, times_ms.T)},
        "from_last_sample_ms": _percentiles(times_ms[:, 1:].sum(1)),
        "from_window_end_ms": _percentiles(times_ms.sum(1)),
        "cpu_of_one_core": round(cpu_s / took_s, 4),
        "memory_mb": _peak_memory_mb(),
        "energy": measurement.net and measurement.net.as_dict(took_s / bundle.spec.hop_s),
    }
    return Row(name, figures, times_ms=times_ms)


def _percentiles(times_ms: np.ndarray) -> Dict[str, float]:
    values = np.percentile(times_ms, list(PERCENTILES.values()))
    return {name: round(float(value), 4) for name, value in zip(PERCENTILES, values)}


def _waited_ns() -> int:
    """How long this thread has been ready to run while others had the cores; 0 where the kernel does not say."""
    return int((_text("/proc/thread-self/schedstat") or "0 0").split()[1])


def _peak_memory_mb() -> float:
    """Of this process alone; what ``getrusage`` gives is its parent's, where that was larger."""
    status = Path("/proc/self/status").read_text()
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(peak_kb) * 1024 / 1e6, 1)


def _training(options: argparse.Namespace, spec: ModelSpec, console: Console) -> Dict[str, Any]:
    """Stage 2 beside learners without a stage 1, on trials of UTD-MHAD or on simulated people."""
    try:
        import torch

        from training.datasets.motion import PERSON_CLASSES, simulated_people
        from training.datasets.store import DataSetError
        from training.overhead import overhead
        from training.protocols import PROTOCOLS, balanced_draw
    except ImportError as error:
        raise Failure(f"--training needs more than a live run ({error}): pip install 'cosmo-runtime[train]'") from error
    torch.set_num_threads(options.threads)
    try:
        if options.data:
            protocol = PROTOCOLS["utd-b-radar"]
            spec, data = protocol.spec, protocol.title
            tasks = [protocol.task(options.data, options.cache, rate, seed=0) for rate in protocol.rates[:2]]
            labelled = [task.training.labelled for task in tasks]
        else:
            spec = spec.model_copy(update={"classes": PERSON_CLASSES})
            data = "simulated people"
            windows = simulated_people(PEOPLE, PEOPLE_S, spec, options.cache).labelled
            rates = [100 * each * len(np.unique(windows.labels)) / len(windows) for each in LABELS_EACH]
            labelled = [windows.where(balanced_draw(windows.labels, rate, seed=0)) for rate in rates]
    except (DataSetError, SensorError) as error:
        raise Failure(str(error)) from error
    sources = find_sources().sources
    with Progress(console=console, transient=True, refresh_per_second=1) as progress:
        rows = overhead(spec, labelled, progress, epochs=options.epochs, runs=options.runs, sources=sources)
    return {"data": data, "sensors": spec.sensors, "epochs": options.epochs, "runs": options.runs, "rows": rows}


# Telling


def _description(options: argparse.Namespace, bundle: Bundle) -> Dict[str, Any]:
    """Machine, versions and settings."""
    found = find_sources()
    gpu = find_gpu()
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "model": _text("/sys/firmware/devicetree/base/model") or _text("/sys/class/dmi/id/product_name"),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "gpu": str(gpu) if gpu else None,
            "system": platform.platform(),
            "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "power_mode": _text("/var/lib/nvpmodel/status"),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "settings": {
            "command": shlex.join(["python", *sys.argv]),
            "bundle": bundle.path.name,
            "threads": options.threads,
            "batch": options.batch,
            "duration_s": options.duration,
            "rig": (",".join(options.sensors) if options.sensors else "emulated") if options.live else None,
            "idle_s": [IDLE_S, IDLE_S] if found.sources else None,
        },
        "meters": [{"name": source.name, "covers": source.covers} for source in found.sources],
        "notes": found.notes,
    }


def _text(file: str) -> Optional[str]:
    try:
        return Path(file).read_text().strip("\0\n ") or None
    except OSError:
        return None


def _processor() -> str:
    lines = (_text("/proc/cpuinfo") or "").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> Dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _for_machines(row: Row) -> Dict[str, Any]:
    return {"engine": row.name, **(row.figures or {"unavailable": row.reason})}


def _alone_table(rows: Sequence[Row]) -> Table:
    table = _table(
        "engine", "p50 ms", "p90", "p99", "max", "windows/s", "CPU ms", "MB", "mJ/window", "steady", "waited"
    )
    for row in rows:
        if row.figures:
            figures = row.figures
            latency = [f"{figures['latency_ms'][name]:.3g}" for name in PERCENTILES]
            steady = "yes" if abs(figures["drift"]) <= STEADY_WITHIN else f"no, {figures['drift']:+.0%}"
            waited = f"{figures['waited_for_a_core']:.0%}"
            rate, memory = f"{figures['windows_per_s']:.0f}", f"{figures['memory_mb']:.0f}"
            cpu = f"{figures['cpu_ms_per_window']:.3g}"
            table.add_row(_title(row), *latency, rate, cpu, memory, _energy(figures["energy"]), steady, waited)
    return table


def _live_table(rows: Sequence[Row]) -> Table:
    table = _table("engine", *STAGES, "computer", "in all", "CPU", "mJ/window")
    for row in rows:
        if row.figures:
            figures = row.figures
            times = [*figures["stages_ms"].values(), figures["from_last_sample_ms"], figures["from_window_end_ms"]]
            cells = [f"{time['p50']:.3g} ({time['p99']:.3g})" for time in times]
            table.add_row(_title(row), *cells, f"{figures['cpu_of_one_core']:.1%}", _energy(figures["energy"]))
    return table


def _training_table(training: Mapping[str, Any]) -> Table:
    names = list(training["rows"][0]["methods"])
    table = _table("labels", *names)
    for row in training["rows"]:
        cells = []
        for name in names:
            method = row["methods"][name]
            energy = "" if method["energy_j"] is None else f" / {method['energy_j']:.3g} J"
            cells.append(f"{method['seconds']:.3g} s (CPU {method['cpu_seconds']:.3g} s){energy}")
        table.add_row(str(row["labels"]), *cells)
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _title(row: Row) -> str:
    assert row.figures
    return row.name if row.figures["precision"] == "fp32" else f"{row.name} {row.figures['precision']}"


def _energy(energy: Optional[Mapping[str, Any]]) -> str:
    if energy is None:
        return "–"
    if energy["energy_mj"] is None:
        return f"below {energy['uncertainty_mj']:.2g}, what this meter resolves"
    return f"{energy['energy_mj']:.3g} ± {energy['uncertainty_mj']:.1g}"


def _show(table: Table, rows: Sequence[Row], options: argparse.Namespace, report: Mapping[str, Any]) -> None:
    """The table, and what must be known to read it."""
    terminal = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)
    if table.row_count:
        terminal.print(table)
    lines = [f"{row.name}: {row.reason}" for row in rows if not row.figures]
    if table.row_count:
        lines += [_how(options, report), *_about_energy(report)]
    terminal.print("\n".join(lines), markup=False, soft_wrap=True)


def _how(options: argparse.Namespace, report: Mapping[str, Any]) -> str:
    """How the table was measured."""
    threads = f"{options.threads} thread{'s' * (options.threads > 1)}"
    if options.training:
        training = report["training"]
        return (
            f"{training['data']}; median of {training['runs']} runs of {training['epochs']} epochs, in turns, on the "
            f"CPU, {threads}. Cosmo's epochs are its encoders'; its classifier makes as many, on embeddings that are "
            "computed once a turn."
        )
    if options.live:
        rig = "an emulated rig on the same machine" if options.sensors is None else "the attached sensors"
        return (
            f"p50 (p99) in ms; {options.duration:g} s on {rig}, {threads}. wait: from the window's end to its last "
            "sample, which is the sensors'; computer: all that follows; CPU: of one core. Windows that the lateness "
            "budget closed are left out."
        )
    batch = ""
    if options.batch > 1:
        batch = (
            f"A run is {options.batch} windows: one after another, as the bundle's engines take them; torch at once. "
        )
    return (
        f"{batch}Without pause for {options.duration:g} s after a warm-up, {threads}; MB: peak memory of a process of "
        f"its own; steady: the halves' medians differ by at most {STEADY_WITHIN:.0%}; waited: share of the time in "
        "which other work had its core."
    )


def _about_energy(report: Mapping[str, Any]) -> List[str]:
    if not report["meters"]:
        none = "No energy meter was found (rails of a Jetson, NVML, RAPL): time alone, no energy."
        return [none, *report["notes"]]
    covers = " and ".join(dict.fromkeys(meter["covers"] for meter in report["meters"]))
    names = ", ".join(meter["name"] for meter in report["meters"])
    return [
        f"Energy of {covers} ({names}) above idle, which was measured for {IDLE_S:g} s before and after the work; "
        f"± two standard deviations of its means over {BLOCK_S:g} s.",
        *report["notes"],
    ]


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error


# Drawing


def _draw(options: argparse.Namespace, report: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """A picture of the table, 800 pixels wide."""
    import matplotlib
    from matplotlib.figure import Figure

    ran = [row for row in rows if row.figures]
    look = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.rc_context(look):
        if options.training:
            bars = len(report["training"]["rows"])
            figure = Figure(figsize=(8, 1.6 + 0.9 * bars), layout="constrained")
            _draw_training(figure, report)
        elif ran:
            figure = Figure(figsize=(8, 1.4 + 0.8 * len(ran)), layout="constrained")
            (_draw_live if options.live else _draw_alone)(figure, ran)
        else:
            return
        machine = report["machine"]
        figure.suptitle(
            f"{report['settings']['bundle']} on {machine['gpu'] or machine['model'] or machine['processor']}"
        )
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100)
    _write(options.plot, picture.getvalue())


def _draw_alone(figure: Figure, rows: Sequence[Row]) -> None:
    """How often each engine took how long; and the energy, where there is any."""
    from matplotlib.ticker import LogLocator, NullFormatter

    energies = [row.figures["energy"] for row in rows]  # type: ignore[index]
    metered = any(energy and energy["energy_mj"] is not None for energy in energies)
    panels = figure.subplots(1, 2 if metered else 1, squeeze=False, width_ratios=[3, 1] if metered else [1])[0]
    axes = panels[0]
    times = [row.times_ms for row in rows]
    edges = np.geomspace(0.9 * min(t.min() for t in times), 1.1 * max(np.percentile(t, 99.9) for t in times), 160)
    for place, row in enumerate(rows):
        latency = row.figures["latency_ms"]  # type: ignore[index]
        share, _ = np.histogram(row.times_ms, edges)
        height = 0.75 * np.convolve(share, [0.25, 0.5, 0.25], "same") / share.max()
        axes.fill_between(np.sqrt(edges[1:] * edges[:-1]), -place, height - place, color=BLUE, alpha=0.35, linewidth=0)
        for name, marker in ("p50", "o"), ("p90", "|"), ("p99", "d"):
            axes.plot(latency[name], -place, marker, color=BLUE, clip_on=False, label=name if not place else None)
        text = f"{latency['p50']:.2g} ms, {row.figures['windows_per_s']:.0f} windows/s"  # type: ignore[index]
        axes.annotate(text, (1, 0.3 - place), xycoords=("axes fraction", "data"), ha="right", color="#444444")
    axes.set(xscale="log", xlabel="latency, ms", ylim=(-len(rows) + 0.8, 1))
    axes.set_yticks([-place for place in range(len(rows))], [_title(row) for row in rows])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1), borderaxespad=0)
    if metered:
        for place, energy in enumerate(energies):
            if energy and energy["energy_mj"] is not None:
                error = {"xerr": energy["uncertainty_mj"], "error_kw": {"ecolor": "#444444"}}
                panels[1].barh(-place, energy["energy_mj"], 0.5, color=ORANGE, **error)
        panels[1].set(xlabel="energy above idle, mJ/window", ylim=axes.get_ylim(), yticks=[])


def _draw_live(figure: Figure, rows: Sequence[Row]) -> None:
    """The stages that the computer makes, one after another; the wait for the sensors in words."""
    axes = figure.subplots()
    for place, row in enumerate(rows):
        left = 0.0
        for stage, color in zip(STAGES[1:], COLORS):
            wide = row.figures["stages_ms"][stage]["p50"]  # type: ignore[index]
            axes.barh(-place, wide, 0.5, left, color=color, label=stage if not place else None)
            left += wide
        wait, whole = row.figures["stages_ms"]["wait"], row.figures["from_last_sample_ms"]  # type: ignore[index]
        text = f"{whole['p50']:.1f} ms (p99 {whole['p99']:.1f}) after waiting {wait['p50']:.0f} ms for the sensors"
        axes.annotate(f" {text}", (0, 0.32 - place), color="#444444")
    axes.set(xlabel="median of each stage, ms", ylim=(-len(rows) + 0.6, 0.6))
    axes.set_yticks([-place for place in range(len(rows))], [_title(row) for row in rows])
    figure.legend(loc="outside lower center", ncols=6)


def _draw_training(figure: Figure, report: Mapping[str, Any]) -> None:
    """Time of each method, and energy where it is known."""
    rows = report["training"]["rows"]
    names = list(rows[0]["methods"])
    known = all(method["energy_j"] is not None for row in rows for method in row["methods"].values())
    panels = figure.subplots(1, 2 if known else 1, squeeze=False, sharey=True)[0]
    for axes, key, unit in zip(panels, ("seconds", "energy_j"), ("time, s", "energy above idle, J")):
        for place, row in enumerate(rows):
            for number, (name, color) in enumerate(zip(names, COLORS)):
                value = row["methods"][name][key]
                bar = axes.barh(-place - 0.26 * number, value, 0.24, color=color, label=name if not place else None)
                axes.bar_label(bar, fmt=" %.3g")
        axes.set(xlabel=unit)
        axes.set_yticks([-place - 0.26 for place in range(len(rows))], [f"{row['labels']} labels" for row in rows])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


if __name__ == "__main__":
    sys.exit(main())
