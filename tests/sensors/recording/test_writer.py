"""Recording never holds a run up, and loses little whatever happens to it."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest

from cosmo_runtime.sensors.events import Sample, Tick
from cosmo_runtime.sensors.recording import Recording, RecordingError, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

RECORD_UNTIL_KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

writer = RecordingWriter(Path(sys.argv[1]), {"imu": SensorInfo("imu", "device", 100.0)})
while True:
    now_ns = time.monotonic_ns()
    print(now_ns, flush=True)
    writer.write(Sample("imu", now_ns, now_ns, np.zeros(9, np.float32)))
    time.sleep(0.01)
"""

RECORD_ON_A_FULL_DISK = """
import json, logging, resource, sys, time
from pathlib import Path
import numpy as np
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

said = []
logging.getLogger().addHandler(type("Keep", (logging.Handler,), {"emit": lambda self, record: said.append(record)})())
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
random = np.random.default_rng(0)
with RecordingWriter(Path(sys.argv[1]), {"depth": SensorInfo("depth", "camera", 15.0)}) as writer:
    for index in range(40):
        depth = random.integers(0, 2**16, (100, 200), dtype=np.uint16)
        writer.write(Sample("depth", index, index, depth))
        time.sleep(0.03)
print(json.dumps({"failure": str(writer.failure), "dropped": writer.dropped, "said": len(said)}))
"""

RECORD_ON_A_DISK_WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
for attempt in range(2):
    try:
        RecordingWriter(Path(sys.argv[1]), {})
    except RecordingError as error:
        print(error)
"""


def test_a_kill_loses_little(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    child = subprocess.Popen([sys.executable, "-c", RECORD_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    first_ns = int(child.stdout.readline())
    size, grown_ns = path.stat().st_size, []
    while len(grown_ns) < 5:  # every half second
        assert time.monotonic_ns() < first_ns + 60e9
        if path.stat().st_size > size:
            size = path.stat().st_size
            grown_ns.append(time.monotonic_ns())
        time.sleep(0.01)
    child.kill()
    lines = child.stdout.read().decode().splitlines(keepends=True)
    written_ns = [first_ns, *(int(line) for line in lines if line.endswith("\n"))]
    child.wait()
    recording = Recording(path)
    read_ns = [event.stamp_ns for event in recording.events() if isinstance(event, Sample)]
    assert recording.cut
    assert read_ns == written_ns[: len(read_ns)]
    sure_ns = [stamp_ns for stamp_ns in written_ns if stamp_ns < grown_ns[-3]]
    assert 0 < len(sure_ns) <= len(read_ns)  # what came before the file grew is in it when it has grown once more


@pytest.mark.slow
def test_a_power_cut_loses_no_more_than_was_not_synced(
    tmp_path: Path, infos: Dict[str, SensorInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cut = tmp_path / "run.mcap", tmp_path / "cut.mcap"
    sizes: List[int] = []  # of the recording whenever it is synced
    folders: List[int] = []
    sync = os.fsync

    def synced(number: int) -> None:
        state = os.fstat(number)
        (folders if stat.S_ISDIR(state.st_mode) else sizes).append(state.st_size)
        sync(number)

    monkeypatch.setattr(os, "fsync", synced)
    with RecordingWriter(path, infos) as writer:
        begin_ns = time.monotonic_ns()
        while time.monotonic_ns() - begin_ns < 5.5e9:
            now_ns = time.monotonic_ns()
            writer.write(Sample("imu", now_ns, now_ns, np.zeros(9, np.float32)))
            time.sleep(0.01)
        at_the_cut = list(sizes)
        written = path.read_bytes()
    assert len(folders) == 1  # its name outlives the cut, too
    assert len(at_the_cut) >= 3
    for size, zeros in ((at_the_cut[-1], 0), (at_the_cut[-1], len(written) - at_the_cut[-1])):
        cut.write_bytes(written[:size] + bytes(zeros))  # what was not synced is gone, or of the right length only
        recording = Recording(cut)
        stamps = [event.stamp_ns for event in recording.events() if isinstance(event, Sample)]
        assert recording.cut
        assert now_ns - stamps[-1] < 4.5e9  # 2 s, half a second, and more for a busy machine
    assert sizes[-1] == path.stat().st_size  # of the closed one, all


def test_a_full_disk_stops_the_recording_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    child = subprocess.run(
        [sys.executable, "-c", RECORD_ON_A_FULL_DISK, str(path)], check=True, stdout=subprocess.PIPE, timeout=60
    )
    report = json.loads(child.stdout)
    assert report["failure"].startswith(f"{path}: recording stopped: File too large")
    assert report["said"] == 1
    recording = Recording(path)
    indices = [event.stamp_ns for event in recording.events() if isinstance(event, Sample)]
    assert recording.cut
    assert 0 < len(indices) < 40
    assert indices == list(range(len(indices)))
    assert len(indices) + report["dropped"] == 40


def test_a_disk_without_room_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    child = subprocess.run(
        [sys.executable, "-c", RECORD_ON_A_DISK_WITHOUT_ROOM, str(path)], check=True, stdout=subprocess.PIPE, timeout=60
    )
    assert child.stdout.decode().splitlines() == [f"{path} cannot be written: File too large"] * 2
    assert not path.exists()


def test_a_slow_disk_drops_and_counts_and_does_not_hold_the_caller_up(
    tmp_path: Path, infos: Dict[str, SensorInfo]
) -> None:
    stalled, released = threading.Event(), threading.Event()

    class StalledImage(np.ndarray):
        def tobytes(self, *_: object) -> bytes:  # type: ignore[override]
            stalled.set()
            released.wait(60)
            return super().tobytes()

    path = tmp_path / "run.mcap"
    with RecordingWriter(path, infos) as writer:
        writer.write(Sample("depth", 0, 0, np.zeros((3, 4), np.uint16).view(StalledImage)))
        assert stalled.wait(60)
        begin = time.monotonic()
        for now_ns in range(5000):
            writer.write(Tick(now_ns))
        assert time.monotonic() - begin < 30  # released only below
        released.set()
    assert 0 < writer.dropped < 5000
    recording = Recording(path)
    ticks = [event.now_ns for event in recording.events() if isinstance(event, Tick)]
    assert ticks == list(range(5000 - writer.dropped))
    assert recording.dropped == writer.dropped


def test_an_event_that_cannot_be_encoded_does_not_reach_the_caller(
    tmp_path: Path, infos: Dict[str, SensorInfo], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.write(Sample("lidar", 0, 0, np.zeros(3)))
        writer.write(Tick(1))
    assert writer.dropped == 2
    assert isinstance(writer.failure, RecordingError)
    assert [record.getMessage() for record in caplog.records] == [str(writer.failure)]


def test_an_existing_file_is_not_overwritten(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match=r"run.mcap exists already: choose another name"):
        RecordingWriter(path, infos)
    assert path.read_bytes() == b"precious"


def test_a_missing_folder_is_reported(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with pytest.raises(RecordingError, match=r"run.mcap cannot be written: No such file or directory"):
        RecordingWriter(tmp_path / "no" / "run.mcap", infos)


def test_closing_twice_is_harmless(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.close()
    assert not Recording(tmp_path / "run.mcap").cut


def test_clocks_are_anchored(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos):
        time.sleep(0.5)
    anchors = list(Recording(tmp_path / "run.mcap").messages("/clock"))
    assert anchors
    for at_ns, anchor in anchors:
        assert anchor["monotonic_ns"] == at_ns
        assert abs(anchor["wall_ns"] - anchor["monotonic_ns"] - (time.time_ns() - time.monotonic_ns())) < 10**9
