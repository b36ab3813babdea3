"""The sensors' part of ``cosmo.toml``. Unknown keys are errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Literal, Mapping, Optional

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from typing_extensions import Annotated

from cosmo_runtime.kinds import SENSOR_NAME, UnknownKind
from cosmo_runtime.sensors.sensor import SensorError

SHORT_FORM = ("imu", "depth", "radar")
"""Sensors that a configuration can describe without giving them names."""

_MUST_BE = "Input should be "  # begins many of pydantic's messages
_FORMS = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "model_type": "a section",
    "dict_type": "a section",
    "tuple_type": "a list in square brackets",
    "list_type": "a list in square brackets",
    "path_type": "text in quotes",
    "int_type": "a whole number",
}
"""What a key wants, by the kind of pydantic's error."""

_FARTHEST_M = 65.535  # in 16 bits of millimetres; a larger number is one in millimetres


def from_folder(path: Path, info: ValidationInfo) -> Path:
    """A relative path starts at the ``folder`` in the validation context, which is the configuration file's."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path


ConfigPath = Annotated[Path, AfterValidator(from_folder)]


class SensorConfig(BaseModel):
    """Keys that every sensor's section can have."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    latency_ms: float = Field(
        0.0, ge=0, le=10_000, description="constant delay from measurement to arrival, subtracted from stamps"
    )
    _section: str = PrivateAttr("")

    @property
    def section(self) -> str:
        """The heading of these keys in the configuration, for messages: ``[imu]`` or ``[sensors.wrist]``."""
        return f"[{self._section}]"


class ImuConfig(SensorConfig):
    """``[imu]``: an inertial sensor on a serial port."""

    _section: str = PrivateAttr("imu")
    port: Optional[str] = Field(
        None, description="for example /dev/ttyUSB0; found by serial number or protocol when absent"
    )
    serial_number: Optional[str] = Field(
        None, description="the USB adapter's serial number; follows the device to other ports"
    )
    protocol: Literal["auto", "witmotion", "xsens"] = "auto"
    baud: Optional[int] = Field(
        None, gt=0, description="usual speeds are tried when absent, and with configure also after this one"
    )
    rate_hz: Literal[10, 20, 50, 100, 200] = 100
    configure: bool = Field(False, description="write the output set and the rate to the device when connecting")


class RadarConfig(SensorConfig):
    """``[radar]``: a TI mmWave radar on two serial ports."""

    _section: str = PrivateAttr("radar")
    cli_port: Optional[str] = None
    data_port: Optional[str] = None
    serial_number: Optional[str] = Field(None, description="the board's USB serial number; finds both ports")
    cfg: Optional[ConfigPath] = Field(
        None, description="chirp configuration sent when connecting; the shipped one when absent"
    )
    dialect: Literal["auto", "sdk3", "sdk1", "people"] = Field("auto", description="frame layout of the data port")
    cli_baud: int = Field(115200, gt=0)
    data_baud: int = Field(921600, gt=0)


class DepthConfig(SensorConfig):
    """``[depth]``: a RealSense camera, or a file recorded from one."""

    _section: str = PrivateAttr("depth")
    serial_number: Optional[str] = None
    file: Optional[ConfigPath] = Field(
        None, description="a .bag or .db3 recording to play once, at its own pace, instead of a camera"
    )
    width: int = Field(480, gt=0)
    height: int = Field(270, gt=0)
    rate_hz: int = Field(15, gt=0)
    decimation: int = Field(2, ge=1, le=8, description="pixels merged along each axis")
    min_m: float = Field(0.3, ge=0, le=_FARTHEST_M)
    max_m: float = Field(6.0, gt=0, le=_FARTHEST_M, validate_default=True)

    @field_validator("max_m")
    @classmethod
    def _beyond_min_m(cls, max_m: float, info: ValidationInfo) -> float:
        if max_m <= info.data.get("min_m", 0):
            raise ValueError(f"{max_m} must be greater than min_m, {info.data['min_m']}")
        return max_m


class RigSensor(BaseModel):
    """A sensor of a rig: its kind and its section of the configuration."""

    model_config = ConfigDict(frozen=True)

    kind: str
    config: SerializeAsAny[SensorConfig]


class RigConfig(BaseModel):
    """The sensors of one rig.

    ``[imu]``, ``[depth]`` and ``[radar]`` are the short form for a rig with one sensor of each kind. The sensor's name
    is then its kind. A rig with more sensors has a section ``[sensors.NAME]`` with a ``kind`` for each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imu: ImuConfig = ImuConfig()
    depth: DepthConfig = DepthConfig()
    radar: RadarConfig = RadarConfig()
    sensors: Dict[str, RigSensor] = {}

    @field_validator("sensors", mode="before")
    @classmethod
    def _by_kind(cls, tables: Any, info: ValidationInfo) -> Any:
        """Reads each table as the section of its kind."""
        from cosmo_runtime.sensors.kinds import SENSORS  # here, because its rows need the sections above

        if not isinstance(tables, dict):
            raise ValueError("expected a table for each sensor: [sensors.NAME]")
        read, wrong = {}, []
        for name, table in tables.items():
            if isinstance(table, RigSensor):
                read[name] = _under(f"sensors.{name}", table.kind, table.config)
                continue
            if not re.match(SENSOR_NAME, name):
                wrong.append(f"{name!r} is not a sensor name: use small letters, digits, - and _")
                continue
            if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
                wrong.append(f'{name}: say which kind of sensor it is, for example kind = "imu"')
                continue
            rest = {key: value for key, value in table.items() if key != "kind"}
            try:
                config = SENSORS[table["kind"]].config.model_validate(rest, context=info.context)
                read[name] = _under(f"sensors.{name}", table["kind"], config)
            except UnknownKind as error:
                wrong.append(f"{name}: {error}")
            except ValidationError as error:
                wrong += [f"{name}.{'.'.join(map(str, it['loc']))}: {in_words(it)}" for it in error.errors()]
        if wrong:
            raise ValueError("\n".join(wrong))  # pydantic takes one error from here
        return read

    @property
    def described(self) -> Dict[str, RigSensor]:
        """Every sensor in the configuration: the named ones, or else those of the short form."""
        return self.sensors or {name: self.sensor(name) for name in SHORT_FORM}

    def sensor(self, name: str) -> RigSensor:
        """The sensor with this name.

        Raises:
            SensorError: no sensor has this name.
        """
        if name in self.sensors:
            return self.sensors[name]
        if name in SHORT_FORM:
            return RigSensor(kind=name, config=getattr(self, name))
        raise SensorError(
            f"there is no sensor {name!r}; there are {', '.join(self.described)}. "
            f"Add it to the configuration: [sensors.{name}] with its kind"
        )


def in_words(wrong: Mapping[str, Any]) -> str:
    """What is wrong with a key, from one of pydantic's errors."""
    kind = wrong["type"]
    if kind == "extra_forbidden":
        return "no such key"
    if kind == "missing":
        return "is missing"
    must_be = _FORMS.get(kind)
    if not must_be and wrong["msg"].startswith(_MUST_BE):
        must_be = wrong["msg"][len(_MUST_BE) :]
    return f"must be {must_be}, not {wrong['input']!r}" if must_be else wrong["msg"].replace("Value error, ", "", 1)


def _under(section: str, kind: str, config: SensorConfig) -> RigSensor:
    """A sensor whose keys stand under a heading."""
    config = config.model_copy()
    config._section = section
    return RigSensor(kind=kind, config=config)
