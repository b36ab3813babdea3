"""The model that tests of windows use."""

from __future__ import annotations

import pytest

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec


@pytest.fixture
def imu_spec() -> ModelSpec:
    return ModelSpec(
        modalities=(ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),),
        window_s=1,
        hop_s=0.5,
        classes=("a", "b"),
        quality=(1,),
    )
