"""Every legal form of an MCAP file is read, in bounded memory, and damage is told by its byte."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import lz4.frame
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.writer import MCAP0_MAGIC, CompressionType, IndexType, Writer

from cosmo_runtime.sensors.events import Event
from cosmo_runtime.sensors.recording import Recording, RecordingError, mcap_file
from tests.sensors.recording.rewriting import rewrite
from tests.sensors.recording.test_reader import assert_same

NO_INDEX: Dict[str, Any] = {
    "index_types": IndexType.NONE,
    "use_statistics": False,
    "use_summary_offsets": False,
    "repeat_channels": False,
    "repeat_schemas": False,
}
FORMS: List[Dict[str, Any]] = [
    {"use_chunking": False},
    {"use_chunking": False, **NO_INDEX},
    {"use_chunking": False, "attachment": b"x" * 100_000},
    {"compression": CompressionType.NONE},
    {"compression": CompressionType.LZ4},
    {"compression": CompressionType.ZSTD, "chunk_size": 1000},
    {"compression": CompressionType.LZ4, "index_types": IndexType.ALL ^ IndexType.MESSAGE},
    {"compression": CompressionType.NONE, "enable_crcs": False, **NO_INDEX},
    {"compression": CompressionType.ZSTD, "attachment": b"x" * 100_000, "chunk_size": 10**7},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form))
def test_every_form_reads_as_the_original(
    recorded: Path, run: List[Event], tmp_path: Path, form: Dict[str, Any]
) -> None:
    original, recording = Recording(recorded), Recording(rewrite(recorded, tmp_path / "form.mcap", **form))
    assert not recording.cut
    assert recording.infos == original.infos
    assert (recording.start_ns, recording.duration_s) == (original.start_ns, original.duration_s)
    assert list(recording.messages("/clock")) == list(original.messages("/clock"))
    events = list(recording.events())
    assert len(events) == len(run)
    for got, expected in zip(events, run):
        assert_same(got, expected)


def test_a_file_without_chunks_that_was_cut_is_read_up_to_there(recorded: Path, run: List[Event]) -> None:
    path = rewrite(recorded, recorded.with_name("cut.mcap"), use_chunking=False)
    content = path.read_bytes()
    kept = []
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        recording = Recording(path)
        assert recording.cut
        events = list(recording.events())
        for got, expected in zip(events, run):
            assert_same(got, expected)
        kept.append(len(events))
    assert 0 < kept[0] < kept[1] < kept[2] < len(run)


def test_a_chunk_of_channels_alone_has_no_time(recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "channels.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("cosmo-runtime", {"format": "2", "wall_offset_ns": "1700000000000000000"})
        channel = writer.register_channel("/ticks", "json", 0)
        writer.flush()
        writer.add_message(channel, 1700000005 * 10**9, b"{}", 1700000005 * 10**9)
        writer.finish()
    recording = Recording(path)
    assert (recording.start_ns, recording.duration_s) == (5 * 10**9, 0)


@pytest.mark.parametrize("compression", [CompressionType.LZ4, CompressionType.ZSTD, CompressionType.NONE])
def test_whatever_a_decompressor_raises_is_damage_at_a_byte(
    recorded: Path, run: List[Event], compression: CompressionType
) -> None:
    path = rewrite(recorded, recorded.with_name("other.mcap"), compression=compression, chunk_size=20_000)
    content = path.read_bytes()
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    begin, length = summary.chunk_indexes[2].chunk_start_offset, summary.chunk_indexes[2].chunk_length
    sound = None
    for at in range(begin + 9 + 28, begin + length, length // 40):
        spoilt = bytearray(content)
        spoilt[at] ^= 0xFF
        path.write_bytes(spoilt)
        read: List[Event] = []
        try:
            for event in Recording(path).events():
                read.append(event)
        except RecordingError as error:
            assert f"is damaged at byte {begin}" in str(error)
            sound = sound or len(read)
            assert len(read) == sound > 0
        else:  # LZ4 copies from before, and another place may hold the same bytes
            assert compression is CompressionType.LZ4 and len(read) == len(run)
        for got, expected in zip(read, run):
            assert_same(got, expected)


def chunk(compression: str, packed: bytes, size: int, crc: int = 0) -> bytes:
    content = struct.pack("<QQQII", 1, 2, size, crc, len(compression)) + compression.encode()
    content += struct.pack("<Q", len(packed)) + packed
    return struct.pack("<BQ", Opcode.CHUNK, len(content)) + content


def recording_of(chunks: bytes) -> bytes:
    """The bytes of a file with just enough metadata, and these chunks."""
    name, fields = b"cosmo-runtime", (b"format", b"2", b"wall_offset_ns", b"0")
    strings = b"".join(struct.pack("<I", len(field)) + field for field in fields)
    metadata = struct.pack("<I", len(name)) + name + struct.pack("<I", len(strings)) + strings
    end = struct.pack("<BQI", Opcode.DATA_END, 4, 0)
    return MCAP0_MAGIC + struct.pack("<BQ", Opcode.METADATA, len(metadata)) + metadata + chunks + end


def zeros_by_zstd(size: int, told: int = -1) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj(told)
    return b"".join([packer.compress(bytes(2**20)) for _ in range(size // 2**20)]) + packer.flush()


def zeros_by_lz4(size: int) -> bytes:
    packer = lz4.frame.LZ4FrameCompressor()
    begin = packer.begin()
    return begin + b"".join([packer.compress(bytes(2**20)) for _ in range(size // 2**20)]) + packer.flush()


READ_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from cosmo_runtime.sensors.recording import Recording, RecordingError, mcap_file

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(Recording(Path(sys.argv[1])).events())
except RecordingError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""

BOMBS: Dict[str, Tuple[str, Callable[[int], bytes], Optional[int]]] = {
    "zstd that says so": ("zstd", zeros_by_zstd, 2**30),
    "zstd that hides it": ("zstd", zeros_by_zstd, 1000),
    "zstd that says so in its frame": ("zstd", lambda size: zeros_by_zstd(size, size), 1000),
    "lz4 that says so": ("lz4", zeros_by_lz4, 2**30),
    "lz4 that hides it": ("lz4", zeros_by_lz4, 1000),
    "nothing that says so": ("", bytes, 2**40),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_that_unpacks_to_much_takes_little_memory(tmp_path: Path, bomb: str) -> None:
    compression, pack, claimed = BOMBS[bomb]
    path = tmp_path / "bomb.mcap"
    path.write_bytes(recording_of(chunk(compression, pack(2**30 if compression else 1000), claimed or 0)))
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_LITTLE_MEMORY, str(path)], capture_output=True, text=True, timeout=60
    )
    said, taken_mb = done.stdout.splitlines()
    assert f"{path} is damaged at byte" in said
    assert int(taken_mb) < 300


def test_a_compression_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(recording_of(chunk("brotli", b"xy", 2)))
    with pytest.raises(RecordingError, match=r"damaged at byte \d+ \(its compression is 'brotli', not zstd, lz4"):
        list(Recording(path).events())


def test_a_chunk_is_held_to_its_size_and_its_sum(tmp_path: Path) -> None:
    tick = struct.pack("<BQHHI", Opcode.CHANNEL, 26, 1, 0, 6) + b"/ticks" + struct.pack("<I", 4) + b"json" + bytes(4)
    path = tmp_path / "run.mcap"
    path.write_bytes(recording_of(chunk("", tick, len(tick), zlib.crc32(tick))))
    assert list(Recording(path).events()) == []
    for spoilt in (chunk("", tick, len(tick) + 1), chunk("", tick, len(tick), 77), chunk("", tick[:-9], len(tick) - 9)):
        path.write_bytes(recording_of(spoilt))
        with pytest.raises(RecordingError, match="is damaged at byte"):
            list(Recording(path).events())


def test_a_topic_is_read_without_unpacking_the_chunks_that_lack_it(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewrite(recorded, recorded.with_name("small.mcap"), chunk_size=5_000)
    unpacked: List[bytes] = []
    real = mcap_file._unpacked
    monkeypatch.setattr(mcap_file, "_unpacked", lambda chunk: unpacked.append(chunk) or real(chunk))
    clocks, all_events = Recording(path), Recording(path)
    assert list(clocks.messages("/clock")) == list(Recording(recorded).messages("/clock"))
    few = len(unpacked)
    list(all_events.events())
    assert 0 < few < (len(unpacked) - few) / 2
