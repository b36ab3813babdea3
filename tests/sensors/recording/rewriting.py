"""Recordings as other tools write them: the same records in another form, or with something else in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional

from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import Writer

Change = Callable[[str, Message], Optional[Message]]


def unchanged(topic: str, message: Message) -> Message:
    return message


def rewrite(source: Path, target: Path, change: Change = unchanged, attachment: bytes = b"", **form: Any) -> Path:
    """Writes the metadata and messages of a recording to another file, in their order.

    Args:
        source: the recording.
        target: the new file.
        change: gives what is written for a message of a topic; nothing where it gives None.
        attachment: stands between the messages, where there is one.
        form: options of ``mcap.writer.Writer``.
    """
    schemas: Dict[int, int] = {0: 0}
    channels: Dict[int, int] = {}
    topics: Dict[int, str] = {}
    with source.open("rb") as file, target.open("wb") as out:
        writer = Writer(out, **form)
        writer.start()
        for record in StreamReader(file).records:
            if isinstance(record, Schema) and record.id not in schemas:
                schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
            elif isinstance(record, Channel) and record.id not in channels:
                channels[record.id] = writer.register_channel(
                    record.topic, record.message_encoding, schemas[record.schema_id], record.metadata
                )
                topics[record.id] = record.topic
            elif isinstance(record, Metadata):
                writer.add_metadata(record.name, record.metadata)
            elif isinstance(record, Message):
                changed = change(topics[record.channel_id], record)
                if changed:
                    writer.add_message(
                        channels[record.channel_id],
                        changed.log_time,
                        changed.data,
                        changed.publish_time,
                        changed.sequence,
                    )
                if attachment:
                    writer.add_attachment(0, record.log_time, "note.txt", "text/plain", attachment)
                    attachment = b""
        writer.finish()
    return target
