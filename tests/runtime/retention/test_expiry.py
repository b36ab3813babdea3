"""Recordings expire when they say so, and nothing else is ever deleted."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import pytest

from cosmo_runtime.runtime.retention import expiry
from cosmo_runtime.runtime.retention.expiry import ClockNotSet, Fate, delete, expires, fates, one_line, parse_lifetime
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter, SegmentedWriter
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.sensors.sensor import SensorInfo

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TABLE = "start,end,activity\n1,2,wave\n"

Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Makes a recording that says that it expires at a time."""

    def make(name: str, said: Optional[str] = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        RecordingWriter(path, {"imu": SensorInfo("imu", "none", 100)}, {"expires": said} if said else {}).close()
        return path

    return make


def fate_of(path: Path, now: datetime = NOW) -> Fate:
    (fate,) = fates([path], now)
    return fate


@pytest.mark.parametrize(
    "text, hours", [("90m", 1.5), ("12h", 12), ("7d", 168), ("2w", 336), (" 7d ", 168), ("5217w", 5217 * 168)]
)
def test_lifetimes(text: str, hours: float) -> None:
    assert parse_lifetime(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "7 days", "1y", "7dd", "1.5h", "999999w"])
def test_other_lifetimes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 90m, 12h, 7d or 2w"):
        parse_lifetime(text)


def test_a_lifetime_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(ValueError, match="'99999w': more than 100 years"):
        parse_lifetime("99999w")


@pytest.mark.parametrize("text", ["P17", " Zoë Müller ", "Ms\u00a0Li, living room", "李", "x" * 1000])
def test_lines(text: str) -> None:
    assert one_line(text) == text.strip()


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\tb", "a\x7f", "a\u2028b", "a\udcff"], ids=repr)
def test_other_lines_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one line of text"):
        one_line(text)


def test_a_line_that_no_reader_would_take_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1000 characters"):
        one_line("x" * 1001)


def test_a_recording_expires_when_its_lifetime_has_passed(record: Record) -> None:
    before = datetime.now(timezone.utc)
    path = record("a.mcap", expires(timedelta(days=7))["expires"])
    after = datetime.now(timezone.utc)
    almost = timedelta(days=7, seconds=-1)
    assert not fate_of(path, before + almost).expired
    assert fate_of(path, after + timedelta(days=7)).expired
    assert expires(None) == {}


def test_a_clock_that_was_never_set_gives_no_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Optional[timezone] = None) -> datetime:  # type: ignore[override]
            return datetime(1970, 1, 1, 0, 3, tzinfo=tz)

    monkeypatch.setattr(expiry, "datetime", Clock)
    with pytest.raises(ClockNotSet, match="believes it is 1970-01-01; set its clock"):
        expires(timedelta(days=7))


def test_only_what_says_that_its_time_has_come_goes(record: Record, tmp_path: Path) -> None:
    gone = record("deep/gone.mcap", "2026-05-01T11:59:59+00:00")
    other_zone = record("zone.mcap", "2026-05-01T13:59:59+02:00")
    record("later.mcap", "2026-05-01T12:00:01+00:00")
    record("for ever.mcap")
    record("odd.mcap", "soon")
    record("zoneless.mcap", "2026-04-01T00:00:00")
    (tmp_path / "none.mcap").write_bytes(b"my own notes")
    (tmp_path / "link.mcap").symlink_to(gone)
    (tmp_path / "folder.mcap").mkdir()
    whys = {fate.recording.name: (fate.expired, fate.why) for fate in fates([tmp_path], NOW)}
    assert {name for name, (expired, _) in whys.items() if expired} == {gone.name, other_zone.name}
    assert whys["for ever.mcap"][1] == "has no expiry"
    assert whys["later.mcap"][1].startswith("expires 2026-05-0")
    assert whys["odd.mcap"][1] == "says that it expires 'soon', which is not a time"
    assert "which is not a time" in whys["zoneless.mcap"][1]
    assert whys["none.mcap"][1] == "is not an MCAP file"
    assert whys["link.mcap"][1].startswith("is a link")
    assert whys["folder.mcap"][1].startswith("is a folder, and no recording")
    assert len(whys) == 9


@pytest.mark.parametrize(
    "content, goes",
    [
        (TABLE, True),
        ("activity, start ,end\n", True),
        ("session,start,end,activity\ngone,1,2,wave\n", False),
        ("name,price\nbread,3\n", False),
        ("", False),
    ],
)
def test_labels_go_along_unless_they_are_of_others_too(record: Record, content: str, goes: bool) -> None:
    path = record("gone.mcap", "2026-05-01T11:59:59+00:00")
    labels = path.with_suffix(".csv")
    labels.write_text(content)
    fate = fate_of(path)
    assert fate.expired
    assert fate.labels == ((labels,) if goes else ())
    assert ("gone.csv stays" in fate.why) is not goes


def test_the_tables_of_a_prompt_go_along_but_none_of_another_recording(record: Record) -> None:
    path = record("gone.mcap", "2026-05-01T11:59:59+00:00")
    tables = [path.with_name(name) for name in ("gone.csv", "gone-prompted.csv", "gone-prompted-2.csv")]
    for table in [*tables, path.with_name("gone-other.csv")]:
        table.write_text(TABLE)
    assert fate_of(path).labels == tuple(tables)
    other = record("gone-prompted.mcap")
    assert fate_of(path).labels == (tables[0], tables[2])
    delete([path], fate_of(path).labels)
    assert sorted(path.parent.glob("gone*")) == sorted([other, tables[1], path.with_name("gone-other.csv")])


def test_a_recording_that_is_still_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "now.mcap"
    said = {"expires": "2026-05-01T11:59:59+00:00"}
    with RecordingWriter(path, {}, said):
        assert Recording(path).cut
        assert fate_of(path).why.endswith("and is still being written")
    assert fate_of(path).expired
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert not fate_of(cut).expired
    os.utime(cut, (1e9, 1e9))
    assert Recording(cut).cut
    assert fate_of(cut).expired


def test_what_somebody_put_into_a_folder_of_segments_is_no_part_of_it(record: Record, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    SegmentedWriter(folder, {}, {"expires": "2026-05-01T11:59:59+00:00"}).close()
    (segment,) = folder.iterdir()
    other = record("home/monday.mcap")
    old = record("home/old.mcap", "2026-05-01T11:59:59+00:00")
    assert {fate.recording: fate.expired for fate in fates([folder], NOW)} == {folder: True, other: False, old: True}
    delete([folder], [])
    assert not segment.exists()
    assert other.exists() and old.exists()
    delete([other, old], [])
    SegmentedWriter(tmp_path / "next", {}).close()
    delete([tmp_path / "next"], [])
    assert not (tmp_path / "next").exists()


def test_deleting_goes_on_past_what_cannot_be_deleted(record: Record, tmp_path: Path) -> None:
    recording = record("a.mcap")
    labels = tmp_path / "a.csv"
    labels.mkdir()
    with pytest.raises(OSError) as raised:
        delete([tmp_path / "never.mcap", recording], [labels])
    assert raised.value.filename == str(labels)
    assert not recording.exists()


def test_a_folder_whose_last_segment_is_still_written_stays(tmp_path: Path) -> None:
    said = {"expires": "2026-05-01T11:59:59+00:00"}
    writer = SegmentedWriter(tmp_path / "home", {}, said)
    os.utime(tmp_path / "home", (0, 0))  # the folder itself changes with a new segment only
    assert fate_of(tmp_path / "home").why.endswith("and is still being written")
    writer.close()
    assert fate_of(tmp_path / "home").expired


def test_a_segment_expires_before_those_that_came_later(tmp_path: Path) -> None:
    hours = iter([-2, -1, 1])
    writer = SegmentedWriter(
        tmp_path / "home",
        {"imu": SensorInfo("imu", "none", 100)},
        {"expires": "2026-04-30T00:00:00+00:00", "participant": "P17"},
        segment_s=1,
        own_metadata=lambda: {"expires": (NOW + timedelta(hours=next(hours))).isoformat()},
    )
    at_ns = 0
    while not writer.file.name.startswith("000003"):  # another thread opens it
        writer.write(Sample("imu", at_ns, at_ns, np.zeros(9, np.float32)))
        at_ns += 10**8
        time.sleep(0.001)
    for thread in writer._finishing:
        thread.join()
    first, second, third = segments_of(tmp_path / "home")
    assert {fate.recording: fate.expired for fate in fates([tmp_path], NOW)} == {
        tmp_path / "home": False,  # it is still being written, and its newest segment has not expired
        first: True,
        second: True,
    }
    writer.close()
    later = {fate.recording: fate.expired for fate in fates([tmp_path], NOW + timedelta(hours=2))}
    assert later == {tmp_path / "home": True}
    of_one = {fate.recording: fate.expired for fate in fates([tmp_path], NOW, "P17")}
    assert of_one == {tmp_path / "home": True}
    assert third.exists()
