"""A fifth kind of sensor, defined outside the project, is recorded, replayed, learned, exported and recognised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.kinds import ENTRY_POINTS, Kinds, UnknownKind
from cosmo_runtime.models.kinds import KINDS
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.runtime.sinks.view import SIGNALS
from cosmo_runtime.sensors.kinds import SENSORS
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.samples import CODECS


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The mat's package is installed, as pip would leave it, until the test ends."""
    package = tmp_path / "site" / "pressure_mat-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pressure-mat\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nmat = tests.pressure_mat:register\n")
    monkeypatch.syspath_prepend(str(package.parent))
    for table in (SENSORS, CODECS, SIGNALS, KINDS, pytest.importorskip("cosmo_runtime.training.augment").CHANGES):
        monkeypatch.setattr(table, "_rows", dict(table._rows))


def test_a_table_refuses_unknown_kinds_and_two_of_one_name() -> None:
    table: Kinds[int] = Kinds("how many legs it has")
    table.register("dog", 4)
    table.register("dog", 4)
    assert table["dog"] == 4
    with pytest.raises(UnknownKind, match=r"unknown kind of sensor 'smell'.*how many legs it has.*known are dog"):
        table["smell"]
    with pytest.raises(ValueError, match="two kinds of sensor called 'dog'"):
        table.register("dog", 5)


@pytest.mark.slow
def test_a_kind_of_another_package_is_recorded_replayed_learned_exported_and_recognised(
    installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.progress import Progress

    from cosmo_runtime.training.cosmo.method import Cosmo
    from cosmo_runtime.training.datasets import recording as recordings
    from cosmo_runtime.training.export import export
    from cosmo_runtime.training.methods import Budget, Lesson

    config = tmp_path / "rig.toml"
    config.write_text('[sensors.wrist]\nkind = "imu"\n[sensors.bed]\nkind = "mat"\ncolumns = 8\n')
    file = tmp_path / "night.mcap"
    rig = ["--sensors", "wrist,bed", "--config", str(config)]
    assert main(["record", *rig, "--emulate", "person", "--duration", "8", str(file)]) == 0
    recording = Recording(file)
    assert {name: info.kind for name, info in recording.infos.items()} == {"wrist": "imu", "bed": "mat"}

    spec = ModelSpec(
        modalities=(
            ModalitySpec(sensor="wrist", kind="imu", rate_hz=20, shape=(6,)),
            ModalitySpec(sensor="bed", kind="mat", rate_hz=10, shape=(4, 8)),
        ),
        window_s=1,
        hop_s=0.25,
        classes=("still", "moving"),
        quality=(0.5, 0.5),
    )
    windows = recordings.windows(file, spec, tmp_path / "cache", None)
    assert len(windows) > 20
    assert windows.kinds == {"wrist": "imu", "bed": "mat"}
    assert windows.features["bed"].shape[1:] == (10, 4, 8)
    assert np.ptp(windows.features["bed"]) > 0.5
    labelled = windows.__class__(
        windows.features,
        windows.presence,
        np.arange(len(windows)) % 2,
        windows.groups,
        windows.recordings,
        windows.kinds,
    )
    trained = Cosmo().train(Lesson(spec, labelled, Budget(pretrain_epochs=1, epochs=5), 0, Progress(disable=True)))
    bundle = export(tmp_path / "bundle", trained.spec, trained.network, provenance={}, metrics={})
    capsys.readouterr()
    words = [*rig, "--replay", str(file), "--speed", "max", "--bundle", str(bundle.path), "--output", "-"]
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 20
    assert set(lines[-1]["sensors"]) == {"wrist", "bed"}
    assert all(line["sensors"] == {"wrist": "ok", "bed": "ok"} for line in lines[2:-2])
    assert min(lines[5]["weights"].values()) > 0
