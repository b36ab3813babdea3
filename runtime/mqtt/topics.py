"""Topics and payloads in Home Assistant's form: device discovery, states, events.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

from cosmo_runtime.names import GAP, NOBODY, NONE, UNCERTAIN
from cosmo_runtime.runtime.alarms.rules import ACKNOWLEDGED, CORRECTED, OVER, RAISED, REPEATED, AlarmRule, as_word

ONLINE, OFFLINE = "online", "offline"
_URL = "https://doi.org/10.1145/3495243.3560519"  # Home Assistant requires one


class Device(NamedTuple):
    """What a device publishes.

    Attributes:
        name: its name for people.
        version: the program's version.
        sensors: the rig's sensors.
        alarms: the alarms' rules.
    """

    name: str
    version: str
    sensors: Sequence[str]
    alarms: Sequence[AlarmRule]


class Topics:
    """Names of all topics of one device.

    Args:
        device: the device's name in topics.
        discovery: Home Assistant's prefix.
    """

    def __init__(self, device: str, discovery: str) -> None:
        self.device = device
        self.discovery = f"{discovery}/device/{device}/config"
        self.birth = f"{discovery}/status"
        base = f"cosmo/{device}"
        self.availability = f"{base}/availability"
        self.run = f"{base}/run"
        self.activity = f"{base}/activity"
        self.episodes = f"{base}/episodes"
        self.alarms = f"{base}/alarms"
        self.acknowledgements = f"{base}/alarm/+/acknowledge"
        self.health = f"{base}/health"
        self._base = base

    def alarm(self, name: str) -> str:
        """The state of one alarm."""
        return f"{self._base}/alarm/{slug(name)}"

    def acknowledge(self, name: str) -> str:
        """A message on this topic acknowledges an alarm."""
        return f"{self.alarm(name)}/acknowledge"

    def sensor(self, name: str) -> str:
        """The state of one sensor."""
        return f"{self._base}/sensor/{slug(name)}"

    def discovery_payload(self, device: Device, activities: Sequence[str]) -> str:
        """Describes this device, and everything that it publishes, to Home Assistant."""
        options = list(dict.fromkeys([*activities, NONE, NOBODY, UNCERTAIN, GAP]))
        components: Dict[str, Dict[str, Any]] = {
            "activity": {
                "p": "sensor",
                "name": "Activity",
                "device_class": "enum",
                "options": options,
                "state_topic": self.activity,
                "value_template": "{{ value_json.activity }}",
                "json_attributes_topic": self.activity,
            },
            "confidence": {
                "p": "sensor",
                "name": "Confidence",
                "unit_of_measurement": "%",
                "state_class": "measurement",
                "state_topic": self.activity,
                "value_template": "{{ (value_json.confidence * 100) | round }}",
            },
            "episode": {
                "p": "event",
                "name": "Episode",
                "event_types": ["ended"],
                "state_topic": self.episodes,
            },
        }
        components["health"] = {
            "p": "binary_sensor",
            "name": "Health",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": self.health,
            "value_template": "{{ 'OFF' if value_json.well else 'ON' }}",
            "json_attributes_topic": self.health,
        }
        for rule in device.alarms:
            components[f"alarm_{slug(rule.name)}"] = {
                "p": "binary_sensor",
                "name": f"Alarm: {rule.name}",
                "device_class": "problem" if rule.no_data else "safety",
                "state_topic": self.alarm(rule.name),
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": self.alarm(rule.name),
            }
            components[f"acknowledge_{slug(rule.name)}"] = {
                "p": "button",
                "name": f"Acknowledge: {rule.name}",
                "command_topic": self.acknowledge(rule.name),
            }
        if device.alarms:
            components["alarms"] = {
                "p": "event",
                "name": "Alarms",
                "event_types": [RAISED, REPEATED, OVER, ACKNOWLEDGED],
                "state_topic": self.alarms,
            }
        for sensor in device.sensors:
            components[f"sensor_{slug(sensor)}"] = {
                "p": "binary_sensor",
                "name": f"Sensor: {sensor}",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": self.sensor(sensor),
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": self.sensor(sensor),
            }
        for key, component in components.items():
            component["unique_id"] = f"{self.device}_{key}"
        return json.dumps(
            {
                "dev": {
                    "ids": [self.device],
                    "name": device.name,
                    "mf": "cosmo-runtime",
                    "mdl": "activity recognition",
                    "sw": device.version,
                },
                "o": {"name": "cosmo-runtime", "sw": device.version, "url": _URL},
                "availability_topic": self.availability,
                "qos": 1,
                "cmps": components,
            }
        )


def event_of(topics: Topics, entry: Mapping[str, Any]) -> Tuple[str, str]:
    """Topic and payload of a log entry. The topic is empty for an entry that is not sent."""
    if entry["kind"] == "episode":
        return topics.episodes, json.dumps({"event_type": "ended", **entry})
    if entry["kind"] == "alarm" and not entry["quiet"] and entry["state"] != CORRECTED:  # the retained state says it
        return topics.alarms, json.dumps({"event_type": entry["state"], **entry})
    return "", ""


def slug(name: str) -> str:
    """A name as part of a topic, which may have letters of every language."""
    return as_word(name, "_", also="_-")
