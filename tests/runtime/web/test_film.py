from __future__ import annotations

import json
import struct
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.web import film as films
from cosmo_runtime.runtime.web.film import Film
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime.web.conftest import Serve

Samples = Callable[..., List[Sample]]


def _split(body: bytes) -> List[Dict[str, Any]]:
    found, at = [], 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        head, _, data = body[at + 4 : at + 4 + length].partition(b"\n")
        found.append({**json.loads(head), "data": data})
        at += 4 + length
    return found


def test_the_picture_of_a_moment_is_the_last_before_it(monday: Path) -> None:
    film, recording = Film(Recording(monday)), Recording(monday)
    arrivals = [e for e in recording.events() if isinstance(e, Sample) and e.sensor == "depth"]
    for at_s in 0.5, 3.0, 7.77, 11.5:
        heads = [json.loads(message.partition(b"\n")[0]) for message in film.frame(at_s)]
        (picture,) = [head for head in heads if head["kind"] == "depth"]
        expected = [e for e in arrivals if (e.arrival_ns - recording.start_ns) / 1e9 <= at_s + 1e-6][-1]
        assert picture["at_s"] == pytest.approx((expected.arrival_ns - recording.start_ns) / 1e9, abs=1e-3)


def test_before_the_first_picture_that_one_is_shown(monday: Path) -> None:
    heads = [json.loads(message.partition(b"\n")[0]) for message in Film(Recording(monday)).frame(0)]
    assert {head["kind"] for head in heads} == {"depth", "radar"}


def test_traces_and_predictions_of_a_stretch(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/recordings/monday/traces?from_s=2&to_s=5")).read()

    predictions, imu = _split(serve(story))
    assert len(predictions["predictions"]) == 6
    rows = np.frombuffer(imu["data"], np.float32).reshape(imu["rows"], 7)
    assert 145 <= len(rows) <= 175  # 50 a second, and at most one more a part
    assert rows[0, 0] >= 0  # from the second that was asked for
    assert rows[-1, 0] < 3
    assert (np.diff(rows[:, 0]) > 0).all()


def test_traces_are_as_fine_at_the_end_of_a_week(serve: Serve, recordings: Path, samples: Samples) -> None:
    week_s, infos = 7 * 24 * 3600, {"imu": SensorInfo("imu", "an IMU of numbers", 50)}
    events = [*samples("imu", 5, 7, delay_s=0)[::2], *samples("imu", week_s, week_s + 2, delay_s=0)[::2]]
    with mock.patch.object(RecordingWriter, "_add_clock"), RecordingWriter(recordings / "long.mcap", infos) as writer:
        for event in events:
            writer.write(event)

    async def story(client: TestClient) -> Any:
        asked = f"/api/recordings/long/traces?from_s={week_s - 5}&to_s={week_s}"
        return await (await client.get(asked)).read()

    _, imu = _split(serve(story))
    times_s = np.frombuffer(imu["data"], np.float32).reshape(imu["rows"], 7)[:, 0]
    assert len(times_s) == 100
    assert np.diff(times_s) == pytest.approx(0.02, abs=1e-4)


def test_all_pictures_of_a_second_come_in_order(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/recordings/monday/frames?from_s=4&to_s=5")).read()

    frames = _split(serve(story))
    assert len([frame for frame in frames if frame["kind"] == "depth"]) == 15
    assert len([frame for frame in frames if frame["kind"] == "radar"]) == 20
    assert [frame["at_s"] for frame in frames] == sorted(frame["at_s"] for frame in frames)


def test_the_survey_shows_the_whole_recording_after_a_while(monday: Path) -> None:
    film = Film(Recording(monday))
    assert film.survey()["share"] <= 1
    for _ in range(3000):
        seen = film.survey()
        if seen["share"] == 1:
            break
        time.sleep(0.02)
    assert set(seen["lanes"]) == {"imu", "radar"}
    assert None not in seen["lanes"]["imu"]["low"][:5]
    activities = [prediction[0] for prediction in seen["predictions"] if prediction]
    assert activities == sorted(activities)
    assert set(activities) == {"walk", "wave"}


def test_a_survey_that_ends_while_it_is_shown_is_not_shown_as_whole_with_gaps(
    monday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, begins, lane = Film(Recording(monday)), threading.Event(), films._Survey._lane
    decode = film.decode
    monkeypatch.setattr(film, "decode", lambda *words, **more: begins.wait(60) and decode(*words, **more))

    def slow(survey: Any, name: str) -> Dict[str, Any]:
        drawn = lane(survey, name)
        begins.set()
        survey._thread.join(60)
        return drawn

    monkeypatch.setattr(films._Survey, "_lane", slow)
    shown = film.survey()
    assert shown["lanes"]["imu"]["low"][:5] == [None] * 5
    assert shown["share"] < 1
    assert film.survey()["share"] == 1


def test_nothing_is_decoded_twice_that_was_just_decoded(monday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(Recording(monday))
    decoded: List[int] = []
    decode = film.decode
    monkeypatch.setattr(film, "decode", lambda number: decoded.append(number) or decode(number))
    film.frames(2, 4)
    film.frame(3.5)
    film.traces(2.1, 3.9)
    assert len(decoded) == len(set(decoded))


def test_what_is_kept_in_memory_is_bounded(monday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "_CACHE_BYTES", 150_000)
    film = Film(Recording(monday))
    film.frames(0, 12)
    assert film._size <= 150_000
    assert film._size == sum(part.size for part in film._parts.values())


@pytest.mark.parametrize(
    "query", ["", "from_s=1", "from_s=2&to_s=1", "from_s=0&to_s=1e9", "from_s=nan&to_s=1", "from_s=a&to_s=b"]
)
@pytest.mark.parametrize("what", ["frames", "traces", "frame"])
def test_a_stretch_that_is_none_is_refused(serve: Serve, monday: Path, what: str, query: str) -> None:
    async def story(client: TestClient) -> int:
        return (await client.get(f"/api/recordings/monday/{what}?{query}")).status

    assert serve(story) == 400


def test_damage_hides_only_what_is_damaged(serve: Serve, monday: Path) -> None:
    content = bytearray(monday.read_bytes())
    content[len(content) // 2] ^= 0xFF
    monday.write_bytes(content)

    async def story(client: TestClient) -> List[int]:
        paths = ["", "/frames?from_s=1&to_s=2", "/traces?from_s=0&to_s=12", "/survey", "/frame?at_s=6"]
        return [(await client.get(f"/api/recordings/monday{path}")).status for path in paths]

    assert serve(story) == [200] * 5


def _surveyed(film: Film) -> Dict[str, Any]:
    end = time.monotonic() + 60
    while film.survey()["share"] < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    return film.survey()


def test_a_moment_that_cannot_be_read_is_told_once_the_recording_was_surveyed(monday: Path) -> None:
    whole = Film(Recording(monday))
    assert _surveyed(whole)["damaged_s"] == []
    middle = len(whole.index) // 2
    first, after = whole.index._files[0].first[middle], whole.index._files[0]._after[middle]
    content = bytearray(monday.read_bytes())
    content[(first + after) // 2 : after - 1] = bytes(after - 1 - (first + after) // 2)
    monday.write_bytes(content)
    begin_s = (whole.index.begins_ns[middle] - whole.recording.start_ns) / 1e9
    assert _surveyed(Film(Recording(monday)))["damaged_s"] == pytest.approx([begin_s], abs=0.01)


def test_a_recording_that_is_not_read_to_its_end_says_so(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        (entry,) = (await (await client.get("/api/recordings")).json())["recordings"]
        return entry["damaged"], (await (await client.get("/api/recordings/monday")).json())["damaged"]

    assert serve(story) == ([], [])
    index = RecordingIndex(Recording(monday))
    hole = index._files[0].first[len(index) // 2]
    content = monday.read_bytes()
    monday.write_bytes(content[:hole] + bytes(1000) + content[hole:])
    assert serve(story) == ([f"monday.mcap at byte {hole}"],) * 2
