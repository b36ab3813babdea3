"""paho's client as ``[mqtt]`` asks for it, and whether the broker answers one."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from cosmo_runtime.runtime.mqtt.config import MqttConfig

_PATIENCE_S = 3.0

NO_BROKER = "what answers there is no broker; check port and tls"


class MqttError(Exception):
    """MQTT cannot be used. The message says what to do."""


def make_client(config: MqttConfig, name: str) -> Any:
    """A client that is not connected yet.

    Raises:
        MqttError: paho-mqtt is not installed or too old, or the password or certificates cannot be read.
    """
    try:
        from paho.mqtt.client import CallbackAPIVersion, Client
    except ImportError as error:
        raise MqttError("[mqtt] needs paho-mqtt 2.1 or newer: pip install 'cosmo-runtime[mqtt]'") from error
    client = Client(CallbackAPIVersion.VERSION2, client_id=name)
    file = ""
    try:
        if config.username is not None:
            file = f"password_file {config.password_file}: "
            password = config.password_file.read_text("utf-8-sig").splitlines() if config.password_file else []
            client.username_pw_set(config.username, password[0] if password else None)
        if config.tls:
            file = f"ca_file {config.ca_file}: " if config.ca_file else ""
            client.tls_set(str(config.ca_file) if config.ca_file else None)
    except (OSError, ValueError) as error:
        raise MqttError(f"[mqtt] {file}{getattr(error, 'strerror', None) or error}") from error
    return client


def refusal(reason: object) -> str:
    """Why a broker does not let us in."""
    return f"the broker refuses: {reason}; check username and password_file"


def unreachable() -> str:
    """Why there is no connection. For ``on_connect_fail``, which paho calls while it handles the error."""
    error = sys.exc_info()[1]
    reason = getattr(error, "strerror", None) or error or "no reason known"
    return f"cannot be reached ({reason}); check host, port and tls"


def why_no_broker(config: MqttConfig) -> str:
    """Connects once, and says why that does not work within a few seconds. Empty if it works."""
    answers: Queue[str] = Queue()
    try:
        client = make_client(config, f"cosmo-doctor-{os.getpid()}")
    except MqttError as error:
        return str(error)
    client.connect_timeout = _PATIENCE_S
    client.on_connect = lambda client, data, flags, reason, *_: answers.put(
        refusal(reason) if reason.is_failure else ""
    )
    client.on_connect_fail = lambda *_: answers.put(unreachable())
    client.on_disconnect = lambda *_: answers.put(NO_BROKER)
    client.connect_async(config.host, config.broker_port)
    client.loop_start()
    why = f"there is no answer within {_PATIENCE_S:g} s; check host, port and tls"
    with suppress(Empty):
        why = answers.get(timeout=_PATIENCE_S)
    client.disconnect()  # its thread may still wait for a name server, so nobody waits for it
    return why
