"""``[mqtt]``: the broker of a home."""

from __future__ import annotations

import re
import socket
from typing import Optional

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cosmo_runtime.sensors.config import ConfigPath


class MqttConfig(BaseModel):
    """The broker, and this device's name there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="of the broker")
    port: Optional[int] = Field(None, gt=0, lt=65536, description="1883, or 8883 with tls, when absent")
    username: Optional[str] = None
    password_file: Optional[ConfigPath] = Field(None, description="its first line is the password")
    tls: bool = Field(False, description="encrypt, and check the broker's certificate")
    ca_file: Optional[ConfigPath] = Field(None, description="certificates to check it by; the system's when absent")
    device: Optional[str] = Field(None, description="part of every topic; from the host's name when absent")
    name: Optional[str] = Field(None, min_length=1, description="what people call the device")
    discovery: str = Field("homeassistant", description="Home Assistant's prefix")

    @field_validator("host")
    @classmethod
    def _may_be_a_host(cls, host: str) -> str:
        host.encode("idna")  # what looks it up does this, and would end with an error of its own
        if re.search(r"[/\s]|^[^:]*:\d+$", host):  # an IPv6 address has more colons than one
            raise ValueError(f"{host!r}: expected the name or address alone; the port has a key of its own")
        return host

    @field_validator("device")
    @classmethod
    def _is_part_of_topics(cls, device: Optional[str]) -> Optional[str]:
        if device is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", device):
            raise ValueError(
                f"{device!r}: use small letters from a to z, digits, - and _, at most 64 in all, and begin with a "
                "letter or a digit; `name` is for people"
            )
        return device

    @field_validator("discovery")
    @classmethod
    def _begins_topics(cls, discovery: str) -> str:
        if not re.fullmatch(r"[^+#\s]+", discovery):
            raise ValueError(f"{discovery!r}: expected the beginning of a topic, without +, # and spaces")
        return discovery

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> MqttConfig:
        if self.password_file and self.username is None:
            raise ValueError("password_file needs username")
        if self.ca_file and not self.tls:
            raise ValueError("ca_file needs tls = true")
        return self

    @property
    def broker_port(self) -> int:
        """The broker's port."""
        return self.port or (8883 if self.tls else 1883)

    @property
    def where(self) -> str:
        """The broker, for people."""
        return f"{self.host}:{self.broker_port}"

    @property
    def device_id(self) -> str:
        """The device's part of every topic."""
        host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-") or "device"
        return self.device or (host if host.startswith("cosmo") else f"cosmo-{host}")
