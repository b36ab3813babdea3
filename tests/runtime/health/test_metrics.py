from __future__ import annotations

import socket
import urllib.request
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Dict

import numpy as np
import pytest

from cosmo_runtime.runtime.alarms.clips import ClipConfig, ClipRing
from cosmo_runtime.runtime.health.metrics import MetricsError, MetricsServer
from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorInfo

parser = pytest.importorskip(
    "prometheus_client.parser", reason="prometheus-client is not installed: pip install '.[metrics]'"
)


def _scrape(server: MetricsServer) -> Dict[str, float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics").read().decode()
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_prometheus_reads_what_a_run_counts(tmp_path: Path) -> None:
    infos = {"imu": SensorInfo("imu", "an IMU", 100), "radar": SensorInfo("radar", "a radar", 20)}
    infos["imu"].counts.update(samples=500, bad_checksums=3)
    queue = QueuedSink(Sink(), "page", live=True)
    ring = ClipRing(tmp_path, infos, ClipConfig(most_mb=2), lambda _: datetime.now(), {})
    ring.event(Sample("imu", 0, 0, np.zeros(100, np.float32)))
    vitals = Vitals(infos, [queue], clips=ring)
    prediction = Prediction("person", 0, "walk", 0.9, {"walk": 0.9}, {}, {}, 1.0, 7.0)
    states = {"imu": "ok", "radar": "asleep"}
    vitals.outcome(Outcome(prediction, Window(0, {}, {}, 0), states, 0, None, inside=False, hop_ns=500_000_000))
    vitals.empty(4)
    vitals.out_of_step({"imu": -120.0})
    vitals.corrected({"radar": 180.0})
    with closing(MetricsServer(("127.0.0.1", 0), vitals, "1.2.3")) as server:
        found = _scrape(server)
    queue.close()
    assert found["cosmo_build_info{bundle=person,version=1.2.3}"] == 1
    assert found["cosmo_windows_total{result=answered}"] == 1
    assert found["cosmo_windows_total{result=empty}"] == 4
    assert found["cosmo_latency_seconds_count"] == 1
    assert found["cosmo_latency_seconds_sum"] == pytest.approx(0.007)
    assert found["cosmo_latency_seconds_bucket{le=0.005}"] == 0
    assert found["cosmo_latency_seconds_bucket{le=0.01}"] == 1
    assert found["cosmo_latency_seconds_bucket{le=+Inf}"] == 1
    assert found["cosmo_sensor_up{sensor=imu,state=ok}"] == 1
    assert found["cosmo_sensor_up{sensor=radar,state=asleep}"] == 1
    assert found["cosmo_sensor_samples_total{sensor=imu}"] == 500
    assert found["cosmo_sensor_losses_total{reason=bad_checksums,sensor=imu}"] == 3
    assert found["cosmo_sensor_behind_seconds{sensor=imu}"] == -0.12
    assert found["cosmo_sensor_behind_seconds{sensor=radar}"] == 0
    assert found["cosmo_sensor_corrected_seconds{sensor=radar}"] == 0.18
    assert found["cosmo_queue_length{queue=page}"] == 0
    assert found["cosmo_last_prediction_age_seconds"] < 60
    assert found["process_resident_memory_bytes"] > 1e6
    assert 400 < found["cosmo_clips_memory_bytes"] < 1000
    assert not any("walk" in name for name in found)


def test_before_the_first_window_there_are_figures_too() -> None:
    with closing(MetricsServer(("127.0.0.1", 0), Vitals({}), "1")) as server:
        found = _scrape(server)
    assert found["cosmo_windows_total{result=answered}"] == 0
    assert "cosmo_last_prediction_age_seconds" not in found


def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MetricsError, match=f"--metrics 127.0.0.1:{port}: Address already in use"):
            MetricsServer(("127.0.0.1", port), Vitals({}), "1")
