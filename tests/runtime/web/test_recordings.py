from __future__ import annotations

import json
import queue
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.labels.table import labels_beside, read_labels
from cosmo_runtime.runtime.web.recorder import Recorder
from cosmo_runtime.runtime.web.sessions import Sessions
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime.web.conftest import Serve

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Any]]
NS = 10**9


def test_the_recordings_of_the_folder_are_listed_with_what_they_hold(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/recordings")).json()

    listed = serve(story)
    (entry,) = listed["recordings"]
    assert entry["name"] == "monday"
    assert 11.5 < entry["seconds"] < 60  # a writer on a busy machine notes its clocks later
    assert entry["sensors"] == {"imu": "imu", "depth": "depth", "radar": "radar"}
    assert entry["labels"] == {"walk": [2, 4.0], "wave": [2, 4.0]}
    assert (entry["cut"], entry["bundle"], entry["problem"]) == (False, "tiny", "")
    assert listed["can_record"] is False


def test_what_cannot_be_read_is_listed_with_the_reason(serve: Serve, recordings: Path, monday: Path) -> None:
    (recordings / "noise.mcap").write_bytes(b"noise")
    labels_beside(monday).write_text("start,end,activity\nsoon,later,walk\n")

    async def story(client: TestClient) -> Any:
        return (await (await client.get("/api/recordings")).json())["recordings"]

    problems = {entry["name"]: entry["problem"] for entry in serve(story)}
    assert problems["noise"] == "noise.mcap is not an MCAP file"
    assert "'soon' is not a time" in problems["monday"]


def test_what_is_not_listed_is_named_with_the_reason(
    serve: Serve, recordings: Path, monday: Path, tuesday: Path, tmp_path: Path
) -> None:
    def copy(name: str) -> None:
        shutil.copy(str(monday), str(recordings / name))

    shutil.copytree(str(tuesday), str(recordings / "a&b"))
    for name in "walk [old].mcap", "x" * 81 + ".mcap", "shout.MCAP", "tuesday.mcap", ".hidden.mcap":
        copy(name)
    (recordings / "linked.mcap").symlink_to(shutil.copy(str(monday), str(tmp_path)))
    (recordings / "folder.mcap").mkdir()
    (recordings / "notes.txt").touch()

    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/recordings")).json()

    told = serve(story)
    odd = "A name has at most 80 letters, digits, spaces and . ( ) + @ - _ and begins with a letter or digit."
    assert {entry["name"] for entry in told["recordings"]} == {"monday", "tuesday"}
    assert told["left_out"] == {
        "a&b": f"{odd} Rename it to see it here.",
        "walk [old].mcap": f"{odd} Rename it to see it here.",
        "x" * 81 + ".mcap": f"{odd} Rename it to see it here.",
        "shout.MCAP": "Its name ends in .MCAP, not in .mcap. Rename it to see it here.",
        "tuesday.mcap": "The folder tuesday has the same name. Rename one of them.",
        "linked.mcap": "It is a link, and the page follows none.",
        "folder.mcap": "It is not a file.",
    }


def test_another_page_may_list_a_new_recording_while_one_that_is_gone_is_forgotten(monday: Path) -> None:
    sessions = Sessions(monday.parent, monday.parent / "cache")

    class Gone(str):
        """Another page comes in between whenever this name is looked up."""

        def __hash__(self) -> int:
            sessions._known[f"new {len(sessions._known)}"] = None, {}
            return super().__hash__()

    sessions._known[Gone("gone")] = None, {}
    assert [entry["name"] for entry in sessions.list()] == ["monday"]
    assert "gone" not in list(sessions._known)


def test_a_recording_is_renamed_with_its_labels(serve: Serve, monday: Path) -> None:
    shutil.copy(labels_beside(monday), monday.with_name("monday-prompted.csv"))

    async def story(client: TestClient) -> None:
        assert (await client.post("/api/recordings/monday/rename", json={"to": "Mond (1)"})).status == 200
        assert (await client.post("/api/recordings/monday/rename", json={"to": "x"})).status == 404

    serve(story)
    names = {path.name for path in monday.parent.iterdir()}
    assert names == {"Mond (1).mcap", "Mond (1).csv", "Mond (1)-prompted.csv"}


def test_a_recording_is_deleted_with_its_labels(serve: Serve, monday: Path) -> None:
    shutil.copy(labels_beside(monday), monday.with_name("monday-prompted.csv"))

    async def story(client: TestClient) -> int:
        return (await client.post("/api/recordings/monday/delete", json={})).status

    assert serve(story) == 200
    assert list(monday.parent.iterdir()) == []


def test_a_table_of_several_recordings_is_not_deleted_with_one(serve: Serve, monday: Path) -> None:
    labels_beside(monday).write_text("start,end,activity,session\n1,2,walk,monday\n")

    async def story(client: TestClient) -> int:
        return (await client.post("/api/recordings/monday/delete", json={})).status

    assert serve(story) == 200
    assert [path.name for path in monday.parent.iterdir()] == ["monday.csv"]


def test_a_piece_is_a_recording_of_its_own_with_the_labels_in_it(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        asked = {"to": "piece", "start_s": 2.0, "end_s": 8.0}
        return await (await client.post("/api/recordings/monday/cut", json=asked)).json()

    assert serve(story) == {"name": "piece"}
    whole, piece = Recording(monday), Recording(monday.with_name("piece.mcap"))
    assert piece.duration_s == pytest.approx(6, abs=0.1)
    assert (piece.cut, piece.metadata["piece_of"]) == (False, "monday.mcap")
    assert "windows" not in piece.metadata
    inside = [e for e in whole.events() if isinstance(e, Sample)]
    first_ns, last_ns = whole.start_ns + 2 * NS, whole.start_ns + 8 * NS
    inside = [e for e in inside if first_ns <= e.arrival_ns <= last_ns]
    kept = [e for e in piece.events() if isinstance(e, Sample)]
    assert len(kept) == len(inside)
    for ours, theirs in zip(kept, inside):
        assert (ours.sensor, ours.stamp_ns, ours.arrival_ns) == (theirs.sensor, theirs.stamp_ns, theirs.arrival_ns)
        assert np.array_equal(ours.data, theirs.data, equal_nan=True)
    (rows,) = read_labels(labels_beside(piece.path), examples=1).values()
    shown = [(round((r.start_ns - whole.start_ns) / NS, 1), round((r.end_ns - whole.start_ns) / NS, 1)) for r in rows]
    assert shown == [(2, 3), (4, 6), (7, 8)]


@pytest.mark.parametrize(
    "start_s, end_s", [(-1, 3), (3, 3), (5, 4), (0, 99), ("a", 3), (None, 3), (float("nan"), 3), (1e300, 1e301)]
)
def test_a_piece_that_is_none_is_refused(serve: Serve, monday: Path, start_s: Any, end_s: Any) -> None:
    async def story(client: TestClient) -> int:
        data = json.dumps({"to": "p", "start_s": start_s, "end_s": end_s})
        headers = {"Content-Type": "application/json"}
        return (await client.post("/api/recordings/monday/cut", data=data, headers=headers)).status

    assert serve(story) == 400
    assert not monday.with_name("p.mcap").exists()


NAMES: List[Any] = [
    "../monday",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    ".hidden",
    "a\0b",
    "a\nb",
    "/etc/passwd",
    "x" * 200,
    " a",
    None,
    3,
    [],
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_no_name_leads_out_of_the_folder(serve: Serve, monday: Path, name: Any) -> None:
    async def story(client: TestClient) -> List[int]:
        asked = {"to": name, "start_s": 1, "end_s": 2}
        answers = [await client.post(f"/api/recordings/monday/{what}", json=asked) for what in ("rename", "cut")]
        return [answer.status for answer in answers]

    assert serve(story) == [400, 400]
    assert len(list(monday.parent.iterdir())) == 2
    assert len(list(monday.parent.parent.iterdir())) == 1


def test_a_link_in_the_folder_is_no_recording(serve: Serve, recordings: Path, tmp_path: Path, monday: Path) -> None:
    elsewhere = tmp_path / "secret.mcap"
    monday.rename(elsewhere)
    (recordings / "link.mcap").symlink_to(elsewhere)

    async def story(client: TestClient) -> Any:
        listed = await (await client.get("/api/recordings")).json()
        return listed["recordings"], (await client.post("/api/recordings/link/delete", json={})).status

    assert serve(story) == ([], 404)
    assert elsewhere.exists()


class _FarEnd:
    """A link on which nobody listens."""

    def __init__(self) -> None:
        self.said: queue.Queue[Dict[str, Any]] = queue.Queue()

    def send(self, command: Dict[str, Any]) -> None:
        self.said.put(command)


def test_a_prompted_recording_is_asked_of_the_run(serve: Serve, recordings: Path) -> None:
    link = _FarEnd()

    async def story(client: TestClient) -> Any:
        asked = {
            "name": "new",
            "prompt": "wave, 5, 2\nwalk, 4\n",
            "rest_s": 3,
            "expires": "30d",
            "participant": " P17 ",
        }
        answer = await client.post("/api/record", json=asked)
        wrong = [{"prompt": "wave"}, {"prompt": "wave, 5, 2", "rest_s": "x"}, {"expires": "soon"}, {"name": "../x"}]
        wrong += [{"participant": who} for who in (" ", "P\n17", "\ud800", "x" * 1001, 17, ["P17"])]
        refused = [(await client.post("/api/record", json={**asked, **w})).status for w in wrong]
        bad_word = (await client.post("/api/record/cue", json={"word": "rm"})).status
        return answer.status, await answer.json(), refused, bad_word

    assert serve(story, link=link) == (202, {"name": "new"}, [400] * 10, 400)
    assert link.said.get_nowait() == {
        "do": "record",
        "path": str(recordings / "new.mcap"),
        "expires": "30d",
        "participant": "P17",
        "activities": [["wave", 5.0, 2], ["walk", 4.0, 3]],
        "rest_s": 3.0,
    }
    assert link.said.empty()


def test_a_participant_that_is_none_is_refused_in_words(serve: Serve) -> None:
    async def story(client: TestClient) -> Any:
        asked = {"name": "new", "participant": "P\t17"}
        return (await (await client.post("/api/record", json=asked)).json())["error"]

    assert serve(story, link=_FarEnd()) == r"participant: 'P\t17': expected one line of text."


def test_a_table_of_an_older_recording_takes_a_name(serve: Serve, monday: Path) -> None:
    (monday.parent / "gone.csv").write_text("mine")

    async def story(client: TestClient) -> Any:
        new = await (await client.post("/api/record", json={"name": "gone"})).json()
        cut = {"to": "gone", "start_s": 1, "end_s": 5}
        piece = await (await client.post("/api/recordings/monday/cut", json=cut)).json()
        renamed = await client.post("/api/recordings/monday/rename", json={"to": "gone"})
        return new, piece, renamed.status, (await renamed.json())["error"]

    told = {"name": "gone-2"}, {"name": "gone-2"}, 409, "There is a table of labels gone.csv already."
    assert serve(story, link=_FarEnd()) == told
    assert (monday.parent / "gone.csv").read_text() == "mine"


def test_without_a_run_nothing_is_recorded(serve: Serve) -> None:
    async def story(client: TestClient) -> Any:
        answer = await client.post("/api/record", json={"name": "new"})
        return answer.status, (await answer.json())["error"]

    status, error = serve(story)
    assert status == 409
    assert "--sensors" in error


def test_the_run_records_what_the_page_asks_for_and_labels_it(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Merge
) -> None:
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda _, payload: told.append(json.loads(payload)), infos, {"source": "here"})
    path = tmp_path / "new.mcap"
    recorder.obey({"do": "record", "path": str(path), "activities": [["wave", 1.0, 2]], "rest_s": 1.0})
    recorder._work.submit(lambda: None).result(5)
    for event in by_arrival(samples("imu", 10, 18), samples("radar", 10, 18)):
        recorder.event(event)
        active = recorder._active
        while active and len(active.sink.writer._queue) > 500:
            active.sink.writer._closed.wait(0.01)
    recorder.close()
    assert told[-1]["name"] is None
    assert (told[-1]["kept"], told[-1]["labels"], told[-1]["prompted"]) == ("new", 2, True)
    (rows,) = read_labels(labels_beside(path)).values()
    assert [round((row.start_ns - rows[0].start_ns) / NS, 1) for row in rows] == [0, 2.5]
    assert Sessions(tmp_path, tmp_path / "cache").list()[0]["labels"] == {"wave": [2, 2.0]}
