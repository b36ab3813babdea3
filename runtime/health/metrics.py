"""Figures for Prometheus, computed on request. None of them reveals what a person does."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from cosmo_runtime.runtime.health.vitals import BUCKETS_S, Histogram, Vitals
from cosmo_runtime.runtime.recognition.loop import WORKING


class MetricsError(Exception):
    """The figures cannot be served. The message says what to do."""


class MetricsServer:
    """Serves ``/metrics`` in its own thread until it is closed.

    Args:
        address: host and port.
        vitals: the run's.
        version: the program's.

    Raises:
        MetricsError: prometheus-client is not installed, or the address is taken.
    """

    def __init__(self, address: Tuple[str, int], vitals: Vitals, version: str) -> None:
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
        except ImportError as error:
            raise MetricsError("--metrics needs prometheus-client: pip install 'cosmo-runtime[metrics]'") from error
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory and CPU
        registry.register(_Collector(vitals, version))
        host, port = address
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise MetricsError(f"--metrics {host}:{port}: {error.strerror}") from error

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Collector:
    def __init__(self, vitals: Vitals, version: str) -> None:
        self._vitals = vitals
        self._version = version

    def describe(self) -> Tuple[()]:
        return ()

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        vitals = self._vitals
        yield InfoMetricFamily(
            "cosmo_build", "Program and model", {"version": self._version, "bundle": vitals.bundle or "none"}
        )
        yield from _windows(vitals)
        yield from _sensors(vitals)
        recording = GaugeMetricFamily("cosmo_recording_up", "Whether the run is recorded", labels=["path"])
        for sink in vitals.recordings:
            recording.add_metric([str(sink.writer.path)], sink.goes_on)
        yield recording
        if vitals.clips:
            yield GaugeMetricFamily("cosmo_clips_memory_bytes", "What waits for a clip takes", vitals.clips.held_bytes)
        yield from _queues(vitals)


def _windows(vitals: Vitals) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    windows = CounterMetricFamily("cosmo_windows", "Windows by what became of them", labels=["result"])
    for result, count in vitals.windows.items():
        windows.add_metric([result], count)
    yield windows
    yield _histogram("cosmo_latency_seconds", "From a window's last sample to its prediction", vitals.latency)
    yield _histogram("cosmo_engine_seconds", "In the engine alone", vitals.engine)
    if vitals.age_s is not None:
        age = "cosmo_last_prediction_age_seconds"
        yield GaugeMetricFamily(age, "Time since the last prediction", vitals.age_s)


def _sensors(vitals: Vitals) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    state = GaugeMetricFamily("cosmo_sensor_up", "Whether a sensor works", labels=["sensor", "state"])
    samples = CounterMetricFamily("cosmo_sensor_samples", "Samples that came", labels=["sensor"])
    losses = CounterMetricFamily("cosmo_sensor_losses", "What else a driver counts", labels=["sensor", "reason"])
    for name, info in vitals.infos.items():
        state.add_metric([name, vitals.states[name]], vitals.states[name] in WORKING)
        for reason, count in dict(info.counts).items():
            if reason == "samples":
                samples.add_metric([name], count)
            else:
                losses.add_metric([name, reason], count)
    behind = GaugeMetricFamily(
        "cosmo_sensor_behind_seconds", "How far a sensor out of step is behind the others", labels=["sensor"]
    )
    corrected = GaugeMetricFamily(
        "cosmo_sensor_corrected_seconds", "What is taken off a sensor's times to put it in step", labels=["sensor"]
    )
    for name in vitals.infos:
        behind.add_metric([name], vitals.behind_ms.get(name, 0.0) / 1e3)
        corrected.add_metric([name], vitals.corrected_ms.get(name, 0.0) / 1e3)
    yield from (state, samples, losses, behind, corrected)


def _queues(vitals: Vitals) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    waiting = GaugeMetricFamily("cosmo_queue_length", "Calls that wait for a sink", labels=["queue"])
    dropped = CounterMetricFamily("cosmo_queue_dropped", "Calls that did not fit", labels=["queue", "call"])
    errors = CounterMetricFamily("cosmo_queue_errors", "Calls at which a sink failed", labels=["queue"])
    for queue in vitals.queues:
        waiting.add_metric([queue.name], queue.waiting)
        errors.add_metric([queue.name], queue.errors)
        for call, count in dict(queue.dropped).items():
            dropped.add_metric([queue.name, call], count)
    yield from (waiting, dropped, errors)


def _histogram(name: str, words: str, histogram: Histogram) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), list(histogram.counts)):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(name, words, buckets, histogram.sum_s)
