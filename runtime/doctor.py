"""Looks at the machine as a rig: devices, permissions, engines, disk; says how to mend what is wrong."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import shutil
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table
from rich.text import Text
from serial.tools import list_ports

from models.bundle import Bundle, BundleError, load_bundle
from runtime.config import Config
from runtime.engine import PROVIDERS, EngineError
from runtime.engines import key_here, open_engine, records, why_unusable
from runtime.gpu import find_gpu
from runtime.live import connect_all
from sensors.rig import open_sensors
from sensors.sensor import Sensor, SensorError

_LOW_DISK_BYTES = 2 * 10**9
_FIRST_SAMPLE_S = 3.0
_COUNTED_S = 1.5  # how long samples are counted to tell their rate
_SLOW = 0.8  # of the nominal rate
_SIGNS = {"good": "[green]✓[/]", "bad": "[red]✗[/]", "note": "[yellow]•[/]"}


class Finding(NamedTuple):
    """One line of the report: ``good``, ``bad`` (the rig cannot run) or ``note``."""

    verdict: str
    subject: str
    words: str


def examine(names: Sequence[str], config: Config, bundle: Path, console: Console, words: Sequence[str] = ()) -> bool:
    """Prints what it finds and returns whether the named sensors could run.

    Args:
        names: of the sensors.
        config: of the rig.
        bundle: folder of the model.
        console: where it prints.
        words: of the command line that made the configuration and the bundle what they are, to be used again.
    """
    findings = _machine() + _model(names, bundle, config) + _ports() + _cameras() + _sensors(names, config)
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        table.add_row(_SIGNS[finding.verdict], Text(finding.subject, style="bold"), Text(finding.words))
    console.print(table)
    well = not any(finding.verdict == "bad" for finding in findings)
    command = f"cosmo-runtime --sensors {','.join(names)}"
    if well:
        console.print("\n[green]ready:[/]", Text(" ".join([command, *map(shlex.quote, words)])))
    else:
        console.print(f"\n[red]not ready.[/] Without hardware: {command} --emulate person")
    return well


def _machine() -> List[Finding]:
    free = shutil.disk_usage(".").free
    return [
        Finding("good", "machine", f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"),
        Finding("good" if free > _LOW_DISK_BYTES else "note", "disk", f"{free / 1e9:.1f} GB free in this folder"),
    ]


def _model(names: Sequence[str], path: Path, config: Config) -> List[Finding]:
    settings = config.recognition
    try:
        bundle = load_bundle(path)
        unknown = ", ".join(name for name in names if name not in bundle.spec.sensors)
        if unknown:
            raise BundleError(f"{path} has no {unknown}; it has {', '.join(bundle.spec.sensors)}: see --sensors")
        engine = open_engine(bundle, settings.engine, settings.threads)
        zeros: Dict[str, np.ndarray] = {
            item.sensor: np.zeros((bundle.spec.steps(item), *item.shape), np.float32) for item in bundle.spec.modalities
        }
        zeros["presence"] = np.ones(len(bundle.spec.sensors), np.float32)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            engine.infer(zeros)
            times.append(time.perf_counter() - began)
    except (BundleError, EngineError) as error:
        return [Finding("bad", "model", str(error))]
    words = (
        f"{bundle.path.name}: {len(bundle.spec.classes)} activities; "
        f"one window in {np.median(times) * 1e3:.1f} ms by {engine.name}"
    )
    return [Finding("good", "model", words), *_engines(bundle, settings.threads)]


def _engines(bundle: Bundle, threads: int) -> List[Finding]:
    """What this machine could run models on, and what was built for it."""
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
        words = f"none was built for this GPU: `cosmo-runtime build {bundle.path}`"
        findings.append(Finding("note", "engine", words))
    return findings


def _ports() -> List[Finding]:
    findings = []
    for port in list_ports.comports():
        if not port.vid:  # a UART of the board itself, not a device on a cable
            continue
        words = f"{port.manufacturer or ''} {port.product or port.description}, serial {port.serial_number or 'none'}"
        allowed = os.access(port.device, os.R_OK | os.W_OK)
        verdict = "good" if allowed else "note"  # bad only for a sensor that is asked for, which then says so itself
        findings.append(Finding(verdict, port.device, words.strip() + ("" if allowed else _permission(port.device))))
    if not findings:
        findings.append(Finding("note", "serial ports", "no USB serial device is attached"))
    elif _runs("ModemManager"):
        words = "runs and may probe the ports: `sudo systemctl disable --now ModemManager`, or install 99-cosmo.rules"
        findings.append(Finding("note", "ModemManager", words))
    return findings


def _permission(device: str) -> str:
    try:
        group, user = Path(device).group(), getpass.getuser()
    except (KeyError, OSError):  # one without a name, as in a container, or unplugged meanwhile
        return ": permission denied"
    return f": permission denied. Mend: `sudo usermod -aG {group} {user}`, then log in again"


def _runs(program: str) -> bool:
    def name(process: Path) -> Optional[str]:
        try:
            return (process / "comm").read_text().strip()
        except OSError:
            return None

    return any(name(process) == program for process in Path("/proc").glob("[0-9]*"))


def _cameras() -> List[Finding]:
    try:
        from sensors.depth.librealsense import load
        from sensors.depth.sources import describe

        found = [Finding("good", "camera", describe(device)) for device in load().context().query_devices()]
    except SensorError as error:
        return [Finding("note", "pyrealsense2", str(error))]
    except RuntimeError as error:  # librealsense's own, of a device that went or does not answer
        return [Finding("note", "camera", f"librealsense: {error}")]
    return found or [Finding("note", "camera", "no RealSense camera is attached")]


def _sensors(names: Sequence[str], config: Config) -> List[Finding]:
    """Connects each asked-for sensor, waits for its first sample, and counts how many come."""
    findings = []
    sensors: List[Sensor] = []
    for name in names:
        try:
            sensors += open_sensors([name], config)
        except SensorError as error:
            findings.append(Finding("bad", name, str(error)))
    errors = connect_all(sensors)
    for sensor in sensors:
        info = sensor.info
        try:
            if info.name in errors:
                raise errors[info.name]
            if not sensor.read(_FIRST_SAMPLE_S):
                raise SensorError(f"{info.device}: connected, but nothing comes")
            findings.append(_rate(sensor))
        except SensorError as error:
            findings.append(Finding("bad", info.name, str(error)))
        sensor.disconnect()
    return findings


def _rate(sensor: Sensor) -> Finding:
    """Tells whether as many samples come as the device is said to send: what a new one is set to is often less."""
    info = sensor.info
    stamps: List[int] = []
    end = time.monotonic() + _COUNTED_S
    while time.monotonic() < end:
        stamps += [sample.stamp_ns for sample in sensor.read(end - time.monotonic())]
    lasted_s = (stamps[-1] - stamps[0]) * 1e-9 if len(stamps) > 1 else _COUNTED_S
    rate_hz = max(0, len(stamps) - 1) / lasted_s
    if rate_hz < _SLOW * info.rate_hz:
        words = f"{rate_hz:.1f} samples a second come, not {info.rate_hz:g}; [{info.name}] of the configuration sets it"
        return Finding("note", info.name, f"{info.device}: {words}")
    return Finding("good", info.name, f"{info.device}, {info.rate_hz:g} Hz")
