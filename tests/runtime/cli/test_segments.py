"""A folder of segments goes wherever a file goes."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.cli import rig
from cosmo_runtime.runtime.cli.rig import free_recording, open_writer
from cosmo_runtime.runtime.labels.table import write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.retention.keeping import Keep, parse_keep
from cosmo_runtime.sensors.events import Sample, StateChange
from cosmo_runtime.sensors.recording import Recording, RecordingWriter, SegmentedWriter
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.full_disk import small_disk

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]


@pytest.fixture
def folder(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples) -> Path:
    """Twelve seconds of an IMU in segments of three, and the same in one file."""
    events = [StateChange("imu", 0, "ok"), *samples("imu", 0, 12)]
    writers = SegmentedWriter(tmp_path / "run", infos, segment_s=3), RecordingWriter(tmp_path / "one.mcap", infos)
    for event in events:
        for writer in writers:
            writer.write(event)
        while writers[0]._opening and writers[0]._opening.is_alive():
            time.sleep(0.001)
    for writer in writers:
        writer.close()
    assert len(segments_of(tmp_path / "run")) == 4
    return tmp_path / "run"


def test_it_replays_as_the_file_does(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--speed", "max", "--output", "-", "--replay"]
    one, whole = cosmo(*words, folder.with_name("one.mcap")), cosmo(*words, folder)
    assert whole.code == 0, whole.err
    answers = [[(line["window_end_ns"], line["probabilities"]) for line in done.lines] for done in (one, whole)]
    assert answers[0] == answers[1]
    assert len(answers[0]) >= 20


def test_it_is_labelled_evaluated_shown_and_purged(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    folder.with_suffix(".csv").write_text("start,end,activity\n1,5,walk\n6,11,wave\n")
    done = cosmo("evaluate", folder, "--bundle", tiny_bundle.path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["windows"] == 18
    one = folder.with_name("one.mcap")
    one.with_suffix(".csv").write_text(folder.with_suffix(".csv").read_text())
    assert cosmo("evaluate", one, "--bundle", tiny_bundle.path, "--json").out == done.out
    one.with_suffix(".csv").unlink()
    told = json.loads(cosmo("info", folder, "--json").out)
    assert (told["segments"], told["labels"]) == (4, str(folder.with_suffix(".csv")))
    folder.with_suffix(".csv").unlink()
    assert cosmo("label", folder, "--bundle", tiny_bundle.path).code == 0
    assert cosmo("label", one, "--bundle", tiny_bundle.path).code == 0
    of_folder, of_file = (path.with_suffix(".csv").read_text().splitlines()[1:] for path in (folder, one))
    assert of_folder == of_file  # below the line that says when each began
    assert cosmo("purge", folder.parent).code == 0
    assert folder.exists()


@pytest.mark.slow
def test_a_live_run_records_into_a_folder_and_replays_bit_for_bit(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig, "SegmentedWriter", partial(SegmentedWriter, segment_s=2.0))
    words = ["--sensors", "imu,radar", "--bundle", tiny_bundle.path]
    live = cosmo(*words, "--emulate", "person", "--duration", 9, "--record", tmp_path / "run", "--keep", "1GB")
    assert live.code == 0, live.err
    assert len(segments_of(tmp_path / "run")) >= 3
    done = cosmo(*words, "--replay", tmp_path / "run", "--speed", "max", "--output", "-")
    assert done.code == 0, done.err
    assert "windows equal to those of the live run, bit for bit:" in done.err
    said = done.err.split("bit for bit: ")[1].split("\n")[0].split(" of ")
    assert said[0] == said[1]
    assert int(said[0]) >= 1  # a busy machine answers fewer
    assert not Recording(tmp_path / "run").cut


def test_each_segment_of_a_run_expires_by_its_own_time_unless_the_clock_was_set_back(
    tmp_path: Path, infos: Dict[str, SensorInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, about = argparse.Namespace(keep=None, expires=timedelta(hours=1)), {"expires": "the run's"}
    open_writer(tmp_path / "now", tmp_path / "now", options, infos, about).close()
    left = datetime.fromisoformat(Recording(tmp_path / "now").metadata["expires"]) - datetime.now(timezone.utc)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    monkeypatch.setattr(
        "cosmo_runtime.runtime.retention.expiry.CLOCK_IS_SET", datetime.max.replace(tzinfo=timezone.utc)
    )
    open_writer(tmp_path / "later", tmp_path / "later", options, infos, about).close()
    assert Recording(tmp_path / "later").metadata["expires"] == "the run's"


def test_keep_never_touches_a_name_without_the_number_that_the_command_gave(tmp_path: Path) -> None:
    other, earlier = tmp_path / "box", tmp_path / "box-7"
    for folder in (other, earlier):
        folder.mkdir()
        (folder / "000001-20250101T000000Z.mcap").write_bytes(b"years old")
        os.utime(folder / "000001-20250101T000000Z.mcap", (1e9, 1e9))
    options = argparse.Namespace(keep=parse_keep("1h"), expires=None)
    open_writer(earlier, free_recording(earlier), options, {}, {}).close()
    assert segments_of(other)
    assert not earlier.exists()
    assert len(segments_of(tmp_path / "box-7-2")) == 1


@pytest.mark.parametrize("disk, said", [(150, "the disk has room for 1"), (300, "")])
def test_who_keeps_more_than_the_disk_holds_is_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], disk: int, said: str
) -> None:
    options = argparse.Namespace(keep=parse_keep("200MB"), expires=None)
    with small_disk(tmp_path, disk * 10**6):
        (tmp_path / "box").mkdir()
        (tmp_path / "box" / "000001-20250101T000000Z.mcap").write_bytes(bytes(120 * 10**6))  # counts as room
        open_writer(tmp_path / "box", free_recording(tmp_path / "box"), options, {}, {}).close()
    told = capsys.readouterr().err
    assert (said in told, "When it is full, recording stops" in told) == (True, bool(said))


def _bytes_below(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*.mcap"):
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            size += file.stat().st_size
    return size


def test_keep_is_never_exceeded_though_a_segment_would_last_ten_minutes(
    tmp_path: Path, infos: Dict[str, SensorInfo]
) -> None:
    most = 10 * 10**6
    (tmp_path / "run").mkdir()
    for number in range(18):  # of an earlier run
        (tmp_path / "run" / f"{number + 1:06d}-20250101T000000Z.mcap").write_bytes(bytes(most // 20))
    options, sizes = argparse.Namespace(keep=Keep(bytes=most), expires=None), []
    writer = open_writer(tmp_path / "run", tmp_path / "run-2", options, infos, {})
    random, end = np.random.default_rng(0), time.monotonic() + 6
    while time.monotonic() < end:  # half a megabyte a second
        at_ns = time.monotonic_ns()
        writer.write(Sample("depth", at_ns, at_ns, random.integers(0, 2**16, (80, 100), dtype=np.uint16)))
        sizes.append(_bytes_below(tmp_path))
        time.sleep(0.03)
    writer.close()
    assert 0.75 * most < sizes[-1] <= max(sizes) <= most
    assert len(segments_of(tmp_path / "run")) < 18
    assert len(segments_of(tmp_path / "run-2")) > 2


def test_to_keep_so_much_needs_a_folder(cosmo: Run, tiny_bundle: Bundle, tmp_path: Path) -> None:
    words = ["record", "--sensors", "imu", "--emulate", "person", "--duration", 1, "--keep", "1GB"]
    done = cosmo(*words, tmp_path / "one.mcap")
    assert (done.code, "--keep needs a folder of segments" in done.err) == (2, True)
    assert cosmo("record", "--sensors", "imu", "--emulate", "person", tmp_path / "one.bag").code == 2


def test_a_table_whose_first_segments_are_deleted_is_refused_with_the_cause_and_what_mends_it(
    cosmo: Run, tiny_bundle: Bundle, folder: Path
) -> None:
    whole, table = Recording(folder), folder.with_suffix(".csv")
    rows = [Segment(whole.start_ns + a * 10**9, whole.start_ns + (a + 2) * 10**9, "walk") for a in (7, 9)]
    write_labels(table, rows, whole)
    assert json.loads(cosmo("info", folder, "--json").out)["labels_refused"] == ""
    for said in "its first segment is deleted", "its first 2 segments are deleted":
        segments_of(folder)[0].unlink()
        done = cosmo("evaluate", folder, "--bundle", tiny_bundle.path)
        assert (done.code, said in done.err) == (1, True), done.err
        assert said in cosmo("info", folder).out
    later_s = (Recording(folder).start_ns - whole.start_ns) / 1e9
    told = re.search(r"take ([0-9.]+) off each time in seconds, drop the rows that end before 0", done.err)
    assert told
    assert float(told[1]) == pytest.approx(later_s, abs=0.002)
    kept = [f"{a - float(told[1])},{b - float(told[1])},walk" for a, b in ((7, 9), (9, 11))]  # as it says
    table.write_text("\n".join(["start,end,activity", *kept]))
    assert cosmo("evaluate", folder, "--bundle", tiny_bundle.path).code == 0


def test_info_says_that_a_table_is_of_another_recording(cosmo: Run, folder: Path) -> None:
    one, table = folder.with_name("one.mcap"), folder.with_name("one.csv")
    table.write_text("# recording began 2001-01-01T00:00:00.000Z\nstart,end,activity\n1,2,walk\n")
    told = json.loads(cosmo("info", one, "--json").out)
    assert told["labels"] == str(table)
    assert "of a recording that began 2001-01-01T00:00:00.000Z, but one.mcap began " in told["labels_refused"]
    assert f"labels         {table}, but these labels are of a recording" in cosmo("info", one).out
    table.write_text("start,end,activity\n1,2,walk\n")
    assert cosmo("info", one).out.count(f"labels         {table}\n") == 1
