"""The command line: ``cosmo-runtime`` recognises, ``record`` only keeps, ``doctor`` checks, ``pretrain`` trains."""

from __future__ import annotations

import argparse
import json
import logging
import re
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from rich.console import Console
from rich.logging import RichHandler

import models
from models.bundle import Bundle, BundleError, load_bundle
from runtime.aligner import Aligner
from runtime.config import Config, ConfigError, load_config
from runtime.doctor import examine
from runtime.engine import EngineError, OnnxRuntimeEngine
from runtime.json_lines import JsonLines
from runtime.live import LiveSource, connect_all
from runtime.loop import Sink, keep, recognise
from runtime.recognizer import Recognizer
from runtime.record import RecordingSink
from runtime.replay import WindowCheck, is_same_run, replay, windows_key
from runtime.summary import Summary
from runtime.view import LiveView
from sensors.events import Event, Sample, Tick
from sensors.recording import Recording, RecordingError, RecordingWriter
from sensors.rig import SENSOR_NAMES, open_sensors
from sensors.sensor import SensorError, SensorInfo

SHIPPED_BUNDLE = Path(models.__file__).parent / "bundles" / "person"

_DONE, _FAILED, _USAGE = 0, 1, 2
_TERMINAL = Console()

_COMMANDS = """\
other commands (each has its own --help):
  cosmo-runtime record     keep what the sensors bring, without recognising
  cosmo-runtime doctor     what is attached, what is wrong, how to mend it
  cosmo-runtime pretrain   learn from unlabelled data (stage 1 of Cosmo)

examples:
  cosmo-runtime --sensors imu,depth,radar --emulate person      no hardware needed
  cosmo-runtime --sensors imu,depth,radar --config cosmo.toml --record today.mcap
  cosmo-runtime --sensors imu,depth,radar --replay today.mcap --speed max --output -
"""


_PRETRAIN = """\
data:
  monday.mcap tuesday.mcap    recordings of this runtime
  utd:PATH[:SUBJECTS]         UTD-MHAD, every trial one window: IMU and skeleton
  utd-stream:PATH[:SUBJECTS]  the same as a live stream: IMU, depth and synthesised radar
  usc:PATH[:SUBJECTS]         USC-HAD: accelerometer and gyroscope
  person[:SEEDS]              simulated people
SUBJECTS and SEEDS are numbers such as 1-6 or 1,3.

A run that was killed goes on where its checkpoint is, with the same words. On several GPUs or machines:
  torchrun --nproc-per-node 8 --no-python cosmo-runtime pretrain DATA --out FOLDER --batch 1024
"""


class _UsageError(Exception):
    """The command line asks for something that makes no sense."""


class _Failure(Exception):
    """A command that trains could not do it; the message is for people."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command; returns 0 when it is done, 1 when it failed, 2 on wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and words[0] in _PARSERS else ""
    options = _PARSERS[command]().parse_args(words)
    errors = Console(stderr=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_log_handler()], force=True)
    try:
        return _RUNS[command](options)
    except _UsageError as error:
        errors.print(f"cosmo-runtime: {error}", markup=False, highlight=False, soft_wrap=True)
        return _USAGE
    except (BundleError, ConfigError, EngineError, RecordingError, SensorError, _Failure) as error:
        errors.print(f"cosmo-runtime: {error}", markup=False, highlight=False, soft_wrap=True)
        return _FAILED
    except KeyboardInterrupt:  # before the run began, or for the second time
        return _FAILED


def _log_handler() -> logging.Handler:
    return RichHandler(console=_TERMINAL, show_path=False) if _TERMINAL.is_terminal else logging.StreamHandler()


class _Run(NamedTuple):
    """An open source of events: ``check`` compares windows where a replay can see those of the live run again."""

    events: Iterator[Event]
    infos: Dict[str, SensorInfo]
    stop: threading.Event
    title: str
    wall_offset_ns: int
    check: Optional[WindowCheck] = None


def _recognise(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    settings = config.recognition
    bundle = load_bundle(options.bundle or settings.bundle or SHIPPED_BUNDLE)
    spec = bundle.spec
    _refuse_nonsense(options, bundle)
    engine = OnnxRuntimeEngine(bundle.onnx, settings.threads)
    recognizer = Recognizer(spec, engine, settings.min_confidence, settings.smoothing)
    windows = windows_key(spec, settings.lateness_ms)
    with ExitStack() as stack:
        run = _open_replay(options, windows) if options.replay else _open_live(options, config, stack)
        summary = Summary(run.infos, spec.window_ns)
        sinks: List[Sink] = [summary]
        writer: Optional[RecordingWriter] = None
        if options.record:
            story = {"windows": windows, "bundle": bundle.path.name, "source": run.title}
            writer = stack.enter_context(RecordingWriter(options.record, run.infos, story))
            sinks.append(RecordingSink(writer))
        if run.check:
            sinks.append(run.check)
        sinks += _output(options, run.wall_offset_ns, stack)
        if _TERMINAL.is_terminal and str(options.output) != "-":
            sinks.append(LiveView(spec, run.infos, run.title, _TERMINAL))
        rates_hz = {name: info.rate_hz for name, info in run.infos.items()}
        aligner = Aligner(spec, rates_hz, settings.lateness_ms / 1e3)
        events = _until(run.events, run.stop, options.duration)
        try:
            recognise(events, aligner, recognizer, run.infos, sinks, live=not options.replay)
        except BrokenPipeError:  # whoever read our lines has seen enough
            sys.stdout = None
        finally:
            for sink in sinks:
                sink.close()
    _report(summary, options.summary)
    if writer:
        _check_recording(writer)
    if not run.check:
        return _DONE
    whole = options.duration is None and not run.stop.is_set()
    different = len(run.check.different) + (len(run.check.missing) if whole else 0)
    _say(f"windows equal to those of the live run, bit for bit: {run.check.same} of {run.check.same + different}")
    return _FAILED if different else _DONE


def _refuse_nonsense(options: argparse.Namespace, bundle: Bundle) -> None:
    unknown = [name for name in options.sensors if name not in bundle.spec.sensors]
    if unknown:
        known = ", ".join(bundle.spec.sensors)
        raise _UsageError(f"--sensors: {bundle.path} has no {', '.join(unknown)}; it has {known}")
    if options.replay and (options.emulate or options.record):
        raise _UsageError("--replay goes with neither --emulate nor --record")
    if options.speed != "1" and not options.replay:
        raise _UsageError("--speed goes with --replay only")


def _record(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    with ExitStack() as stack:
        run = _open_live(options, config, stack)
        writer = stack.enter_context(RecordingWriter(options.file, run.infos, {"source": run.title}))
        title = f"recording to {options.file}"
        sinks: List[Sink] = [RecordingSink(writer)]
        if _TERMINAL.is_terminal:
            sinks.append(LiveView(None, run.infos, title, _TERMINAL))
        else:
            _say(title + "; Ctrl-C ends")
        try:
            keep(_until(run.events, run.stop, options.duration), sinks)
        finally:
            for sink in sinks:
                sink.close()
    _check_recording(writer)
    counts = ", ".join(f"{name} {info.counts['samples']}" for name, info in run.infos.items())
    _say(f"{options.file}: {options.file.stat().st_size / 1e6:.1f} MB, samples: {counts}")
    return _DONE


def _check_recording(writer: RecordingWriter) -> None:
    """Says what a recording lacks.

    Raises:
        RecordingError: it stopped before the run did.
    """
    if writer.failure:
        raise writer.failure
    if writer.dropped:
        _say(f"{writer.path}: the disk was too slow; {writer.dropped} events are not in it")


def _doctor(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    bundle = options.bundle or config.recognition.bundle or SHIPPED_BUNDLE
    well = examine(options.sensors, config, bundle, Console(soft_wrap=True))
    return _DONE if well else _FAILED


def _pretrain(options: argparse.Namespace) -> int:
    if len(options.data) > 1 and not all(source.endswith(".mcap") for source in options.data):
        raise _UsageError("give one data set, or any number of recordings")
    try:
        from training.cli import FAILURES, pretrain_command
    except ImportError as error:
        raise _Failure(f"pretrain needs more than a live run ({error}): pip install 'cosmo-runtime[train]'") from error
    try:
        pretrain_command(options, SHIPPED_BUNDLE)
    except FAILURES as error:
        raise _Failure(str(error)) from error
    return _DONE


def _open_replay(options: argparse.Namespace, windows: str) -> _Run:
    """Opens a recording; ``windows`` is the key of those that will be cut."""
    recording = Recording(options.replay)
    infos = {name: recording.infos[name] for name in options.sensors if name in recording.infos}
    if not infos:
        held = ", ".join(recording.infos) or "none"
        raise _UsageError(f"--sensors: {options.replay} holds none of them; it holds {held}")
    if recording.cut:
        _say(f"{recording.path}: was cut short, by a kill or a full disk; plays up to there")
    same_run = is_same_run(recording, infos, windows)
    events = replay(recording, infos, same_run, paced=options.speed == "1")
    check = WindowCheck(recording) if same_run else None
    title = f"replay of {options.replay.name}"
    return _Run(events, infos, _stop_on_signals(), title, recording.wall_offset_ns, check)


def _open_live(options: argparse.Namespace, config: Config, stack: ExitStack) -> _Run:
    """Connects the sensors, emulated or real; they are released when the stack unwinds."""
    if options.emulate:
        from sensors.emulation.rig import EmulatedRig

        rig = stack.enter_context(EmulatedRig(options.emulate, options.sensors, config.imu.protocol))
        sensors = rig.sensors(config)
    else:
        sensors = open_sensors(options.sensors, config)
    for sensor in sensors:
        stack.callback(sensor.disconnect)
    errors = connect_all(sensors)
    if errors:
        instead = f"No hardware at hand? Try: cosmo-runtime --sensors {','.join(options.sensors)} --emulate person"
        raise SensorError("\n".join([*map(str, errors.values()), *([] if options.emulate else [instead])]))
    stop = _stop_on_signals()
    source = LiveSource(sensors)
    if options.emulate:
        rig.listen(source.put, stop.set)
    stack.enter_context(source)
    infos = {sensor.info.name: sensor.info for sensor in sensors}
    title = f"emulated: {options.emulate}" if options.emulate else "live"
    return _Run(source.events(), infos, stop, title, time.time_ns() - time.monotonic_ns())


def _stop_on_signals() -> threading.Event:
    """An event that Ctrl-C or a termination sets, so that a run ends whole; a second Ctrl-C ends it at once."""
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)
    return stop


def _until(events: Iterable[Event], stop: threading.Event, duration_s: Optional[float]) -> Iterator[Event]:
    """Passes events on until they are stopped or have lasted long enough by their own clock."""
    end_ns: Optional[int] = None
    for event in events:
        if stop.is_set():
            return
        if duration_s is not None and isinstance(event, (Sample, Tick)):
            now_ns = event.arrival_ns if isinstance(event, Sample) else event.now_ns
            end_ns = now_ns + round(duration_s * 1e9) if end_ns is None else end_ns
            if now_ns > end_ns:
                return
        yield event


def _output(options: argparse.Namespace, wall_offset_ns: int, stack: ExitStack) -> List[Sink]:
    """The sink for machines: a file, or the standard output where nobody watches."""
    if options.output is None:
        return [] if _TERMINAL.is_terminal else [JsonLines(sys.stdout, wall_offset_ns)]
    if str(options.output) == "-":
        return [JsonLines(sys.stdout, wall_offset_ns)]
    try:
        file = stack.enter_context(options.output.open("w", encoding="utf-8"))
    except OSError as error:
        raise _UsageError(f"--output {options.output}: {error.strerror}") from error
    return [JsonLines(file, wall_offset_ns)]


def _report(summary: Summary, path: Optional[Path]) -> None:
    Console(stderr=True).print(summary.render())
    if path:
        try:
            path.write_text(json.dumps(summary.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise _UsageError(f"--summary {path}: {error.strerror}") from error


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _recognise_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cosmo-runtime",
        description="Recognises what a person does from an IMU, a depth camera and a mmWave radar, live.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_rig(parser)
    parser.add_argument("--bundle", type=Path, metavar="PATH", help="folder of the model (default: the shipped one)")
    parser.add_argument("--replay", type=Path, metavar="FILE.mcap", help="a recording instead of sensors")
    parser.add_argument("--speed", choices=("1", "max"), default="1", help="of a replay (default: 1, real time)")
    parser.add_argument("--record", type=Path, metavar="FILE.mcap", help="also keep everything in a recording")
    parser.add_argument(
        "--output", type=Path, metavar="FILE|-", help="JSON lines, one a prediction (default: when not on a terminal)"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE.json", help="also write the closing figures to a file")
    return parser


def _record_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cosmo-runtime record",
        description="Keeps what the sensors bring in an MCAP file, for Foxglove, Rerun, --replay.",
    )
    _add_rig(parser)
    parser.add_argument("file", type=Path, metavar="FILE.mcap", help="the new recording")
    return parser


def _doctor_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cosmo-runtime doctor", description="Says what is attached, what is wrong and how to mend it."
    )
    parser.add_argument("--sensors", type=_sensor_names, default=SENSOR_NAMES, metavar="NAMES", help=_SENSORS_HELP)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: find everything)")
    parser.add_argument("--bundle", type=Path, metavar="PATH", help="folder of the model (default: the shipped one)")
    return parser


def _pretrain_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cosmo-runtime pretrain",
        description="Learns encoders from unlabelled data by contrastive fusion, stage 1 of Cosmo (needs [train]).",
        epilog=_PRETRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=_data, nargs="+", metavar="DATA", help="what to learn from, see below")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the encoders")
    parser.add_argument("--epochs", type=_count, default=10, metavar="N", help="passes over the data (default: 10)")
    parser.add_argument(
        "--batch", type=_count, default=64, metavar="N", help="windows contrasted at once, on all GPUs (default: 64)"
    )
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="auto: mixed on a GPU (default)"
    )
    parser.add_argument(
        "--weights-range",
        type=_weights_range,
        default=(0.0, 1.0),
        metavar="LOW,HIGH",
        help="of the random fusion weights of two modalities (default: 0,1; 0.3,0.7 makes the fusions more alike)",
    )
    parser.add_argument("--bundle", type=Path, metavar="PATH", help="learn for the windows and sensors of this model")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="keep the state here every minute; go on from it"
    )
    parser.add_argument("--tensorboard", type=Path, metavar="FOLDER", help="keep each epoch's figures for TensorBoard")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "cosmo-runtime",
        metavar="FOLDER",
        help="of decoded windows (default: ~/.cache/cosmo-runtime)",
    )
    return parser


def _add_rig(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sensors", type=_sensor_names, required=True, metavar="NAMES", help=_SENSORS_HELP)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="configuration (default: find everything)")
    parser.add_argument(
        "--emulate",
        type=_motion,
        metavar="MOTION",
        help="emulated devices: person[:SEED], or utd:PATH[:SUBJECTS] (real IMU and depth, synthesised radar)",
    )
    parser.add_argument("--duration", type=_seconds, metavar="S", help="stop after so many seconds")


_SENSORS_HELP = "any of imu,depth,radar"


def _sensor_names(text: str) -> List[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SENSOR_NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected any of {', '.join(SENSOR_NAMES)}, separated by commas")
    return [name for name in SENSOR_NAMES if name in names]


def _motion(text: str) -> str:
    if not re.fullmatch(r"person(:\d+)?|utd:.+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected person, person:SEED or utd:PATH[:SUBJECTS]")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0")
    return seconds


def _data(text: str) -> str:
    if not re.fullmatch(r"person(:\d+(-\d+)?(,\d+(-\d+)?)*)?|(utd|utd-stream|usc):.+|.+\.mcap", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected FILE.mcap, utd:PATH[:SUBJECTS], utd-stream:PATH[:SUBJECTS], "
            "usc:PATH[:SUBJECTS] or person[:SEEDS]"
        )
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return int(text)


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 on")
    return int(text)


def _weights_range(text: str) -> Tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = -1.0
    if not 0 <= low < high <= 1 or abs(low + high - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two numbers that sum to 1, such as 0.3,0.7")
    return low, high


_PARSERS = {"": _recognise_parser, "record": _record_parser, "doctor": _doctor_parser, "pretrain": _pretrain_parser}
_RUNS = {"": _recognise, "record": _record, "doctor": _doctor, "pretrain": _pretrain}


if __name__ == "__main__":
    sys.exit(main())
