"""A server in this process, and a client that speaks to it."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator, Awaitable, Callable, List, Optional, Union

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient, TestServer

from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.web.server import Settings, make_app
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter, SegmentedWriter
from tests.runtime.conftest import make_infos

Story = Callable[[TestClient], Awaitable[Any]]
Serve = Callable[..., Any]
Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Any]]
NS = 10**9
HOP_NS = NS // 2


@asynccontextmanager
async def served(settings: Settings, link: Any = None) -> AsyncIterator[TestClient]:
    client: TestClient = TestClient(TestServer(make_app(settings, link)))
    await client.start_server()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(recordings: Path) -> Serve:
    """Runs a story against a server of ``recordings``."""

    def run(story: Story, token: Optional[str] = None, link: Any = None) -> Any:
        async def play() -> Any:
            async with served(Settings(recordings, token, home=recordings / "no home"), link) as client:
                return await asyncio.wait_for(story(client), 60)

        return asyncio.run(play())

    return run


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory, samples: Samples, by_arrival: Merge) -> Path:
    """A folder of two recordings of the last twelve seconds with the same labels, one of them in segments."""
    folder, infos = tmp_path_factory.mktemp("recorded"), make_infos()
    now_s = int(time.monotonic())  # for a writer notes what the clocks show
    events = by_arrival(*(samples(name, now_s - 12, now_s) for name in infos))
    one = RecordingWriter(folder / "monday.mcap", infos, {"windows": "some", "bundle": "tiny"})
    several = SegmentedWriter(folder / "tuesday", make_infos(), {"bundle": "tiny"}, segment_s=3)
    for writer in one, several:
        _write(writer, events)
        _labelled(writer.path)
    return folder


@pytest.fixture
def monday(recordings: Path, recorded_once: Path) -> Path:
    """A recording of twelve seconds, with labels."""
    shutil.copy(str(recorded_once / "monday.csv"), str(recordings))
    return Path(shutil.copy(str(recorded_once / "monday.mcap"), str(recordings)))


@pytest.fixture
def tuesday(recordings: Path, recorded_once: Path) -> Path:
    """A recording of twelve seconds in segments, with the same labels."""
    shutil.copy(str(recorded_once / "tuesday.csv"), str(recordings))
    return Path(shutil.copytree(str(recorded_once / "tuesday"), str(recordings / "tuesday"), copy_function=shutil.copy))


def _write(writer: Union[RecordingWriter, SegmentedWriter], events: List[Sample]) -> None:
    """Writes samples, and a prediction every half second after the first second."""
    first_ns, hop = events[0].arrival_ns, 0
    with writer:
        for event in events:
            writer.write(event)
            if event.arrival_ns // HOP_NS > hop and event.arrival_ns > first_ns + NS:
                hop = event.arrival_ns // HOP_NS
                activity = "walk" if hop * HOP_NS < first_ns + 7 * NS else "wave"
                told = {"window_end_ns": hop * HOP_NS, "activity": activity, "confidence": 0.8}
                writer.write_json("/predictions/details", event.arrival_ns, told)
            while writer.queued > 1000 or (isinstance(writer, SegmentedWriter) and _is_opening(writer)):
                time.sleep(0.001)
    assert writer.dropped == 0


def _is_opening(writer: SegmentedWriter) -> bool:
    return writer._opening is not None and writer._opening.is_alive()


def _labelled(path: Path) -> Path:
    recording = Recording(path)
    start_ns = recording.start_ns
    rows = [(1, 3, "walk"), (4, 6, "wave"), (7, 9, "walk"), (9, 11, "wave")]
    write_labels(labels_beside(path), [Segment(start_ns + a * NS, start_ns + b * NS, c) for a, b, c in rows], recording)
    return path
