"""Checks the machine as a rig: devices, permissions, engines, disk. Says how to fix what is wrong."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import shutil
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import onnxruntime
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from serial.tools import list_ports

from cosmo_runtime.models.bundle import STRANGER_TO_PEOPLE, Bundle, BundleError, load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.alarms.names import unknown_names
from cosmo_runtime.runtime.config import Config
from cosmo_runtime.runtime.engines.choose import key_here, open_engine, records, why_unusable
from cosmo_runtime.runtime.engines.gpu import find_gpu
from cosmo_runtime.runtime.engines.onnxruntime import PROVIDERS, EngineError
from cosmo_runtime.runtime.mqtt.client import why_no_broker
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.runtime.sources.live import connect_all
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.emulation.rig import EmulatedRig
from cosmo_runtime.sensors.events import Event, Sample, Tick
from cosmo_runtime.sensors.rig import open_sensors
from cosmo_runtime.sensors.sensor import Sensor, SensorError, SensorInfo

_LOW_DISK_BYTES = 2 * 10**9
_FIRST_SAMPLE_S = 3.0
_COUNTED_S = 1.5  # how long samples are observed
_ENOUGH = 0.8  # share of that time which they span; else they are observed for up to twice as long
_WINDOW_S = 1.0  # of noise, with which the model is tried
_SLOW = 0.8  # share of the nominal rate
_RATE_SETTINGS = {"imu": "`rate_hz` with `configure = true`", "depth": "`rate_hz`", "radar": "`cfg`"}
_SIGNS = {"good": "[green]✓[/]", "bad": "[red]✗[/]", "note": "[yellow]•[/]"}


class Finding(NamedTuple):
    """One line of the report: ``good``, ``bad`` (the rig cannot run) or ``note``."""

    verdict: str
    subject: str
    words: str


def examine(
    names: Sequence[str],
    config: Config,
    bundle: Path,
    console: Console,
    words: Sequence[str] = (),
    emulate: Optional[str] = None,
) -> bool:
    """Prints what it finds and returns whether the named sensors could run.

    Args:
        names: the sensors' names.
        config: the rig's configuration.
        bundle: the model's folder.
        console: where it prints.
        words: the options that chose all this, to repeat them in suggested commands.
        emulate: the motion that emulated devices play instead of real ones.
    """
    model, spec = _model(names, bundle, config)
    findings = _machine() + model + _named_bundle(config) + ([] if emulate else _ports() + _cameras())
    findings += _sensors(names, config, spec, emulate)
    findings += _broker(config.mqtt) if config.mqtt else []
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        table.add_row(_SIGNS[finding.verdict], Text(finding.subject, style="bold"), Text(finding.words))
    console.print(table)
    tips = [finding.words for finding in findings if finding.verdict != "good"]
    if any(_section(name, config) in tip for name in names for tip in tips):
        console.print(Text(f"\n{_where_sections_are(words)}"))
    well = not any(finding.verdict == "bad" for finding in findings)
    command = " ".join(["cosmo-runtime --sensors", ",".join(names), *map(shlex.quote, words)])
    if well:
        console.print("\n[green]ready:[/]", Text(command))
    elif emulate:
        console.print("\n[red]not ready.[/]")
    else:
        console.print("\n[red]not ready.[/] Without hardware:", Text(f"{command} --emulate person"))
    return well


def _section(name: str, config: Config) -> str:
    """A sensor's section of the configuration; one to add, if there is none."""
    try:
        return config.sensor(name).config.section
    except SensorError:
        return f"[sensors.{name}]"


def _where_sections_are(words: Sequence[str]) -> str:
    if "--config" in words:
        path = words[list(words).index("--config") + 1]
        return f"The sections in brackets belong in {path}. Add a missing one."
    return (
        "The sections in brackets belong in a configuration. Write them into a file, such as cosmo.toml, and add"
        " --config cosmo.toml to doctor and to the run. `cosmo-runtime files` shows where an example is."
    )


def _machine() -> List[Finding]:
    free = shutil.disk_usage(".").free
    return [
        Finding("good", "machine", f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"),
        Finding("good" if free > _LOW_DISK_BYTES else "note", "disk", f"{decimal(free)} free in this folder"),
    ]


def _model(names: Sequence[str], path: Path, config: Config) -> Tuple[List[Finding], Optional[ModelSpec]]:
    """Runs the model once. Also returns its spec; None if the model cannot be used."""
    settings = config.recognition
    try:
        bundle = load_bundle(path).at_hop(settings.hop_s)
        unknown = bundle.spec.unknown(names)
        if unknown:
            raise BundleError(f"{bundle.path.name} {unknown}: see --sensors")
        engine = open_engine(bundle, settings.engine, settings.threads)
        noise = random_inputs(bundle.spec, np.random.default_rng(0))
        window = {name: array[0] for name, array in noise.items()}
        times = []
        for _ in range(20):
            began = time.perf_counter()
            engine.infer(window)
            times.append(time.perf_counter() - began)
    except (BundleError, EngineError) as error:
        return [Finding("bad", "model", str(error))], None
    words = (
        f"{bundle.path.name}: {len(bundle.spec.classes)} activities; "
        f"one window in {np.median(times) * 1e3:.1f} ms by {engine.name}"
    )
    findings = [Finding("good", "model", words)]
    if not bundle.knows_real_people:
        findings.append(Finding("note", "model", f"{bundle.path.name}: {STRANGER_TO_PEOPLE}"))
    for trouble in unknown_names(config, bundle.path.name, bundle.spec.classes):
        findings.append(Finding("bad" if trouble.grave else "note", "names", trouble.words))
    return [*findings, *_engines(bundle, settings.threads)], bundle.spec


def _named_bundle(config: Config) -> List[Finding]:
    if not config.recognition.bundle:
        return []
    words = (
        "[recognition] names a `bundle`, so a run with --follow, such as the service, refuses to start. For such a run,"
        " remove it and choose the model by `cosmo-runtime bundle use NAME`"
    )
    return [Finding("note", "bundle", words)]


def _engines(bundle: Bundle, threads: int) -> List[Finding]:
    """What this machine can run models on, and which engines were built for it."""
    gpu = find_gpu()
    offered = [name for name, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()]
    findings = [
        Finding("good", "onnxruntime", f"{onnxruntime.__version__} offers {', '.join(offered)}; {threads} thread(s)"),
        Finding("good" if gpu else "note", "GPU", str(gpu) if gpu else "no NVIDIA GPU; models run on the CPU"),
    ]
    try:
        findings.append(Finding("good", "tensorrt", f"{key_here('tensorrt', 'fp32').version} with pycuda"))
    except EngineError as error:
        findings.append(Finding("note", "tensorrt", f"{error}{'' if gpu else '; needed on a GPU only'}"))
    built = records(bundle)
    for record in built:
        reason = why_unusable(bundle, record)
        figures = record.verification
        well = f"{record.engine} in {record.precision}: verified, one window in {figures.latency_ms:.2f} ms"
        findings.append(Finding("note", "engine", reason) if reason else Finding("good", "engine", well))
    if gpu and not built:
        words = (
            f"none was built for this GPU; build one: `cosmo-runtime build {shlex.quote(Shelf().called(bundle.path))}`"
        )
        findings.append(Finding("note", "engine", words))
    return findings


def _broker(config: MqttConfig) -> List[Finding]:
    why = why_no_broker(config)
    return [Finding("bad" if why else "good", "mqtt", f"{config.where}: {why or 'the broker answers'}")]


def _ports() -> List[Finding]:
    findings = []
    for port in list_ports.comports():
        if not port.vid:  # a UART of the board itself, not a device on a cable
            continue
        words = f"{port.manufacturer or ''} {port.product or port.description}, serial {port.serial_number or 'none'}"
        allowed = os.access(port.device, os.R_OK | os.W_OK)
        verdict = "good" if allowed else "note"  # bad only for a requested sensor, which then reports it itself
        findings.append(Finding(verdict, port.device, words.strip() + ("" if allowed else _permission(port.device))))
    if not findings:
        findings.append(Finding("note", "serial ports", "no USB serial device is attached"))
    elif _runs("ModemManager"):
        words = (
            "runs and may probe the ports: `sudo systemctl disable --now ModemManager`, or install the udev rules "
            "(`cosmo-runtime files`)"
        )
        findings.append(Finding("note", "ModemManager", words))
    return findings


def _permission(device: str) -> str:
    try:
        group, user = Path(device).group(), getpass.getuser()
    except (KeyError, OSError):  # a group without a name, as in a container, or unplugged meanwhile
        return ": permission denied"
    return f": permission denied. Fix: `sudo usermod -aG {group} {user}`, then log in again"


def _runs(program: str) -> bool:
    def name(process: Path) -> Optional[str]:
        try:
            return (process / "comm").read_text().strip()
        except OSError:
            return None

    return any(name(process) == program for process in Path("/proc").glob("[0-9]*"))


def _cameras() -> List[Finding]:
    try:
        from cosmo_runtime.sensors.depth.librealsense import load
        from cosmo_runtime.sensors.depth.sources import describe

        cameras = [Finding("good", "camera", describe(device)) for device in load().context().query_devices()]
    except SensorError as error:
        return [Finding("note", "pyrealsense2", str(error))]
    except RuntimeError as error:  # from librealsense, if a device is gone or does not answer
        return [Finding("note", "camera", f"librealsense: {error}")]
    return cameras or [Finding("note", "camera", "no RealSense camera is attached")]


def _sensors(names: Sequence[str], config: Config, spec: Optional[ModelSpec], emulate: Optional[str]) -> List[Finding]:
    """Opens each requested sensor, emulated or real, and checks it."""
    if emulate:
        try:
            with EmulatedRig(emulate, names, config) as rig:
                return _connected(rig.sensors(), config, spec)
        except SensorError as error:
            return [Finding("bad", "emulation", str(error))]
    findings = []
    sensors: List[Sensor] = []
    for name in names:
        try:
            sensors += open_sensors([name], config)
        except SensorError as error:
            findings.append(Finding("bad", name, str(error)))
    return findings + _connected(sensors, config, spec)


def _connected(sensors: Sequence[Sensor], config: Config, spec: Optional[ModelSpec]) -> List[Finding]:
    """Connects sensors, waits for the first sample of each, and checks its samples."""
    findings = []
    errors = connect_all(sensors)
    for sensor in sensors:
        info = sensor.info
        try:
            if info.name in errors:
                raise errors[info.name]
            if not sensor.read(_FIRST_SAMPLE_S):
                raise SensorError(f"{info.device}: connected, but sends nothing")
            findings += _samples(sensor, spec, _section(info.name, config))
        except SensorError as error:
            findings.append(Finding("bad", info.name, str(error)))
        sensor.disconnect()
    return findings


def _samples(sensor: Sensor, spec: Optional[ModelSpec], section: str) -> List[Finding]:
    """Whether the samples fill windows, come at the device's nominal rate, and have a usable clock.

    Args:
        sensor: the connected sensor.
        spec: the model's spec; None if there is no model.
        section: the sensor's section of the configuration.
    """
    info = sensor.info
    samples: List[Sample] = []
    began = time.monotonic()
    lasted_s = counted_s = 0.0
    while lasted_s < _COUNTED_S or (counted_s < _ENOUGH * _COUNTED_S and lasted_s < 2 * _COUNTED_S):
        samples += sensor.read(0.1)  # this machine may be so busy that what has come is read late
        lasted_s = time.monotonic() - began
        counted_s = (samples[-1].stamp_ns - samples[0].stamp_ns) * 1e-9 if samples else 0.0
    lacks = _lacks(info, samples, spec) if spec else ""
    if lacks:
        remedy = f" `configure = true` in {section} switches on what it can send." if info.kind == "imu" else ""
        words = f"{info.device}: samples arrive, but the model cannot use them: {lacks}.{remedy}"
        return [Finding("bad", info.name, words)]
    notes = []
    rate_hz = (len(samples) - 1) / counted_s if counted_s else 0.0
    if rate_hz < _SLOW * info.rate_hz:
        setting = _RATE_SETTINGS.get(info.kind)
        remedy = f"; to change that, set {setting} in {section}" if setting else ""
        notes.append(f"{rate_hz:.1f} samples per second arrive, not {info.rate_hz:g}{remedy}")
    if info.counts["arrival_stamps"]:
        notes.append(
            "its clock stands still, or its steps are longer than the time between samples; samples are stamped on"
            " arrival instead, which is less precise"
        )
    if not notes:
        return [Finding("good", info.name, f"{info.device}, {info.rate_hz:g} Hz")]
    return [Finding("note", info.name, f"{info.device}: {note}") for note in notes]


def _lacks(info: SensorInfo, samples: Sequence[Sample], spec: ModelSpec) -> str:
    """What the samples lack for the model's windows, cut to a second; empty if they lack nothing."""
    modalities = tuple(modality for modality in spec.modalities if modality.sensor == info.name)
    if not modalities:
        return ""
    if not samples:
        return "no more of them arrive"
    short = spec.model_copy(
        update={"modalities": modalities, "quality": (1.0,), "window_s": _WINDOW_S, "hop_s": _WINDOW_S / 10}
    )
    aligner = Aligner(short, {info.name: info})
    first_is_over = Tick(samples[0].stamp_ns + round((short.window_s + short.hop_s) * 1e9) + aligner.lateness_ns)
    events: List[Event] = [*samples, first_is_over]
    return "" if list(aligner.windows(events)) else aligner.lacking[info.name]
