from __future__ import annotations

import argparse
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Callable

import pytest

from cosmo_runtime.runtime.cli import rig
from cosmo_runtime.runtime.config import Config, load_config
from cosmo_runtime.runtime.run import Run


@pytest.mark.parametrize("comes", [True, False])
def test_a_signal_that_a_library_swallows_while_connecting_still_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    def swallowing(*_: object, make_stop: Callable[[], threading.Event], **__: Any) -> threading.Event:
        if comes:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        return make_stop()

    monkeypatch.setattr(rig, "open_live", swallowing)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    options = argparse.Namespace(sensors=("imu",), emulate=None, at_least=None)
    try:
        stop: Any = rig.connect_rig(options, Config(), ExitStack())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert stop.is_set() == comes


def test_a_recording_keeps_the_chirps_of_a_radar_beside_sensors_with_names(tmp_path: Path) -> None:
    (tmp_path / "room.cfg").write_text("frameCfg of this room")
    (tmp_path / "rig.toml").write_text('[radar]\ncfg = "room.cfg"\n[sensors.wrist]\nkind = "imu"\n')
    nobody = {"participant": None, "operator": None, "note": None, "consent_until": None}
    options = argparse.Namespace(sensors=["wrist", "radar"], config=tmp_path / "rig.toml", **nobody)
    run = Run(iter(()), {}, threading.Event(), "test", lambda at_ns: 0)
    assert rig.run_metadata(options, load_config(options.config), run)["chirps.radar"] == "frameCfg of this room"
