"""A rig with two IMUs, a camera and a radar, from its first recording to a fine-tuned model, by the real commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.recording import Recording

_NAMES = ["wrist", "thigh", "depth", "radar"]
_KINDS = {"wrist": "imu", "thigh": "imu", "depth": "depth", "radar": "radar"}


def _label(path: Path) -> Path:
    """Labels each activity of the emulated person as two examples, where it is long enough and no window is cut off."""
    recording, truths, rows = Recording(path), TruthLine(), []
    for event in recording.events():
        if isinstance(event, Truth):
            truths.add(event)
    for segment in truths.segments():
        start_ns, end_ns = max(segment.start_ns, recording.start_ns + 2 * 10**9), segment.end_ns
        if end_ns - start_ns > 3.5e9 and end_ns < recording.start_ns + (recording.duration_s - 2) * 1e9:
            middle_ns = (start_ns + end_ns) // 2
            rows += [segment._replace(start_ns=start_ns, end_ns=middle_ns), segment._replace(start_ns=middle_ns)]
    write_labels(labels_beside(path), rows, recording)
    return labels_beside(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rig_with_two_imus_is_recorded_learned_recognised_and_fine_tuned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune = pytest.importorskip("cosmo_runtime.training.adapt.finetune")
    for name in "TURN_EPOCHS", "TURN_STEPS", "STEPS":
        monkeypatch.setattr(finetune, name, 10)  # whether it learns well is not the question here
    config = tmp_path / "rig.toml"
    config.write_text("".join(f'[sensors.{name}]\nkind = "{kind}"\n' for name, kind in _KINDS.items()))

    def cosmo(*words: object) -> str:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out + captured.err

    rig = ["--sensors", ",".join(_NAMES), "--config", config]
    monday, tuesday, live = (tmp_path / f"{name}.mcap" for name in ("monday", "tuesday", "live"))
    encoders, first, second = (tmp_path / name for name in ("encoders", "first", "second"))
    cosmo("record", *rig, "--emulate", "person", "--duration", 30, monday)
    cosmo("record", *rig, "--emulate", "person:3", "--duration", 30, tuesday)

    cosmo("pretrain", monday, tuesday, "--out", encoders, "--epochs", 1, "--batch", 16, "--cache", tmp_path / "cache")
    cosmo("finetune", "--labels", _label(monday), "--bundle", encoders, "--out", first)
    spec = load_bundle(first).spec
    assert (spec.sensors, spec.kinds) == (_NAMES, _KINDS)

    cosmo(*rig, "--bundle", first, "--emulate", "person", "--duration", 6, "--record", live, "--output", tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert lines[-2]["sensors"] == dict.fromkeys(_NAMES, "ok")
    assert min(lines[-2]["weights"].values()) > 0
    said = cosmo(*rig, "--bundle", first, "--replay", live, "--speed", "max", "--output", tmp_path / "b")
    assert f"bit for bit: {len(lines)} of {len(lines)}" in said
    again = [json.loads(line) for line in (tmp_path / "b").read_text().splitlines()]
    assert [line["probabilities"] for line in again] == [line["probabilities"] for line in lines]

    cosmo("finetune", "--labels", _label(tuesday), "--bundle", first, "--out", second)
    spec = load_bundle(second).spec
    assert (spec.sensors, spec.kinds) == (_NAMES, _KINDS)
    assert set(load_bundle(first).spec.classes) <= set(spec.classes)
    said = cosmo(*rig, "--bundle", second, "--replay", tuesday, "--speed", "max", "--output", tmp_path / "c")
    assert "windows wholly inside one activity" in said
