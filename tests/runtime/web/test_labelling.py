from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, List

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmo_runtime.runtime.labels.exchange import Label, to_elan, to_label_studio
from cosmo_runtime.runtime.labels.table import labels_beside, read_labels
from cosmo_runtime.runtime.web.server import HUB, Settings
from cosmo_runtime.sensors.recording import Recording
from tests.runtime.web.conftest import Serve, served

LABELS = "/api/recordings/monday/labels"
ROWS = [[1.0, 3.0, "walk"], [4.0, 6.0, "wave"], [7.0, 9.0, "walk"], [9.0, 11.0, "wave"]]


def test_labels_are_read_and_saved_as_finetune_reads_them(serve: Serve, monday: Path) -> None:
    rows = [[0.5, 2.0, "sit  down"], [2.0, 3.25, "wave"], [5.0, 6.0, "sit down"], [7.0, 8.5, "wave"]]

    async def story(client: TestClient) -> Any:
        before = await (await client.get(LABELS)).json()
        saved = await client.post(LABELS, json={"version": before["version"], "labels": rows})
        return before, saved.status, await (await client.get(LABELS)).json()

    before, status, after = serve(story)
    assert (before["labels"], before["problem"], status) == (ROWS, "", 200)
    assert after["labels"] == [[a, b, " ".join(c.split())] for a, b, c in rows]
    (segments,) = read_labels(labels_beside(monday)).values()
    assert [segment.activity for segment in segments] == ["sit down", "wave"] * 2


def test_labels_in_seconds_are_read_without_the_recording(
    serve: Serve, monday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_all(recording: Recording) -> Any:
        raise AssertionError(f"{recording.path} is read, which takes minutes if it is long")

    monkeypatch.setattr(Recording, "_messages", read_all)

    async def story(client: TestClient) -> Any:
        listed = (await (await client.get("/api/recordings")).json())["recordings"]
        return listed[0]["labels"], (await (await client.get("/api/recordings/monday/labels")).json())["problem"]

    assert serve(story) == ({"walk": [2, 4.0], "wave": [2, 4.0]}, "")


def test_what_a_model_could_not_tell_is_opened_to_be_named(serve: Serve, monday: Path) -> None:
    labels_beside(monday).write_text("start,end,activity\n1,3,walk\n4,6,uncertain\n7,9,Uncertain\n")
    rows = [[1.0, 3.0, "walk"], [4.0, 6.0, "uncertain"], [7.0, 9.0, "uncertain"]]

    async def story(client: TestClient) -> Any:
        listed = (await (await client.get("/api/recordings")).json())["recordings"][0]
        opened = await (await client.get(LABELS)).json()
        given = await (await client.get(LABELS + "/export/audacity")).text()
        named = [*rows[:2], [7.0, 9.0, "wave"]]
        saved = await client.post(LABELS, json={"version": opened["version"], "labels": named})
        cut = {"to": "piece", "start_s": 2, "end_s": 8}
        assert (await client.post("/api/recordings/monday/cut", json=cut)).status == 200
        taken = await client.post(LABELS + "/import", data=labels_beside(monday).read_bytes())
        return listed, opened, given, saved.status, await (await client.get(LABELS)).json(), await taken.json()

    listed, opened, given, status, again, taken = serve(story)
    assert (listed["labels"], listed["uncertain"], listed["problem"]) == ({"walk": [1, 2.0]}, 2, "")
    assert (opened["labels"], opened["problem"]) == (rows, "")
    assert given == "1.000000\t3.000000\twalk\n"  # nothing else is known
    assert (status, again["labels"][1:]) == (200, [rows[1], [7.0, 9.0, "wave"]])
    assert taken["labels"] == again["labels"]
    piece = labels_beside(monday.with_name("piece.mcap")).read_text().splitlines()
    assert [row.rpartition(",")[2] for row in piece[2:]] == ["walk", "uncertain", "wave"]


def test_a_second_tab_is_told_and_destroys_nothing(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        for _ in "alarms", "history":
            await socket.receive()
        version = (await (await client.get(LABELS)).json())["version"]
        first = await client.post(LABELS, json={"version": version, "labels": ROWS[:2], "tab": "one"})
        told = json.loads((await asyncio.wait_for(socket.receive(), 60)).data)
        second = await client.post(LABELS, json={"version": version, "labels": [], "tab": "two"})
        return first.status, told, second.status, await second.json()

    first, told, second, answer = serve(story)
    assert (first, second) == (200, 409)
    assert (told["kind"], told["name"], told["tab"]) == ("labels", "monday", "one")
    assert (answer["labels"], answer["version"]) == (ROWS[:2], told["version"])


def test_tabs_that_save_at_once_take_turns(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> List[int]:
        version = (await (await client.get(LABELS)).json())["version"]
        asked = [{"version": version, "labels": [[1.0, 2.0 + n, "walk"]]} for n in range(6)]
        answers = await asyncio.gather(*(client.post(LABELS, json=one) for one in asked))
        return sorted(answer.status for answer in answers)

    assert serve(story) == [200, 409, 409, 409, 409, 409]


def test_labels_that_an_editor_changed_meanwhile_are_not_overwritten(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> int:
        version = (await (await client.get(LABELS)).json())["version"]
        labels_beside(monday).write_text("start,end,activity\n1,2,walk\n")
        return (await client.post(LABELS, json={"version": version, "labels": []})).status

    assert serve(story) == 409
    assert labels_beside(monday).read_text() == "start,end,activity\n1,2,walk\n"


def test_labels_that_a_prompt_would_replace_are_refused_until_the_recording_has_ended(
    serve: Serve, monday: Path
) -> None:
    async def story(client: TestClient) -> Any:
        hub, statuses, problems = client.app[HUB], [], []
        for name in "monday", None:
            hub.publish("recording", json.dumps({"kind": "recording", "name": name}))
            opened = await (await client.get(LABELS)).json()
            saved = await client.post(LABELS, json={"version": opened["version"], "labels": ROWS[:1]})
            statuses.append((saved.status, (await saved.json()).get("error", "")))
            problems.append(opened["problem"])
        return statuses, problems

    before = labels_beside(monday).read_bytes()
    words = "monday is still being recorded. It can be labelled when that has ended."
    assert serve(story) == ([(409, words), (200, "")], [words, ""])
    assert labels_beside(monday).read_bytes() != before


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 3, "walk"], [2, 4, "wave"]],
        [[3, 1, "walk"]],
        [[1, 99, "walk"]],
        [[-1, 2, "walk"]],
        [[1, 2, ""]],
        [[1, 2, "a\x1b"]],
        [[1, 2, "x" * 300]],
        [[1, 2]],
        [["1", None, "walk"]],
        "labels",
        None,
        [None],
        [[1, 1.0001, "walk"]],
    ],
    ids=repr,
)
def test_labels_that_are_none_are_refused_and_nothing_is_lost(serve: Serve, monday: Path, labels: Any) -> None:
    before = labels_beside(monday).read_bytes()

    async def story(client: TestClient) -> int:
        version = (await (await client.get(LABELS)).json())["version"]
        return (await client.post(LABELS, json={"version": version, "labels": labels})).status

    assert serve(story) == 400
    assert labels_beside(monday).read_bytes() == before


def test_a_table_that_is_not_understood_is_told_and_left_alone(serve: Serve, monday: Path) -> None:
    labels_beside(monday).write_text("start,end,activity,session\n1,2,walk,tuesday\n")

    async def story(client: TestClient) -> Any:
        return await (await client.get(LABELS)).json()

    told = serve(story)
    assert told["labels"] == []
    assert "tuesday" in told["problem"] or "several" in told["problem"]


@pytest.mark.parametrize("row", ["1,2,walk,tuesday", "1,2,walk,monday\n3,4,walk,tuesday"])
def test_a_table_of_several_recordings_is_not_written_over(serve: Serve, monday: Path, row: str) -> None:
    async def story(client: TestClient) -> Any:
        labels_beside(monday).write_text(f"start,end,activity,session\n{row}\n")
        version = (await (await client.get(LABELS)).json())["version"]
        answer = await client.post(LABELS, json={"version": version, "labels": ROWS})
        return answer.status, await answer.json()

    status, told = serve(story)
    assert (status, told["error"]) == (409, told["problem"])
    assert labels_beside(monday).read_text() == f"start,end,activity,session\n{row}\n"


@pytest.mark.parametrize("form", ["audacity", "elan", "label-studio"])
def test_labels_go_to_other_tools_and_come_back(serve: Serve, monday: Path, form: str) -> None:
    async def story(client: TestClient) -> Any:
        file = await client.get(f"{LABELS}/export/{form}")
        return file.headers, await (await client.post(f"{LABELS}/import", data=await file.read())).json()

    headers, taken = serve(story)
    assert "attachment" in headers["Content-Disposition"]
    assert taken == {"labels": ROWS, "outside": 0, "short": 0}


def test_labels_that_are_left_out_of_a_file_are_counted(serve: Serve, monday: Path) -> None:
    instant, nearly, before, after = (3, 3), (5, 5.0004), (-3, -2), (99, 100)
    rows = [Label(*times, "walk") for times in [(1, 2), instant, nearly, before, after, (-1, 0.5)]]
    document = to_label_studio(rows, "monday").encode()

    async def story(client: TestClient) -> Any:
        taken = await (await client.post(f"{LABELS}/import", data=document)).json()
        point = await client.post(f"{LABELS}/import", data=to_label_studio(rows[1:2], "monday").encode())
        return taken, point.status, await point.json()

    taken, status, refused = serve(story)
    assert taken == {"labels": [[0, 0.5, "walk"], [1, 2, "walk"]], "outside": 2, "short": 2}
    assert (status, refused["error"]) == (400, "Its labels are too short.")


def test_a_spreadsheet_s_table_is_taken_over(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> Any:
        data = "\ufeffStart;End;Activity\r\n1,5;2,25;walk\r\n".encode()
        return await (await client.post(f"{LABELS}/import", data=data)).json()

    assert serve(story)["labels"] == [[1.5, 2.25, "walk"]]


@pytest.mark.parametrize(
    "data", [b"", b"<a/>", b"[]", b"{", b"hello", b"\xff\xfe", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>']
)
def test_a_file_that_is_none_is_refused(serve: Serve, monday: Path, data: bytes) -> None:
    async def story(client: TestClient) -> int:
        return (await client.post(f"{LABELS}/import", data=data)).status

    assert serve(story) == 400


def test_labels_of_another_tool_that_overlap_are_refused(serve: Serve, monday: Path) -> None:
    document = to_elan([Label(1, 3, "walk"), Label(2.5, 4, "wave")]).encode()

    async def story(client: TestClient) -> Any:
        answer = await client.post(f"{LABELS}/import", data=document)
        return answer.status, await answer.text()

    status, text = serve(story)
    assert (status, "walk and wave overlap at 2.5 s" in text) == (400, True)


def test_an_upload_is_bounded(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> int:
        return (await client.post(f"{LABELS}/import", data=b"x" * (5 << 20))).status

    assert serve(story) == 413


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda t: t.encode(errors="replace"))))
def test_no_file_brings_a_traceback(monday: Path, content: bytes) -> None:
    async def play() -> None:
        async with served(Settings(monday.parent)) as client:
            answer = await client.post(f"{LABELS}/import", data=content)
            assert answer.status < 500, await answer.text()

    asyncio.run(play())
