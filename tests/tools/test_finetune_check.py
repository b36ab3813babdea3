"""What sessions are made of, against the motions that they record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.tools import finetune_check


def test_what_comes_later_is_the_same_motion_some_time_on() -> None:
    person = SimulatedPerson(3, HALF_CAMERA)
    later = finetune_check.Later(person, 20.0)
    times_s = np.array([0.5, 1.25])
    np.testing.assert_array_equal(later.imu(times_s, "wrist"), person.imu(times_s + 20))
    np.testing.assert_array_equal(later.depth(1.0), person.depth(21.0))
    np.testing.assert_array_equal(later.radar(1.0), person.radar(21.0))
    starts = later.activities(30.0)
    assert starts[0].start_s == 0
    assert starts[0].activity == [start for start in person.activities(60.0) if start.start_s <= 20][-1].activity
    assert [start.start_s + 20 for start in starts[1:]] == [
        s.start_s for s in person.activities(50.0) if s.start_s > 20
    ]


def test_one_window_has_its_middle_in_the_middle_of_an_action() -> None:
    for start_ns in range(0, 10**9, 77_777_777):
        half_second = finetune_check.middle_of(Segment(start_ns, start_ns + 2 * 10**9, "wave"))
        assert half_second.end_ns - half_second.start_ns == 500_000_000
        assert half_second.start_ns + half_second.end_ns == 2 * start_ns + 2 * 10**9


def test_new_activities_are_counted_apart_from_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replay(words: Sequence[str]) -> int:
        told = [("squat", "squat"), ("uncertain", "squat"), ("walk", "walk"), ("walk", "walk"), ("squat", "walk")]
        lines = [json.dumps({"activity": answer, "truth": truth}) for answer, truth in told]
        Path(words[words.index("--output") + 1]).write_text("\n".join(lines))
        Path(words[words.index("--summary") + 1]).write_text('{"activities": {"right": 3, "total": 4}}')
        return 0

    monkeypatch.setattr(finetune_check, "cosmo_runtime", replay)
    assert finetune_check.replayed(tmp_path / "test.mcap", tmp_path, tmp_path, ["squat"]) == {
        "activities": 0.75,
        "windows": 0.6,
        "windows of new activities": 0.5,
        "windows of others": pytest.approx(2 / 3),
    }
    assert finetune_check.replayed(tmp_path / "test.mcap", tmp_path, tmp_path, []) == {
        "activities": 0.75,
        "windows": 0.6,
    }


@pytest.mark.slow
def test_one_command_measures_what_a_person_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_check, "MINUTES", 2.0)  # in which this person does each of the three twice
    words = ["person", "--subject", "900", "--base", str(SIMULATED_BUNDLE), "--new", "squat,clap,punch", "--seeds", "1"]
    try:
        finetune_check.main([*words, "--json", str(tmp_path / "figures.json")])
    except SensorError as error:
        pytest.skip(str(error))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["before"]["activities"] > 0.8
    assert figures["runs"][0]["test"]["activities"] > 0.8


def test_a_recording_made_without_waiting_holds_all_that_was_done(tmp_path: Path) -> None:
    try:
        done = finetune_check.record(SimulatedPerson(3, HALF_CAMERA), 12.0, 1, tmp_path / "person.mcap")
    except SensorError as error:
        pytest.skip(str(error))
    recording = Recording(tmp_path / "person.mcap")
    assert recording.dropped == 0
    assert recording.duration_s > 11.9  # and more where the machine is slow: the writer notes the clock as it goes
    truths = SimulatedPerson(3).activities(12.0)
    assert [segment.activity for segment in done] == [truth.activity for truth in truths]
    assert done[0].start_ns == recording.start_ns
    assert done[-1].end_ns == recording.start_ns + 12 * 10**9


def test_what_cannot_be_is_told_before_anything_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["person", "--subject", "900", "--base"]
    for base, figures, told in (
        (tmp_path, tmp_path / "x.json", f"--base: {tmp_path}"),
        (SIMULATED_BUNDLE, tmp_path / "none" / "x.json", f"there is no folder {tmp_path}/none"),
        (SIMULATED_BUNDLE, tmp_path, f"--json {tmp_path} cannot be written: Is a directory"),
    ):
        with pytest.raises(SystemExit):
            finetune_check.main([*words, str(base), "--json", str(figures)])
        assert told in capsys.readouterr().err
