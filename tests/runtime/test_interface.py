from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import cosmo_runtime as cosmo
from cosmo_runtime.runtime.labels.table import LabelsError
from cosmo_runtime.sensors.events import Correction, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

_ROOT = Path(__file__).parents[2]
_RECORDING = _ROOT / "tests" / "data" / "format-1.mcap"


def test_a_recording_is_read_as_arrays_in_si_units() -> None:
    recording = cosmo.read_recording(_RECORDING)
    file = Recording(_RECORDING)
    assert recording.sensors == {"imu": "imu", "depth": "depth", "radar": "radar"}
    imu = recording["imu"]
    assert imu.values.shape == (len(imu.stamps_s), 9)
    assert 9 < np.linalg.norm(imu.values[:, :3], axis=1).mean() < 12
    assert (np.diff(imu.stamps_s) > 0).all()
    assert -0.5 < imu.stamps_s[0] < imu.stamps_s[-1] < file.duration_s + 0.5
    depth = recording["depth"].values
    assert depth.ndim == 3 and depth.dtype == np.float32
    assert 0.3 < depth[depth > 0].min() < depth.max() < 6.1
    assert all(frame.shape[1] == 5 for frame in recording["radar"].values)
    with pytest.raises(KeyError, match="has no sensor 'mat'; it has"):
        recording["mat"]


def test_a_model_answers_the_windows_of_a_recording() -> None:
    recording, model = cosmo.read_recording(_RECORDING), cosmo.load_model("person")
    windows = list(recording.windows(model))
    assert windows
    predictions = [model.predict(window) for window in windows]
    assert [prediction.window_end_ns for prediction in predictions] == [window.end_ns for window in windows]
    assert all(sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-4) for prediction in predictions)
    assert set(predictions[0].probabilities) == set(model.activities)


def test_a_window_of_another_model_is_refused_in_words() -> None:
    window = next(cosmo.read_recording(_RECORDING).windows(cosmo.load_model("everyday")))
    with pytest.raises(ValueError, match="cut windows for this model"):
        cosmo.load_model("person").predict(window)


def test_a_recording_without_a_sensor_of_the_model_has_no_windows_in_words(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap", {"thigh": SensorInfo("thigh", "none", 100, kind="imu")}) as writer:
        writer.write(Sample("thigh", 0, 0, np.zeros(9, np.float32)))
    with pytest.raises(ValueError, match=r"a\.mcap has none of the sensors of person, imu, depth, radar; it has thigh"):
        cosmo.read_recording(tmp_path / "a.mcap").windows(cosmo.load_model("person"))


def test_a_sensor_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="the model person knows no sensor wrist; it knows imu, depth, radar"):
        next(cosmo.recognise(["wrist"], emulate="person", model="person"))
    with pytest.raises(ValueError, match="the model person knows no sensor wrist; it knows"):
        next(cosmo.recognise("imu, wrist", emulate="person", model="person"))


@pytest.mark.slow
def test_a_loop_that_takes_predictions_too_slowly_gets_no_old_ones() -> None:
    ends = []
    for prediction in cosmo.recognise(["imu"], emulate="person", seconds=9):
        ends.append(prediction.window_end_ns)
        if len(ends) == 1:
            time.sleep(6.5)
    gaps = np.diff(ends)
    assert gaps.max() > 5e9, "what came while nobody looked is left out"
    assert gaps[-1] <= 1e9


def test_what_a_correction_took_off_is_told_with_each_stamp(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.mcap", {"imu": SensorInfo("imu", "none", 100)}) as writer:
        for number in range(100):
            if number == 50:
                writer.write(Correction("imu", 5 * 10**8, 3 * 10**8))
            taken_off_ns = 3 * 10**8 if number >= 50 else 0
            at_ns = 10**9 + number * 10**7
            writer.write(Sample("imu", at_ns - taken_off_ns, at_ns, np.zeros(9, np.float32)))
    imu = cosmo.read_recording(tmp_path / "a.mcap")["imu"]
    assert np.diff(imu.stamps_s).min() < -0.2
    assert np.diff(imu.stamps_s + imu.taken_off_s) == pytest.approx(0.01)


def test_labels_come_back_as_they_were_written(tmp_path: Path) -> None:
    recording, table = cosmo.read_recording(_RECORDING), tmp_path / "labels.csv"
    labels = [cosmo.Label(0.5, 1.25, "wave"), cosmo.Label(1.5, 2.0, "wave")]
    recording.write_labels(table, labels)
    for read, written in zip(recording.labels(table), labels):
        assert read[:2] == pytest.approx(written[:2], abs=2e-3)
        assert read.activity == written.activity
    with pytest.raises(LabelsError, match="exists"):
        recording.write_labels(table, labels)
    table.write_text(f"start,end,activity,session\n0.5,1.25,wave,{_RECORDING}\n")
    assert [label.activity for label in recording.labels(table)] == ["wave"]  # one example, and its own word for whose


def test_windows_get_the_label_at_their_middle(tmp_path: Path) -> None:
    recording, model, table = cosmo.read_recording(_RECORDING), cosmo.load_model("person"), tmp_path / "labels.csv"
    *_, last = recording.windows(model)
    middle_s = (last.end_ns - recording.start_ns) * 1e-9 - model.spec.window_s / 2
    assert 0 < middle_s < recording.duration_s
    recording.write_labels(table, [cosmo.Label(middle_s - 0.01, middle_s + 0.01, "wave")])
    ((window, activity),) = recording.labelled_windows(model, table)
    assert (window.end_ns, activity) == (last.end_ns, "wave")
    assert window.digest() == last.digest()


def test_the_pages_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    shutil.copy(_RECORDING, tmp_path / "session.mcap")
    monkeypatch.chdir(tmp_path)
    page = (_ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, names)
    out = capsys.readouterr().out
    assert "m/s², rad/s, µT" in out
    assert out.count("wave") >= 2
    assert re.search(r"\d+%", out)


def test_the_example_of_the_exported_network_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(_ROOT / "models" / "bundles" / "person", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (_ROOT / "docs" / "models.md").read_text("utf-8"), re.DOTALL)
    exec(example, {})
    assert "['imu', 'depth', 'radar']" in capsys.readouterr().out


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cosmo.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ((50, 100, "wave"), "wave, 50 to 100 s: the recording has 0 to "),
        ((-1, 1, "wave"), "wave, -1 to 1 s: the recording has 0 to "),
        ((1, 1.0001, "wave"), "a label ends after its start"),
        ((float("nan"), 1, "wave"), "wave, nan to 1 s: the recording has 0 to "),
        ((0.5, 1.5, "sit"), "wave and sit overlap at 0.5 s"),
        ((1, 2, " "), "names no activity"),
        ((1, 2, "uncertain"), "'uncertain' is not an activity"),
    ],
)
def test_no_label_is_written_that_could_not_be_read(tmp_path: Path, label: tuple, why: str) -> None:
    recording, table = cosmo.read_recording(_RECORDING), tmp_path / "labels.csv"
    with pytest.raises(LabelsError, match=re.escape(why)):
        recording.write_labels(table, [cosmo.Label(0, 1, "wave"), cosmo.Label(*label)])
    assert not table.exists()


def test_rows_of_a_recording_that_is_gone_are_left_out(tmp_path: Path) -> None:
    table = tmp_path / "both.csv"
    table.write_text(f"start,end,activity,session\n0,1,wave,{_RECORDING}\n1,2,sit,{tmp_path / 'gone.mcap'}\n")
    assert cosmo.read_recording(_RECORDING).labels(table) == [cosmo.Label(0, 1, "wave")]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused_at_once(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        cosmo.recognise(["imu"], emulate="person", seconds=seconds)


def test_a_model_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("cosmo_runtime.runtime.interface.load_model", lambda name: asked.append(name) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(cosmo.recognise(["imu"], emulate="person", model="person"))
    assert asked == ["person"]
