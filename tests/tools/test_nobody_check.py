"""The measurement of who is there, on short pieces of what it measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from cosmo_runtime.tools import nobody_check


def _measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> dict:
    monkeypatch.setattr(sys, "argv", ["nobody_check.py", *map(str, words)])
    nobody_check.main()
    return json.loads(capsys.readouterr().out)


def test_a_real_imu_at_rest_is_nobodys_and_raises_no_alarm(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _measured(capsys, monkeypatch, "captures", "--data", data_dir)["imu"]
    assert found["windows"] == found["nobody"] == found["not worn"] == 17
    assert found["fall"] == 0


def test_an_emulated_empty_room_raises_none_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _measured(capsys, monkeypatch, "rooms", "--minutes", 0.1, "--cache", tmp_path)
    assert {count["nobody"] / count["windows"] for count in found.values()} == {1.0}
    assert all(count["fall"] == 0 for count in found.values())


def test_somebody_whose_imu_lies_on_the_table_is_there_and_the_imu_is_not_worn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _measured(capsys, monkeypatch, "unworn", "--minutes", 0.2, "--cache", tmp_path)["imu,depth,radar"]
    assert found["not worn"] == found["windows"]
    assert found["nobody"] == 0
