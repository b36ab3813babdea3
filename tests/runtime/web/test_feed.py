from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.web.feed import PageFeed
from cosmo_runtime.runtime.web.pictures import small_picture
from cosmo_runtime.sensors.events import Sample, StateChange
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]


class _Heard(List[Tuple[str, Any]]):
    def __call__(self, key: str, payload: Any) -> None:
        self.append((key, payload))

    def of(self, key: str) -> List[Any]:
        return [payload for heard, payload in self if heard == key]


@pytest.fixture
def heard() -> _Heard:
    return _Heard()


@pytest.fixture
def feed(heard: _Heard, spec: ModelSpec, infos: Dict[str, SensorInfo]) -> PageFeed:
    return PageFeed(heard, spec, infos, "here", lambda _: 10**18)


def _unpacked(message: bytes) -> Tuple[Dict[str, Any], bytes]:
    head, _, data = message.partition(b"\n")
    return json.loads(head), data


def test_pictures_come_ten_times_a_second_however_many_a_camera_takes(
    feed: PageFeed, heard: _Heard, samples: Samples
) -> None:
    for sample in samples("depth", 10, 14):
        feed.event(sample)
    pictures = heard.of("frame depth")
    assert 4 * 5 <= len(pictures) <= 4 * 10 + 1  # 15 frames a second: every second one at least
    head, data = _unpacked(pictures[0])
    assert (head["columns"], head["rows"], len(data)) == (12, 8, 96)


def test_an_imu_is_drawn_at_fifty_hertz(feed: PageFeed, heard: _Heard, samples: Samples) -> None:
    made = samples("imu", 10, 12)
    for sample in made:
        feed.event(sample)
    rows = []
    for message in heard.of("imu imu"):
        head, data = _unpacked(message)
        rows.append(np.frombuffer(data, np.float32).reshape(head["rows"], 7))
    drawn = np.concatenate(rows)
    assert 90 <= len(drawn) <= 101
    assert np.allclose(drawn[0, 1:], made[1].data[:6])


def test_a_sensor_out_of_step_and_one_that_was_put_in_step_are_told_at_once(feed: PageFeed, heard: _Heard) -> None:
    feed.out_of_step({"radar": 180.0})
    told = json.loads(heard.of("sensors")[-1])["sensors"]
    assert (told["radar"]["behind_ms"], told["imu"]["behind_ms"]) == (180, 0)
    feed.out_of_step({})
    feed.corrected({"radar": 180.0})
    told = json.loads(heard.of("sensors")[-1])["sensors"]["radar"]
    assert (told["behind_ms"], told["corrected_ms"]) == (0, 180)


def test_a_lost_sensor_is_told_at_once(feed: PageFeed, heard: _Heard) -> None:
    feed.event(StateChange("radar", 5 * 10**9, "lost", "unplugged"))
    assert json.loads(heard.of("sensors")[-1])["sensors"]["radar"]["state"] == "lost"


def test_a_depth_picture_tells_near_from_far_and_from_nothing() -> None:
    image = np.array([[0, 400, 3200, 6000, 60000]], np.uint16)
    assert small_picture(image, 0.001)[0].tolist() == [0, 1, 128, 255, 255]
    wide = np.tile(image, (480, 200))
    assert small_picture(wide, 0.001).shape == (96, 200)


def test_the_page_is_told_when_a_recording_has_stopped(
    heard: _Heard, spec: ModelSpec, infos: Dict[str, SensorInfo], tmp_path: Path
) -> None:
    writer = RecordingWriter(tmp_path / "run.mcap", infos)
    recording = RecordingSink(writer)
    feed = PageFeed(heard, spec, infos, "here", lambda _: 10**18, [recording])
    writer.failure = RecordingError("run.mcap: recording stopped: No space left on device")
    feed.event(StateChange("imu", 0, "ok"))
    recording.close()
    troubles = [json.loads(message)["troubles"] for message in heard.of("sensors")]
    assert troubles == [[], ["run.mcap: recording stopped: No space left on device"]]
