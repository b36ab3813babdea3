"""``cosmo.toml``: the sensors of a rig, and how it recognises."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from typing_extensions import Annotated

from cosmo_runtime.models.activity_names import folded, is_fall
from cosmo_runtime.models.spec import LONGEST_S, SHORTEST_S
from cosmo_runtime.runtime.alarms.clips import ClipConfig
from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.engines.choose import Choice
from cosmo_runtime.runtime.episodes.rule import EpisodeRule, Hold
from cosmo_runtime.runtime.mqtt.config import MqttConfig
from cosmo_runtime.runtime.mqtt.topics import slug
from cosmo_runtime.runtime.retention.expiry import Lifetime
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.sensors.config import ConfigPath, RigConfig, from_folder, in_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_MOST_THREADS = 1024  # an engine starts them all at once
_LONGEST_S = 86_400  # of an episode's times: a day


class ConfigError(Exception):
    """The configuration cannot be used. The message names file, key and reason."""


def _name_or_folder(path: Path, info: ValidationInfo) -> Path:
    """A bare name stays one, unless it is a folder beside the configuration."""
    folder = from_folder(path, info)
    return folder.absolute() if path.name != str(path) or os.access(folder, os.F_OK) else path


class RecognitionConfig(BaseModel):
    """``[recognition]``: the model, and how its answers are interpreted."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bundle: Optional[Annotated[Path, AfterValidator(_name_or_folder)]] = Field(
        None, description="the model's name or folder; the one in use when absent"
    )
    engine: Choice = Field("auto", description="runs the model; auto uses the fastest verified engine")
    threads: int = Field(1, ge=1, le=_MOST_THREADS, description="cores that one inference may use")
    min_confidence: Optional[float] = Field(
        None, ge=0, le=1, description="below this, the activity is `uncertain`; the model's own threshold when absent"
    )
    hop_s: Optional[float] = Field(
        None, ge=SHORTEST_S, le=LONGEST_S, description="time from answer to answer; the model's own when absent"
    )
    smoothing: float = Field(0.3, ge=0, lt=1, description="weight of what was half a second ago; 0 switches it off")
    lateness_ms: float = Field(300, ge=0, le=10_000, description="how long a window waits for a late sensor")
    auto_sync: bool = Field(False, description="put a sensor in step whose times are more than 100 ms off")


_FALL = {"on_s": 1.0, "least_s": 1.0}
"""A fall is over soon, and with some sensors the windows of one that are sure enough do not last two seconds."""


class HoldConfig(BaseModel):
    """``[episodes.activities.NAME]``: different times for one activity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    on_s: Optional[float] = Field(None, ge=0, le=_LONGEST_S)
    off_s: Optional[float] = Field(None, ge=0, le=_LONGEST_S)
    least_s: Optional[float] = Field(None, ge=0, le=_LONGEST_S)


class EpisodesConfig(BaseModel):
    """``[episodes]``: when windows make an episode; see ``runtime.episodes.rule``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    keep: Lifetime = Field(timedelta(days=90), description="how long the log stores entries")
    on_s: float = Field(2.0, ge=0, le=_LONGEST_S, description="how long windows show an activity before it begins")
    off_s: float = Field(4.0, ge=0, le=_LONGEST_S, description="how long no window shows it before it ends")
    least_s: float = Field(2.0, ge=0, le=_LONGEST_S, description="shorter episodes become uncertain")
    gap_s: float = Field(3.0, gt=0, le=_LONGEST_S, description="a longer time without windows is a gap")
    activities: Dict[str, HoldConfig] = Field({}, description="different times for single activities")

    @field_validator("activities")
    @classmethod
    def _each_activity_once(cls, activities: Dict[str, HoldConfig]) -> Dict[str, HoldConfig]:
        if len({folded(name) for name in activities}) < len(activities):
            raise ValueError(f"name each activity once, not {', '.join(activities)}")
        return activities

    def hold(self, activity: str) -> Hold:
        """The times of an activity."""
        usual: Dict[str, float] = {"on_s": self.on_s, "off_s": self.off_s, "least_s": self.least_s}
        if is_fall(activity):
            usual.update({name: min(seconds, usual[name]) for name, seconds in _FALL.items()})
        same = (own for name, own in self.activities.items() if folded(name) == folded(activity))
        return Hold(**{**usual, **next(same, HoldConfig()).model_dump(exclude_none=True)})

    def rule(self) -> EpisodeRule:
        """The rule of these times."""
        return EpisodeRule(self.hold, self.gap_s)


class BundlesConfig(BaseModel):
    """``[bundles]``: which exported bundles are accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_file: Optional[ConfigPath] = Field(None, description="signs exported bundles; imports must be signed with it")


class Config(RigConfig):
    """The whole file. Every section is optional."""

    recognition: RecognitionConfig = RecognitionConfig()
    episodes: EpisodesConfig = EpisodesConfig()
    alarms: Tuple[AlarmRule, ...] = ()
    clips: ClipConfig = ClipConfig()
    mqtt: Optional[MqttConfig] = None
    bundles: BundlesConfig = BundlesConfig()
    selection: SelectionConfig = SelectionConfig()

    @field_validator("alarms")
    @classmethod
    def _each_name_once(cls, alarms: Tuple[AlarmRule, ...]) -> Tuple[AlarmRule, ...]:
        names: Dict[str, str] = {}
        for rule in alarms:
            topic = slug(rule.name)
            if topic in names:
                raise ValueError(f"{names[topic]!r} and {rule.name!r}: give each alarm a name of its own")
            names[topic] = rule.name
        return alarms


def load_config(path: Optional[Path]) -> Config:
    """Reads a configuration, or returns the defaults without a path. Relative paths in it start at its own folder.

    Raises:
        ConfigError: the file is missing, is not TOML, or has an unknown key or a bad value.
    """
    if path is None:
        return Config()
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """Reads the text of a configuration file, written or yet to be written.

    Raises:
        ConfigError: it is not TOML, or holds an unknown key or a bad value.
    """
    try:
        return Config.model_validate(tomllib.loads(text), context={"folder": path.parent})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{path}: {line}" for item in error.errors() for line in _explain(item)]
        raise ConfigError("\n".join(lines)) from error


def _explain(item: Mapping[str, Any]) -> List[str]:
    """Describes one of pydantic's errors: which key is wrong, and why. The sensors' has a line for each key."""
    key, kind = _key(item["loc"]), item["type"]
    if kind == "tuple_type" and isinstance(item["input"], dict):
        return [f"{key}: write [[{key}]], with two brackets on each side, because there may be several"]
    if kind == "model_type" and isinstance(item["input"], list):
        return [f"{key}: write [{key}], with one bracket on each side, because there is only one"]
    return [f"{key}: {line}" for line in in_words(item).split("\n")]


def _key(where: Sequence[Union[str, int]]) -> str:
    """A key as people find it in the file, where they count from 1: ``[[alarms]] number 2: name``."""
    section, *rest = where
    if rest and isinstance(rest[0], int):
        number, *inside = rest
        return ": ".join([f"[[{section}]] number {int(number) + 1}", *map(str, inside)])
    return ".".join(map(str, where))
