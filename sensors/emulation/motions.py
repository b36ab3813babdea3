"""The motions that an emulated rig can play, as the command line describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Mapping, Optional

from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sources import DataSource, parse_source

MOTIONS = "person[:SEED], empty[:SEED], unworn[:SEED], mocap:FOLDER[:SEED] or utd:PATH[:SUBJECTS]"
"""The form of a motion's description."""

_SEED = 1000  # of a person or room that the shipped models have never seen
_SUBJECTS = (7, 8)  # of UTD-MHAD; they test what is not trained on everybody, as the shipped `everyday` is


def is_motion(text: str) -> bool:
    """Whether a text describes a motion. Its data may still be missing."""
    return _parse(text) is not None


def open_motion(text: str) -> Motion:
    """Opens the motion that a text describes.

    Raises:
        SensorError: there is no such motion, or its data is missing.
    """
    source = _parse(text)
    if not source:
        raise SensorError(f"--emulate {text}: expected {MOTIONS}")
    if source.kind == "utd":
        from cosmo_runtime.sensors.simulation.utd import UtdMotion

        return UtdMotion(Path(source.path), source.numbers or _SUBJECTS)
    if source.kind == "mocap":
        from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion

        return MocapMotion(Path(source.path), source.numbers[0] if source.numbers else 0)
    from cosmo_runtime.sensors.simulation.nobody import EmptyRoom, Unworn
    from cosmo_runtime.sensors.simulation.person import SimulatedPerson

    simulated: Mapping[str, Callable[[int], Motion]]
    simulated = {"person": SimulatedPerson, "empty": EmptyRoom, "unworn": Unworn}
    return simulated[source.kind](source.numbers[0] if source.numbers else _SEED)


def _parse(text: str) -> Optional[DataSource]:
    source = parse_source(text, simulated=("person", "empty", "unworn"), stored=("utd", "mocap"))
    return source if source and (source.path or len(source.numbers) <= 1) else None
