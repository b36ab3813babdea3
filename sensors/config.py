"""Configuration of the sensors, as it stands in ``cosmo.toml``; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    latency_ms: float = Field(
        0.0, ge=0, description="constant delay from measurement to arrival, subtracted from stamps"
    )


class ImuConfig(_Section):
    """``[imu]``: an inertial sensor on a serial port."""

    port: Optional[str] = Field(
        None, description="for example /dev/ttyUSB0; found by serial number or protocol when absent"
    )
    serial_number: Optional[str] = Field(
        None, description="the USB adapter's serial number; follows the device to other ports"
    )
    protocol: Literal["auto", "witmotion", "xsens"] = "auto"
    baud: Optional[int] = Field(
        None, gt=0, description="tried from the usual ones when absent, and after this one with configure"
    )
    rate_hz: Literal[10, 20, 50, 100, 200] = 100
    configure: bool = Field(False, description="write output set and rate to the device when connecting")


class RadarConfig(_Section):
    """``[radar]``: a TI mmWave radar on two serial ports."""

    cli_port: Optional[str] = None
    data_port: Optional[str] = None
    serial_number: Optional[str] = Field(None, description="the board's USB serial number; finds both ports")
    cfg: Optional[Path] = Field(
        None, description="chirp configuration sent when connecting; the shipped one when absent"
    )
    dialect: Literal["auto", "sdk3", "sdk1", "people"] = Field("auto", description="header of the data port")
    cli_baud: int = Field(115200, gt=0)
    data_baud: int = Field(921600, gt=0)


class DepthConfig(_Section):
    """``[depth]``: a RealSense camera, or a file recorded from one."""

    serial_number: Optional[str] = None
    file: Optional[Path] = Field(
        None, description="a .bag or .db3 recording, played once at its own pace, instead of a camera"
    )
    width: int = 480
    height: int = 270
    rate_hz: int = 15
    decimation: int = Field(2, ge=1, le=8, description="pixels merged along each axis")
    min_m: float = Field(0.3, ge=0)
    max_m: float = Field(6.0, gt=0, validate_default=True)

    @field_validator("max_m")
    @classmethod
    def _beyond_min_m(cls, max_m: float, info: ValidationInfo) -> float:
        if max_m <= info.data.get("min_m", 0):
            raise ValueError(f"{max_m} must be greater than min_m, {info.data['min_m']}")
        return max_m


class RigConfig(BaseModel):
    """The sensors of one rig."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    imu: ImuConfig = ImuConfig()
    depth: DepthConfig = DepthConfig()
    radar: RadarConfig = RadarConfig()
