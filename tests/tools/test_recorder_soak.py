from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from cosmo_runtime.runtime.retention.keeping import parse_keep
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.tools import recorder_soak


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dict[str, Any]:
    """Twenty-nine minutes of an IMU that is slow, in segments of ten."""
    stamps = [second * 10**9 for second in range(60)]
    minute = [Sample("imu", stamp, stamp, np.ones(9, np.float32), b"raw") for stamp in stamps]
    monkeypatch.setattr(recorder_soak, "_minute", lambda: iter(minute))
    return recorder_soak.soak(tmp_path / "run", parse_keep("1GB"), days=0.02, minutes=1, every_s=0.05)


def test_all_of_the_simulated_time_is_recorded_and_memory_is_told(tmp_path: Path, figures: Dict[str, Any]) -> None:
    assert figures["simulated_days"] == pytest.approx(0.02, abs=0.001)
    assert (figures["dropped"], figures["failure"]) == (0, None)
    assert figures["segments_written"] >= 2
    assert figures["rss_mb_most"] >= figures["rss_mb_end"] > 20
    stamps = [event.stamp_ns for event in Recording(tmp_path / "run").events() if isinstance(event, Sample)]
    assert stamps == [second * 10**9 for second in range(len(stamps))]
    assert len(stamps) == pytest.approx(0.02 * 86400, abs=2)
