"""Wall times and monotonic times are mapped to each other where the wall clock was set meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from cosmo_runtime.sensors.recording import Recording, RecordingWriter, WallTimeError
from cosmo_runtime.sensors.recording.wall_clock import WallClock
from cosmo_runtime.sensors.sensor import SensorInfo

S = 10**9
BEGAN_NS = 5000 * S
OFFSET_NS = 1_700_000_000 * S


def clock(*steps: Tuple[int, float]) -> WallClock:
    """Twenty seconds, read every second; each step is a second and by how much the clock was set just before it."""
    readings: List[Tuple[int, int]] = []
    for second in range(1, 21):
        set_by_ns = sum(round(by_s * S) for at, by_s in steps if at <= second)
        jitter_ns = 20_000 * (second % 3)
        readings.append((BEGAN_NS + second * S, BEGAN_NS + second * S + OFFSET_NS + set_by_ns + jitter_ns))
    return WallClock(OFFSET_NS, BEGAN_NS, BEGAN_NS + 20 * S, readings)


def test_a_clock_that_nobody_sets_is_one_offset_however_its_readings_jitter() -> None:
    for second in (-100, 0, 7.5, 20, 500):
        host_ns = BEGAN_NS + round(second * S)
        assert clock().wall_ns(host_ns) == host_ns + OFFSET_NS
        assert clock().host_ns(host_ns + OFFSET_NS) == host_ns


@pytest.mark.parametrize("by_s", [4.0, -4.0, 0.2, -0.2, 1e9, -3600.0])
def test_times_before_and_after_a_step_go_there_and_back(by_s: float) -> None:
    stepped = clock((8, by_s))
    for second in (0.5, 2.9, 12.3, 19.9):
        host_ns = BEGAN_NS + round(second * S)
        wall_ns = host_ns + OFFSET_NS + (round(by_s * S) if second > 8 else 0)
        assert abs(stepped.wall_ns(host_ns) - wall_ns) < 100_000
        assert abs(stepped.host_ns(wall_ns) - host_ns) < 100_000


def test_what_falls_into_the_gap_is_refused() -> None:
    for second in (7.001, 9.0, 11.99):
        with pytest.raises(WallTimeError, match=r"may never have shown it: it was set forward by 4.000 s at 8.0 s"):
            clock((8, 4.0)).host_ns(BEGAN_NS + OFFSET_NS + round(second * S))


def test_what_was_shown_twice_is_refused() -> None:
    for second in (4.001, 6.9):
        with pytest.raises(WallTimeError, match=r"showed it twice: it was set back by 4.000 s at 8.0 s"):
            clock((8, -4.0)).host_ns(BEGAN_NS + OFFSET_NS + round(second * S))


def test_several_steps() -> None:
    stepped = clock((5, 10.0), (15, 10.0))
    for second, by_s in ((3, 0), (10, 10), (18, 20)):
        wall_ns = BEGAN_NS + second * S + OFFSET_NS + by_s * S
        assert abs(stepped.host_ns(wall_ns) - BEGAN_NS - second * S) < 100_000
    with pytest.raises(WallTimeError, match=r"10.000 s at 5.0 s, it was set forward by 10.000 s at 15.0 s"):
        stepped.host_ns(BEGAN_NS + OFFSET_NS + 10 * S)


def test_times_outside_the_recording_are_mapped_by_its_nearest_stretch() -> None:
    stepped = clock((8, 4.0))
    assert stepped.host_ns(BEGAN_NS + OFFSET_NS - 100 * S) == BEGAN_NS - 100 * S
    assert abs(stepped.host_ns(BEGAN_NS + OFFSET_NS + 104 * S) - BEGAN_NS - 100 * S) < 100_000


def test_a_step_while_recording_is_known_to_a_tenth_of_a_second(
    tmp_path: Path, infos: Dict[str, SensorInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, read_ns, set_by_s = time.time_ns, [], [0]

    def shown_ns() -> int:
        read_ns.append(time.monotonic_ns())
        return real() + set_by_s[0] * S

    def wait_for_readings(count: int) -> None:
        end = time.monotonic() + 60
        while len(read_ns) < count:
            assert time.monotonic() < end
            time.sleep(0.01)

    monkeypatch.setattr(time, "time_ns", shown_ns)
    with RecordingWriter(tmp_path / "run.mcap", infos):
        wait_for_readings(4)
        before, set_ns, set_by_s = len(read_ns), time.monotonic_ns(), [30]
        wait_for_readings(before + 4)
    recording = Recording(tmp_path / "run.mcap")
    for host_ns, by_s in ((read_ns[before - 2], 0), (read_ns[before + 2], 30)):  # at most one more was under way
        wall_ns = host_ns + recording.wall_offset_ns + by_s * S
        assert abs(recording.wall_ns(host_ns) - wall_ns) < S // 100
        assert abs(recording.host_ns(wall_ns) - host_ns) < S // 100
    with pytest.raises(WallTimeError):
        recording.host_ns(set_ns + recording.wall_offset_ns + 10 * S)
