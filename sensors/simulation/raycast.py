"""Ray casting of a depth camera in a furnished room, with the errors of active stereo cameras."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from scipy.ndimage import gaussian_filter

from cosmo_runtime.sensors.simulation.motion import Camera

_NOISE_PER_M2 = 0.0038  # standard deviation in metres at 1 m; grows with the square: 34 mm at 3 m
_BASELINE_M = 0.05  # between the two imagers of a RealSense D435
_MAX_RANGE_M = 6.5
_NOTHING_M = 60.0
_DROPOUT_SHARE = 0.002
_TEXTURE_MARGIN = 64


class Box(NamedTuple):
    """A box that stands upright: centre (x, y, z), half its sizes, and how far it is turned about z (radians)."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float = 0.0


class DepthCamera:
    """Casts depth images of a person, made of capsules, in a static room.

    Args:
        camera: the camera's pixels.
        height_m: the camera's height above the floor. It looks along +y from (0, 0, height).
        room: a box seen from inside; None for nothing behind the person.
        furniture: boxes seen from outside.
        seed: seed of the sensor's noise.
        down: matrix (3, 3) from level axes to those of the camera, which may look down or up.
        grain: how noisy and ragged the images are; 1 for a RealSense D435.
    """

    def __init__(
        self,
        camera: Camera,
        height_m: float,
        room: Optional[Box],
        furniture: list[Box],
        seed: int,
        down: Optional[np.ndarray] = None,
        grain: float = 1.0,
    ) -> None:
        self._camera = camera
        self._grain = np.float32(grain)
        self._eye = np.array([0.0, 0.0, height_m])
        self._down = np.eye(3) if down is None else down
        self._across = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
        self._up = ((camera.cy - np.arange(camera.height)) / camera.fy).astype(np.float32)
        self._squared = self._across**2 + 1 + self._up[:, None] ** 2
        nothing = np.full((camera.height, camera.width), _NOTHING_M, np.float32)
        self._room = self._slabs(room)[1] if room else nothing
        for box in furniture:
            near, far = self._slabs(box)
            hit = (near < far) & (near > 0)
            self._room[hit] = np.minimum(self._room[hit], near[hit])
        texture = np.random.default_rng((seed, 21)).normal(
            size=(camera.height + _TEXTURE_MARGIN, camera.width + _TEXTURE_MARGIN)
        )
        texture = gaussian_filter(texture, 0.8 * camera.width / 480, mode="wrap")  # stereo blocks share their error
        self._texture = (texture / texture.std()).astype(np.float32)
        self._dropout = np.random.default_rng((seed, 22)).random(self._texture.shape, np.float32)

    def image(self, capsules: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Takes one image.

        Args:
            capsules: (n, 2, 3) ends in the room, metres.
            radii: (n,) metres.
            rng: draws this image's noise.

        Returns:
            (height, width) uint16 in steps of the camera's depth scale; 0 where nothing was measured.
        """
        depth = self._room.copy()
        for ends, radius in zip((capsules - self._eye) @ self._down.T, radii):
            self._cast(depth, ends[0], ends[1], radius)
        return self._measure(depth, rng)

    def _slabs(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Depths at which each pixel's ray enters and leaves a box."""
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        rays = (
            np.stack(np.broadcast_arrays(self._across, np.float32(1), self._up[:, None]), axis=-1)
            @ (turn @ self._down.T).T
        )
        rays = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
        origin = turn @ (self._eye - box.centre)
        one, other = (-np.array(box.half) - origin) / rays, (np.array(box.half) - origin) / rays
        near, far = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
        return near.astype(np.float32), far.astype(np.float32)

    def _cast(self, depth: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
        """Draws one capsule, its ends relative to the eye, within its bounding box in the image.

        Ray and capsule as in Inigo Quilez, "Intersectors"; rays have a depth of 1, so the parameter is the depth.
        """
        c = self._camera
        nearest = max(min(start[1], end[1]) - radius, 0.05)
        if max(start[1], end[1]) + radius <= 0.1:
            return
        ends = np.array([start, end])
        edges = np.concatenate([(ends + radius)[:, [0, 2]], (ends - radius)[:, [0, 2]]])
        depths = np.stack([np.full(4, nearest), np.tile(ends[:, 1], 2) + radius], axis=1).clip(0.05)
        across = c.cx + c.fx * edges[:, :1] / depths
        down = c.cy - c.fy * edges[:, 1:] / depths
        left, right = int(max(across.min(), 0)), int(min(across.max() + 2, c.width))
        top, bottom = int(max(down.min(), 0)), int(min(down.max() + 2, c.height))
        if left >= right or top >= bottom:
            return
        window = (slice(top, bottom), slice(left, right))
        x, z, squared = self._across[left:right], self._up[top:bottom, None], self._squared[window]

        axis = (end - start).astype(np.float32)
        length2, along_start = axis @ axis, -(axis @ start)
        ray_axis = (x * axis[0] + axis[1]) + z * axis[2]
        ray_start = (x * -start[0] - start[1]) + z * -start[2]
        a = length2 * squared - ray_axis * ray_axis
        b = length2 * ray_start - along_start * ray_axis
        within = b * b - a * (length2 * (start @ start - radius * radius) - along_start * along_start)
        side = (-b - np.sqrt(within.clip(0))) / a.clip(1e-9)
        along = along_start + side * ray_axis

        ray_end = np.where(along <= 0, ray_start, (x * -end[0] - end[1]) + z * -end[2])
        to_end = np.where(along <= 0, start @ start, end @ end) - radius * radius
        within_cap = ray_end * ray_end - squared * to_end
        cap = (-ray_end - np.sqrt(within_cap.clip(0))) / squared

        on_side = (along > 0) & (along < length2)
        hit = np.where(on_side, side, cap)
        seen = np.where(on_side, within, within_cap) > 0
        part = depth[window]
        np.copyto(part, hit, where=seen & (hit > 0.05) & (hit < part), casting="same_kind")

    def _measure(self, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        c = self._camera
        row, column = rng.integers(0, _TEXTURE_MARGIN, 2)
        texture = (slice(row, row + c.height), slice(column, column + c.width))
        seen_at = np.arange(c.width, dtype=np.float32) - np.float32(c.fx * _BASELINE_M) / depth  # by the other imager
        hidden = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, -2::-1] < seen_at[:, :-1]  # behind a nearer one

        edge_m = 0.08 * max(1.0, 240 / c.width)  # a coarse image has larger steps along a wall, too
        jump = np.abs(np.diff(depth, axis=1)) > edge_m
        ragged = np.zeros(depth.shape, bool)
        ragged[:, 1:] |= jump
        ragged[:, :-1] |= jump
        jump = np.abs(np.diff(depth, axis=0)) > edge_m
        ragged[1:] |= jump
        ragged[:-1] |= jump

        chance = self._dropout[texture]
        holes = (ragged & (chance < 0.5 * self._grain)) | (chance < _DROPOUT_SHARE) | (depth > _MAX_RANGE_M)
        holes[:, :-1] |= hidden
        depth += self._texture[texture] * (self._grain * np.float32(_NOISE_PER_M2)) * depth * depth
        depth[holes] = 0
        depth *= np.float32(1 / c.depth_scale_m)
        return (depth + np.float32(0.5)).astype(np.uint16)
