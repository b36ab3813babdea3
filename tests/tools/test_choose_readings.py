"""Who teaches the models by whose answers readings are chosen, and who is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.tools import choose_readings, train_everyday


def test_each_model_is_asked_about_those_who_did_not_teach_it_and_nobody_sees_7_and_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def chosen(spec: object, held_out: list, risk: float) -> tuple:
        asked.extend((one.network, one.real) for one in held_out)
        return (Reading(sensors=("imu",), expected={"fall": -1.5}, temperature=0.7, min_confidence=0.6),)

    monkeypatch.setattr(choose_readings, "lessons", lambda data, subjects, *_, **__: subjects)
    monkeypatch.setattr(choose_readings, "learn", lambda spec, taught_by, **_: taught_by)
    monkeypatch.setattr(choose_readings, "real_people", lambda data, subjects, cache: subjects)
    monkeypatch.setattr(choose_readings, "simulated", lambda *_: None)
    monkeypatch.setattr(choose_readings, "choose_readings", chosen)
    monkeypatch.setattr(choose_readings, "of_real_people", lambda *_: {"all sensors": {"right": 0.5}})
    monkeypatch.setattr(choose_readings, "READINGS", tmp_path / "readings.json")
    monkeypatch.setattr(sys, "argv", ["choose_readings.py", "--data", str(tmp_path)])
    choose_readings.main()
    assert asked == [([3, 4, 5, 6], (1, 2)), ([1, 2, 5, 6], (3, 4)), ([1, 2, 3, 4], (5, 6))]
    assert "subjects (3, 4): all sensors 50.0%" in capsys.readouterr().out
    (written,) = json.loads((tmp_path / "readings.json").read_text(encoding="utf-8"))
    assert Reading.model_validate(written).expected == {"fall": -1.5}


@pytest.mark.parametrize("only", ["", "simulated"])
def test_the_committed_readings_are_those_of_every_set_of_sensors(only: str) -> None:
    spec = train_everyday.read_spec(only)
    type(spec).model_validate(spec.model_dump())
    assert len(spec.readings) == 7
    assert spec.reading((True, True, True)) in spec.readings
    if only:
        assert all(reading.expected == train_everyday.ZERO_SHOT for reading in spec.readings)
