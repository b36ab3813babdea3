"""A small model whose answers a test can work out, the streams that it is fed, the command line, and a time zone."""

from __future__ import annotations

import json
import signal
import time
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.sensors.events import Event, Sample, Truth
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

TINY_ONNX = Path(__file__).with_name("tiny.onnx")

_DELAY_S = {"imu": 0.005, "depth": 0.04, "radar": 0.06}

Samples = Callable[..., List[Sample]]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> List[Dict[str, object]]:
        """The JSON objects on the standard output, without what differs from run to run of the same windows."""
        objects = [json.loads(line) for line in self.out.splitlines()]
        return [
            {key: value for key, value in item.items() if key not in ("latency_ms", "engine_ms", "losses")}
            for item in objects
        ]


Run = Callable[..., Done]


@pytest.fixture
def cosmo(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(*words: object) -> Done:
        try:
            code = main([str(word) for word in words])
        except SystemExit as exit:
            code = int(exit.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone that puts its clocks forward on 2026-03-29 at 2:00 and back on 2026-10-25 at 3:00."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def shelf() -> Shelf:
    """The bundles of a user who has only the shipped one."""
    return Shelf()


@pytest.fixture(scope="session")
def spec(tiny_spec: ModelSpec) -> ModelSpec:
    return tiny_spec


@pytest.fixture(scope="session")
def tiny_onnx() -> Path:
    return TINY_ONNX


@pytest.fixture(scope="session")
def tiny_bundle(spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle around ``tiny.onnx``."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    return write_bundle(folder, spec, onnx=TINY_ONNX.read_bytes(), weights=b"none", provenance={}, metrics={})


@pytest.fixture
def infos() -> Dict[str, SensorInfo]:
    """Of the sensors whose samples ``samples`` makes."""
    return make_infos()


def make_infos() -> Dict[str, SensorInfo]:
    return {
        "imu": SensorInfo("imu", "an IMU of numbers", 100),
        "depth": SensorInfo(
            "depth",
            "a camera of numbers",
            15,
            depth_scale_m=0.001,
            intrinsics={"width": 12, "height": 8, "fx": 10.0, "fy": 10.0, "cx": 6.0, "cy": 4.0},
        ),
        "radar": SensorInfo("radar", "a radar of numbers", 20),
    }


@pytest.fixture(scope="session")
def samples() -> Samples:
    """Makes what a sensor brings from one second to another: noise that depends on the stamp alone."""

    def make(sensor: str, start_s: float, stop_s: float, delay_s: float | None = None) -> List[Sample]:
        rate_hz = {"imu": 100, "depth": 15, "radar": 20}[sensor]
        delay_ns = round((_DELAY_S[sensor] if delay_s is None else delay_s) * 1e9)
        made = []
        for number in range(int(np.ceil(start_s * rate_hz)), int(np.ceil(stop_s * rate_hz))):
            stamp_ns = number * 10**9 // rate_hz
            data, raw = _content(sensor, number)
            made.append(Sample(sensor, stamp_ns, stamp_ns + delay_ns, data.copy(), raw))
        return made

    return make


@lru_cache(maxsize=None)  # hundreds of tests ask for the same
def _content(sensor: str, number: int) -> Tuple[np.ndarray, bytes]:
    rng = np.random.default_rng([number, len(sensor)])
    if sensor == "imu":
        data = rng.normal(size=9).astype(np.float32)
    elif sensor == "depth":
        data = rng.integers(0, 4000, (8, 12)).astype(np.uint16)
    else:
        data = rng.normal(size=(int(rng.integers(0, 12)), 5)).astype(np.float32)
    return data, b"" if sensor == "depth" else rng.bytes(8)


@pytest.fixture(scope="session")
def by_arrival() -> Callable[..., List[Event]]:
    """Merges streams in the order in which a host would see them."""

    def merge(*streams: Sequence[Event]) -> List[Event]:
        return sorted((event for stream in streams for event in stream), key=_arrival_ns)

    return merge


def _arrival_ns(event: Event) -> int:
    for field in "arrival_ns", "at_ns", "now_ns":
        if hasattr(event, field):
            return int(getattr(event, field))
    return event.stamp_ns  # type: ignore[union-attr]


@pytest.fixture
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def kept(
    tmp_path: Path,
    infos: Dict[str, SensorInfo],
    samples: Callable[..., List[Sample]],
    by_arrival: Callable[..., List[Event]],
) -> Path:
    """A recording of four seconds of an IMU and a radar, made without recognising."""
    path = tmp_path / "kept.mcap"
    with RecordingWriter(path, {name: infos[name] for name in ("imu", "radar")}) as writer:
        for event in by_arrival(samples("imu", 0, 4.2), samples("radar", 0, 4.2), [Truth(0, "walk")]):
            writer.write(event)
    return path
