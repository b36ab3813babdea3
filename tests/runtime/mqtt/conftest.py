"""A real broker: Debian's mosquitto, started on a free port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from tests.free_port import free_port

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install '.[mqtt]'")

_MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Broker:
    """Mosquitto, which can be killed, stopped and started again."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""  # else it would become one who may not read our files
        self._config.write_text(f"{user}listener {self.port} 127.0.0.1\n{extra}\n")
        self._process: Optional[subprocess.Popen] = None
        self.start()

    def start(self) -> None:
        assert _MOSQUITTO
        self._process = subprocess.Popen([_MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "mosquitto does not start"
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


class Home:
    """A client that hears everything, as a home automation would, from when it is made."""

    def __init__(self, port: int, **login: str) -> None:
        self.heard: List[Tuple[str, str, bool]] = []
        self._changed = threading.Condition()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(**login)
        self._client.on_message = self._take
        self._hears = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._hears.set()
        self._client.on_disconnect = lambda *_: self._hears.clear()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._hears.wait(60)

    def _take(self, client: Any, data: Any, message: Any) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload.decode(), bool(message.retain)))
            self._changed.notify_all()

    def say(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(60)

    def payloads(self, topic: str) -> List[str]:
        return [payload for heard, payload, _ in list(self.heard) if heard == topic]

    def wait_for(self, found: Callable[[], Any], timeout_s: float = 60) -> Any:
        end = time.monotonic() + timeout_s
        with self._changed:
            while not found():
                assert time.monotonic() < end, self.heard[-20:]
                self._changed.wait(0.2)
        return found()

    def retained(self) -> Dict[str, str]:
        """What a newcomer is told."""
        newcomer = Home(int(self._client.port))
        newcomer.say("said/last", "")  # a broker hands what it has retained over first
        newcomer.wait_for(lambda: newcomer.payloads("said/last"))
        newcomer.close()
        return {topic: payload for topic, payload, retained in newcomer.heard if retained}

    @property
    def hears(self) -> bool:
        """Whether it is connected, and is told of what is said from now on."""
        return self._hears.is_set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Starts brokers, or skips with the reason."""
    if not _MOSQUITTO:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    brokers: List[Broker] = []

    def make(extra: str = "allow_anonymous true") -> Broker:
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        brokers.append(Broker(folder, extra))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.go_on()
        broker.kill()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    return make_broker()


@pytest.fixture
def make_home() -> Iterator[Callable[..., Home]]:
    homes: List[Home] = []

    def make(broker: Broker, **login: str) -> Home:
        homes.append(Home(broker.port, **login))
        return homes[-1]

    yield make
    for home in homes:
        home.close()
