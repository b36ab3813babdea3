"""Daily activities as motions of a body. Each performance is drawn at random, within the range in which people vary."""

from __future__ import annotations

from typing import Callable

from cosmo_runtime.sensors.simulation.activities.falls import fall, get_up
from cosmo_runtime.sensors.simulation.activities.gestures import clap, punch, stand_still, wave
from cosmo_runtime.sensors.simulation.activities.locomotion import jump, run_on_the_spot, walk
from cosmo_runtime.sensors.simulation.activities.posture import bend, sit_down, squat, stand_up
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene

ACTIVITIES: dict[str, Callable[[Scene], Move]] = {
    "walk": walk,
    "run on the spot": run_on_the_spot,
    "sit down": sit_down,
    "stand up": stand_up,
    "squat": squat,
    "jump": jump,
    "wave": wave,
    "clap": clap,
    "punch": punch,
    "bend": bend,
    "fall": fall,
    "get up": get_up,
    "stand still": stand_still,
}
