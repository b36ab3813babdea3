"""The health of a run in a real broker, of the parts that ``--home`` opens."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Callable, List, Optional

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.cli import default
from cosmo_runtime.runtime.cli.home import open_home
from cosmo_runtime.runtime.config import parse_config
from cosmo_runtime.runtime.health.heartbeat import FILE
from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.run import Run
from tests.runtime.health.test_vitals import infos, outcome

_TOPIC = "cosmo/cosmo-test/health"


def test_the_health_that_a_broker_keeps_names_no_trouble_that_is_over(
    broker: Any, make_home: Any, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    text = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ndevice = "cosmo-test"'
    options = default.parser().parse_args(["--sensors", "imu", "--home", str(tmp_path / "home")])
    run = Run(iter(()), infos(), threading.Event(), "test", lambda at_ns: 0)
    home = open_home(options, parse_config(text, Path("cosmo.toml")), tiny_bundle, run, {})
    assert home
    vitals = Vitals(infos(), others=home.troubles)
    vitals.outcome(outcome(imu="ok", radar="ok"))
    hears, beat = make_home(broker), home.heartbeat(vitals)
    beat._every_s = 3600  # what is told comes of the broker's change, or not at all

    def kept() -> List[str]:
        """What the health that the broker keeps says of the broker; ["none"] where it keeps none."""
        return [trouble for trouble in _health(hears.retained().get(_TOPIC)) if trouble.startswith(("MQTT", "none"))]

    try:
        with beat:
            _wait(lambda: kept() == [])
            broker.kill()
            _wait(lambda: any(trouble.startswith("MQTT") for trouble in _health((home.folder / FILE).read_text())))
            broker.start()
            _wait(lambda: kept() == [])
    finally:
        home.queue.close()


def _health(message: Optional[str]) -> List[str]:
    return list(json.loads(message)["troubles"]) if message else ["none"]


def _wait(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)
