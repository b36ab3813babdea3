"""A random room in front of the rig: walls, a chair, furniture."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.simulation.activities.scene import Place
from cosmo_runtime.sensors.simulation.raycast import Box

CHAIR_STEP_M = 0.35
"""Distance back from where someone stands to the chair."""


def step_ahead(place: Place, distance_m: float) -> Place:
    """Where someone is after a step in the direction that they face."""
    return place._replace(
        x=place.x - distance_m * float(np.sin(place.heading)), y=place.y + distance_m * float(np.cos(place.heading))
    )


def furnish(rng: np.random.Generator, home: Place, seat_m: float) -> tuple[Box, list[Box]]:
    """Draws a room, the chair behind the person, and furniture along the walls."""
    left, right, back, ceiling = rng.uniform(2.0, 3.2), rng.uniform(2.0, 3.2), rng.uniform(4.7, 5.6), 2.5
    room = Box(((right - left) / 2, back / 2 - 0.5, ceiling / 2), ((left + right) / 2, back / 2 + 0.5, ceiling / 2))
    chair = step_ahead(home, -CHAIR_STEP_M - 0.42)
    boxes = [Box((chair.x, chair.y, seat_m / 2), (0.23, 0.22, seat_m / 2), home.heading)]
    if rng.random() < 0.6:
        rest = step_ahead(chair, -0.24)
        boxes.append(Box((rest.x, rest.y, seat_m / 2 + 0.22), (0.22, 0.025, seat_m / 2 + 0.22), home.heading))
    width, height = rng.uniform(0.4, 0.9), rng.uniform(0.35, 1.0)
    boxes.append(Box((rng.uniform(-left + width, right - width), back - 0.2, height), (width, 0.2, height)))
    side, length, height = rng.choice([-left + 0.2, right - 0.2]), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.5)
    boxes.append(Box((float(side), rng.uniform(2.5, back - 1.2), height), (0.2, length, height)))
    return room, boxes
