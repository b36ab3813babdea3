"""What a model asks for and answers: modalities, window, classes, quality of each modality."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModalitySpec(BaseModel):
    """What a model takes from one sensor in each window.

    A window's raw array (from ``runtime.aligner``) and the network's input (from ``models.features``) are, with
    ``steps`` = window x rate:
        ``imu``: (steps, channels) float32 in m/s², rad/s, µT -> the same.
        ``depth``: (steps, height, width) uint16 as the driver gives it -> (steps, rows, columns) float32 in metres, 0 where
        nothing was measured.
        ``radar``: list of ``steps`` arrays (n, 5) -> (steps, points, 5) float32: x, y, z, radial speed, SNR of
        the strongest points; a missing point is all zero.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensor: Literal["imu", "depth", "radar"]
    rate_hz: float = Field(gt=0, description="steps a second on the window's own time grid")
    shape: tuple[int, ...] = Field(description="of one step of the network's input: (channels,), (rows, columns), (points, 5)")


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

    @property
    def sensors(self) -> list[str]:
        return [modality.sensor for modality in self.modalities]

    @property
    def window_ns(self) -> int:
        return round(self.window_s * 1e9)

    @property
    def hop_ns(self) -> int:
        return round(self.hop_s * 1e9)

    def steps(self, modality: ModalitySpec) -> int:
        """Number of steps of a modality in one window."""
        return round(self.window_s * modality.rate_hz)
