"""Measures lossless codecs for 16-bit depth: bytes and CPU time per frame, on real and on emulated frames.

    python tools/depth_codecs.py PATH/utd-mhad

Real frames are all of one person of UTD-MHAD, 320×240, with a background of 0. Emulated ones show the simulated person,
240×135, in a furnished room, like those of a camera at 480×270 after decimation. CPU is the process's own time on one
thread.

RVL (Wilson, "Fast lossless depth image compression", 2017) writes the lengths of runs of pixels without and with depth,
and for the latter the differences, in groups of three bits; numba compiles it here. The recorder flushes four times a
second, so about four frames share a chunk of MCAP and a call of zstd: ``chunk`` is what it really writes.
"""

from __future__ import annotations

import argparse
import io
import time
from itertools import islice
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import numba
import numpy as np
import zstandard
from PIL import Image

from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.simulation.offline import events
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import load, trial_names

Codec = Callable[[np.ndarray, np.ndarray], bytes]


def zstd(level: int, change: bool = False, planes: bool = False) -> Codec:
    """zstd on a frame, or on its difference from the previous one; ``planes``: low bytes first, then high bytes."""
    compressor = zstandard.ZstdCompressor(level=level)

    def encode(frame: np.ndarray, before: np.ndarray) -> bytes:
        data = frame - before if change else frame  # modulo 2^16, so it can be undone
        raw = data.tobytes()
        if planes:
            raw = np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()
        return compressor.compress(raw)

    return encode


def neighbours(level: int) -> Codec:
    """zstd on the difference of each pixel from its left neighbour, low bytes first, then high bytes."""
    compressor = zstandard.ZstdCompressor(level=level)

    def encode(frame: np.ndarray, before: np.ndarray) -> bytes:
        data = frame.copy()
        data[:, 1:] -= frame[:, :-1]
        return compressor.compress(data.view(np.uint8).reshape(-1, 2).T.tobytes())

    return encode


def png(frame: np.ndarray, before: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "png", compress_level=1)
    return file.getvalue()


@numba.njit(cache=False)
def _rvl(pixels: np.ndarray, nibbles: np.ndarray) -> int:
    """Writes nibbles, whose highest bit says that more follow. Returns their number."""
    count, at, before = 0, 0, 0
    while at < len(pixels):
        begin = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        count = _nibbles_of(at - begin, nibbles, count)
        begin = at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        count = _nibbles_of(at - begin, nibbles, count)
        for position in range(begin, at):
            change = int(pixels[position]) - before
            before = int(pixels[position])
            count = _nibbles_of((change << 1) ^ (change >> 63), nibbles, count)
    return count


@numba.njit(cache=False)
def _nibbles_of(value: int, nibbles: np.ndarray, count: int) -> int:
    while True:
        rest = value >> 3
        nibbles[count] = (value & 7) | (8 if rest else 0)
        count += 1
        value = rest
        if not value:
            return count


def rvl(level: int = 0) -> Codec:
    """RVL on a frame, then zstd if there is a level."""
    compressor = zstandard.ZstdCompressor(level=level) if level else None
    _rvl(np.ones(1, np.uint16), np.zeros(8, np.uint8))  # compiles

    def encode(frame: np.ndarray, before: np.ndarray) -> bytes:
        nibbles = np.zeros(6 * frame.size + 8, np.uint8)
        count = _rvl(frame.ravel(), nibbles)
        count += count % 2
        packed = (nibbles[:count:2] << 4 | nibbles[1:count:2]).tobytes()
        return compressor.compress(packed) if compressor else packed

    return encode


def chunk(level: int, change: bool = False) -> Codec:
    """zstd on four frames at once, or on their differences. Frames that wait for the fourth cost nothing."""
    compressor = zstandard.ZstdCompressor(level=level)
    waiting: List[bytes] = []

    def encode(frame: np.ndarray, before: np.ndarray) -> bytes:
        first = not waiting  # so that each chunk can be read on its own
        waiting.append((frame - before if change and not first else frame).tobytes())
        if len(waiting) < 4:
            return b""
        data = b"".join(waiting)
        waiting.clear()
        return compressor.compress(data)

    return encode


CODECS: Dict[str, Codec] = {
    "raw": lambda frame, before: frame.tobytes(),
    "zstd 1": zstd(1),
    "zstd 3": zstd(3),
    "zstd 9": zstd(9),
    "zstd 1, bytes apart": zstd(1, planes=True),
    "zstd 3, bytes apart": zstd(3, planes=True),
    "change, zstd 1": zstd(1, change=True),
    "change, zstd 3": zstd(3, change=True),
    "change, zstd 1, bytes apart": zstd(1, change=True, planes=True),
    "change, zstd 3, bytes apart": zstd(3, change=True, planes=True),
    "neighbours, zstd 1": neighbours(1),
    "neighbours, zstd 3": neighbours(3),
    "PNG 1": png,
    "RVL": rvl(),
    "RVL, zstd 1": rvl(1),
    "chunk, zstd 1": chunk(1),
    "chunk, zstd 3 (the recorder)": chunk(3),
    "chunk, zstd 9": chunk(9),
    "chunk of changes, zstd 3": chunk(3, change=True),
    "chunk of changes, zstd 9": chunk(9, change=True),
}


def real(folder: Path) -> Iterator[np.ndarray]:
    for name in trial_names(folder, [7]):
        for frame in load(folder, "depth", name).transpose(2, 0, 1):
            yield np.ascontiguousarray(frame)


def emulated(frames: int) -> Iterator[np.ndarray]:
    person = SimulatedPerson(2000, HALF_CAMERA)
    for event in events(person, frames / person.camera.rate_hz, DepthConfig(decimation=1)):
        if isinstance(event, Sample) and event.sensor == "depth":
            yield event.data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of UTD-MHAD")
    parser.add_argument("--frames", type=int, help="of each kind (default: all of the person, and as many emulated)")
    options = parser.parse_args()
    wanted = options.frames
    for words in "UTD-MHAD", "emulated":
        frames = list(islice(real(options.data), wanted)) if words == "UTD-MHAD" else list(emulated(wanted))
        wanted = len(frames)
        print(f"{words}: {len(frames)} frames of {frames[0].shape[1]}×{frames[0].shape[0]}", flush=True)
        for name, encode in CODECS.items():
            sizes, before, began_s = 0, np.zeros_like(frames[0]), time.process_time()
            for frame in frames:
                sizes += len(encode(frame, before))
                before = frame
            cpu_ms = 1e3 * (time.process_time() - began_s) / len(frames)
            kilobytes, factor = sizes / len(frames) / 1e3, frames[0].nbytes * len(frames) / sizes
            print(
                f"  {name:<30}{kilobytes:8.1f} kB a frame, factor {factor:5.2f}, {cpu_ms:6.2f} ms a frame", flush=True
            )


if __name__ == "__main__":
    main()
