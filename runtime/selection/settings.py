"""``[selection]`` in ``cosmo.toml``: when sensors sleep."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SelectionConfig(BaseModel):
    """``[selection]``: when sensors sleep; see ``runtime.selection.policy``.

    The defaults were chosen on the training people of UTD-MHAD and on simulated ones; see docs/selection.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    save_energy: bool = Field(False, description="let cameras and radars sleep while the other sensors are sure")
    sure: float = Field(0.7, ge=0, le=1, description="confidence of a sure answer")
    doubt: float = Field(0.9, ge=0, le=1, description="confidence below which all are asked about the same window")
    depth_after_s: float = Field(0.5, gt=0, description="seconds of sure answers after which cameras sleep")
    radar_after_s: float = Field(1.0, gt=0, description="the same for radars")
    awake_every_s: float = Field(10.0, gt=0, description="the longest sleep")
