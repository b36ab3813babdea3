"""What a model asks for and answers: modalities, window, classes, quality of each modality."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SHAPES = {
    "imu": "(3, 6 or 9 channels,)",
    "accelerometer": "(3 channels,)",
    "gyroscope": "(3 channels,)",
    "skeleton": "(joints, 3)",
    "depth": "(rows, columns)",
    "radar": "(points, 5)",
}


class ModalitySpec(BaseModel):
    """What a model takes from one sensor in each window.

    A window's raw array (from ``runtime.aligner``) and the network's input (from ``models.features``) are, with
    ``steps`` = window x rate:
        ``imu``: (steps, channels) float32 in m/s², rad/s, µT -> the same.
        ``depth``: (steps, height, width) uint16 as the driver gives it -> (steps, rows, columns) float32 in metres, 0
        where nothing was measured.
        ``radar``: list of ``steps`` arrays (n, 5) -> (steps, points, 5) float32: x, y, z, radial speed, SNR of
        the strongest points; a missing point is all zero.

    Some modalities are known from data sets only, and no driver brings them: ``accelerometer`` and ``gyroscope``, the
    halves of an IMU as modalities of their own, (steps, 3) in m/s² and rad/s; ``skeleton``, a camera's body tracking,
    (steps, joints, 3) in metres, y up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensor: Literal["imu", "accelerometer", "gyroscope", "skeleton", "depth", "radar"]
    rate_hz: float = Field(gt=0, description="steps a second on the window's own time grid")
    shape: tuple[int, ...] = Field(
        description="of one step of the network's input: (channels,), (rows, columns), (points, 5), (joints, 3)"
    )

    @model_validator(mode="after")
    def _shape_fits_sensor(self) -> ModalitySpec:
        fits = {
            "imu": len(self.shape) == 1 and self.shape[0] in (3, 6, 9),
            "accelerometer": self.shape == (3,),
            "gyroscope": self.shape == (3,),
            "skeleton": len(self.shape) == 2 and self.shape[1] == 3,
            "depth": len(self.shape) == 2,
            "radar": len(self.shape) == 2 and self.shape[1] == 5,
        }
        if not fits[self.sensor] or min(self.shape) < 1:
            raise ValueError(f"{self.sensor} cannot have the shape {self.shape}; give {_SHAPES[self.sensor]}")
        return self


class ModelSpec(BaseModel):
    """The contract between recordings, training and the runtime.

    Attributes:
        modalities: in the order of the presence mask and of the fusion weights.
        window_s: length W of a window (t - W, t].
        hop_s: windows end at the multiples of the hop on the host's monotonic clock.
        classes: activity names in the order of the probabilities.
        quality: quality-of-modality weight of each modality; positive, sum 1.
        quality_share: lambda of the paper, the share of ``quality`` in the fusion weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: tuple[ModalitySpec, ...]
    window_s: float = Field(gt=0)
    hop_s: float = Field(gt=0)
    classes: tuple[str, ...]
    quality: tuple[float, ...]
    quality_share: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _modalities_and_quality_agree(self) -> ModelSpec:
        if not self.modalities or len(set(self.sensors)) != len(self.modalities):
            raise ValueError(f"modalities must be one or more different sensors, not {self.sensors}")
        if len(self.quality) != len(self.modalities) or min(self.quality) <= 0 or abs(sum(self.quality) - 1) > 1e-3:
            raise ValueError(
                f"quality must be one positive weight for each of {self.sensors}, of sum 1: {self.quality}"
            )
        return self

    @property
    def sensors(self) -> list[str]:
        """Names of the sensors in the order of the modalities."""
        return [modality.sensor for modality in self.modalities]

    @property
    def window_ns(self) -> int:
        """Length of a window in nanoseconds."""
        return round(self.window_s * 1e9)

    @property
    def hop_ns(self) -> int:
        """Time between windows in nanoseconds."""
        return round(self.hop_s * 1e9)

    def steps(self, modality: ModalitySpec) -> int:
        """Number of steps of a modality in one window."""
        return round(self.window_s * modality.rate_hz)
