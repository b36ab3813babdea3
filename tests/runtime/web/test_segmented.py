"""A recording of segments, a folder, is for the page what a file is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.labels.table import labels_beside, read_labels
from cosmo_runtime.runtime.web.film import Film
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.segments import segments_of
from tests.runtime.web.conftest import Serve

NS = 10**9


def test_it_is_one_entry_of_the_list(serve: Serve, tuesday: Path, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        return (await (await client.get("/api/recordings")).json())["recordings"]

    entry = next(entry for entry in serve(story) if entry["name"] == "tuesday")
    assert entry["segments"] == len(segments_of(tuesday)) >= 3
    assert entry["size"] == sum(file.stat().st_size for file in segments_of(tuesday))
    assert entry["labels"] == {"walk": [2, 4.0], "wave": [2, 4.0]}
    assert (entry["cut"], entry["growing"], entry["problem"]) == (False, False, "")


def test_every_moment_of_it_is_found(tuesday: Path) -> None:
    recording = Recording(tuesday)
    film = Film(recording)
    start_ns, end_s = recording.start_ns, recording.duration_s
    arrivals = {kind: [] for kind in ("depth", "radar")}  # type: dict[str, List[float]]
    for event in recording.events():
        if isinstance(event, Sample) and event.sensor in arrivals:
            arrivals[event.sensor].append(round((event.arrival_ns - start_ns) / 1e9, 4))
    shown = [frame for part in range(len(film.index)) for frame in film.part(part).frames]
    for kind, times in arrivals.items():
        assert sorted(at_s for at_s, sensor, _ in shown if sensor == kind) == pytest.approx(times, abs=1e-3)
    rows, predictions = film.traces(0, end_s)
    assert (np.diff(rows["imu"][:, 0]) > 0).all()
    assert np.diff(rows["imu"][:, 0]).max() < 0.1  # no hole where a segment follows another
    assert {activity for _, activity, _ in predictions} == {"walk", "wave"}
    assert all(len(film.frame(at_s)) == 2 for at_s in np.linspace(0.3, end_s, 20))


def test_it_is_labelled(serve: Serve, tuesday: Path) -> None:
    async def story(client: TestClient) -> Any:
        told = await (await client.get("/api/recordings/tuesday/labels")).json()
        asked = {"version": told["version"], "labels": [[0.5, 11.25, "run"]]}
        answer = await client.post("/api/recordings/tuesday/labels", json=asked)
        return told["labels"], answer.status

    assert serve(story) == ([[1.0, 3.0, "walk"], [4.0, 6.0, "wave"], [7.0, 9.0, "walk"], [9.0, 11.0, "wave"]], 200)
    assert labels_beside(tuesday).name == "tuesday.csv"
    (rows,) = read_labels(labels_beside(tuesday), examples=1).values()
    start_ns = Recording(tuesday).start_ns
    assert [((a - start_ns) / NS, (b - start_ns) / NS, name) for a, b, name in rows] == [(0.5, 11.25, "run")]


def test_it_is_renamed_and_deleted_with_its_labels(serve: Serve, tuesday: Path, monday: Path) -> None:
    names = ["monday", "a.b", "Dienstag"]

    async def story(client: TestClient) -> List[int]:
        answers = [await client.post("/api/recordings/tuesday/rename", json={"to": name}) for name in names]
        answers.append(await client.post("/api/recordings/monday/rename", json={"to": "Dienstag"}))
        there = sorted(path.name for path in tuesday.parent.iterdir())
        assert there == ["Dienstag", "Dienstag.csv", "monday.csv", "monday.mcap"]
        answers.append(await client.post("/api/recordings/Dienstag/delete", json={}))
        return [answer.status for answer in answers]

    assert serve(story) == [409, 400, 200, 409, 200]
    assert sorted(path.name for path in tuesday.parent.iterdir()) == ["monday.csv", "monday.mcap"]


def test_a_piece_across_segments_is_a_whole_recording(serve: Serve, tuesday: Path) -> None:
    async def story(client: TestClient) -> Any:
        asked = {"to": "piece", "start_s": 2.0, "end_s": 8.0}
        return await (await client.post("/api/recordings/tuesday/cut", json=asked)).json()

    assert serve(story) == {"name": "piece"}
    whole, piece = Recording(tuesday), Recording(tuesday.with_name("piece.mcap"))
    first_ns, last_ns = whole.start_ns + 2 * NS, whole.start_ns + 8 * NS
    inside = [e for e in whole.events() if isinstance(e, Sample) and first_ns <= e.arrival_ns <= last_ns]
    kept = [e for e in piece.events() if isinstance(e, Sample)]
    assert [(e.sensor, e.stamp_ns, e.arrival_ns) for e in kept] == [
        (e.sensor, e.stamp_ns, e.arrival_ns) for e in inside
    ]
    assert all(np.array_equal(ours.data, theirs.data, equal_nan=True) for ours, theirs in zip(kept, inside))
    assert not piece.cut
    assert piece.wall_ns(piece.start_ns) == pytest.approx(whole.wall_ns(piece.start_ns), abs=10**7)
    (rows,) = read_labels(labels_beside(piece.path), examples=1).values()
    shown = [((r.start_ns - whole.start_ns) / NS, (r.end_ns - whole.start_ns) / NS) for r in rows]
    assert [(round(a, 1), round(b, 1)) for a, b in shown] == [(2, 3), (4, 6), (7, 8)]


def test_what_is_still_being_written_is_not_deleted(serve: Serve, tuesday: Path) -> None:
    last = segments_of(tuesday)[-1]
    os.truncate(last, last.stat().st_size // 2)

    async def story(client: TestClient) -> Any:
        (entry,) = (await (await client.get("/api/recordings")).json())["recordings"]
        answers = [await client.post("/api/recordings/tuesday/delete", json={})]
        answers.append(await client.post("/api/recordings/tuesday/rename", json={"to": "x"}))
        for file in segments_of(tuesday):
            os.utime(file, (time.time() - 90, time.time() - 90))
        answers.append(await client.post("/api/recordings/tuesday/delete", json={}))
        return entry["cut"], entry["growing"], [answer.status for answer in answers]

    assert serve(story) == (True, True, [409, 409, 200])


def test_a_folder_of_other_things_is_none(serve: Serve, recordings: Path, tmp_path: Path, tuesday: Path) -> None:
    (recordings / "notes").mkdir()
    (recordings / "link").symlink_to(tuesday)

    async def story(client: TestClient) -> Any:
        listed = (await (await client.get("/api/recordings")).json())["recordings"]
        names = ["notes", "link", "tuesday%2F..", "..", "tuesday/000001"]
        answers = [(await client.post(f"/api/recordings/{name}/delete", json={})).status for name in names]
        return [entry["name"] for entry in listed], answers

    assert serve(story) == (["tuesday"], [404, 404, 400, 404, 404])
    assert len(segments_of(tuesday)) >= 3
