"""``cosmo.toml``: what a rig is made of and how it recognises."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Mapping, Optional

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.engines import Choice
from sensors.config import RigConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, key and reason."""


class RecognitionConfig(BaseModel):
    """``[recognition]``: the model and how its answers are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bundle: Optional[Path] = Field(None, description="folder of the model; the one in use when absent")
    engine: Choice = Field("auto", description="what runs the model; auto takes the fastest verified one")
    threads: int = Field(1, ge=1, description="cores that one inference may use")
    min_confidence: float = Field(0.5, ge=0, le=1, description="below it the activity is `uncertain`")
    smoothing: float = Field(0.3, ge=0, lt=1, description="share of the window before; 0 switches smoothing off")
    lateness_ms: float = Field(300, ge=0, description="how long a window waits for a sensor that is late")


class Config(RigConfig):
    """The whole file; every section may be left out."""

    recognition: RecognitionConfig = RecognitionConfig()


def load_config(path: Optional[Path]) -> Config:
    """Reads a configuration; the defaults without a path. Relative paths in it are relative to the working folder.

    Raises:
        ConfigError: the file is missing, is no TOML, or holds an unknown key or a bad value.
    """
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            config = Config.model_validate(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read it ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_explain(item)}" for item in error.errors())) from error
    return config


def _explain(item: Mapping[str, Any]) -> str:
    """Says which key is wrong and why, from one of pydantic's errors."""
    key = ".".join(map(str, item["loc"]))
    return f"{key}: no such key" if item["type"] == "extra_forbidden" else f"{key}: {item['msg']}"
