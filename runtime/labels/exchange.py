"""Label files of other tools: Audacity's label tracks, ELAN, and JSON of Label Studio.

All of them count seconds from the recording's start here. Tables, Audacity's included, are read by ``labels.table``.
ELAN: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf.
Label Studio: https://labelstud.io/tags/timeserieslabels.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence
from xml.etree import ElementTree

from cosmo_runtime.models.activity_names import folded

_TIER = "activity"
_FURTHEST_S = 1e10
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


class Label(NamedTuple):
    """An activity from ``start_s`` to ``end_s``, in seconds from the recording's start."""

    start_s: float
    end_s: float
    activity: str


def to_audacity(labels: Iterable[Label]) -> str:
    """Spells a label track."""
    return "".join(f"{start_s:.6f}\t{end_s:.6f}\t{activity}\n" for start_s, end_s, activity in labels)


def to_elan(labels: Sequence[Label]) -> str:
    """Spells an ELAN document with one tier."""
    space = "http://www.w3.org/2001/XMLSchema-instance"
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "cosmo-runtime",
            "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{space}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    ElementTree.register_namespace("xsi", space)
    ElementTree.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    times = ElementTree.SubElement(document, "TIME_ORDER")
    tier = ElementTree.SubElement(document, "TIER", {"LINGUISTIC_TYPE_REF": "default-lt", "TIER_ID": _TIER})
    for number, label in enumerate(labels):
        slots = f"ts{2 * number + 1}", f"ts{2 * number + 2}"
        for slot, second in zip(slots, label[:2]):
            ElementTree.SubElement(times, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(round(1000 * second))})
        places = {"ANNOTATION_ID": f"a{number + 1}", "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
        annotation = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", places)
        ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = label.activity
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(document, "LINGUISTIC_TYPE", kind)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(document, encoding="unicode") + "\n"


def from_elan(content: bytes) -> List[Label]:
    """Reads the tier ``activity`` of an ELAN document, or else the only one that has annotations on the time line.

    Raises:
        ValueError: it is none, several tiers may be meant, or an annotation has no time.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # nothing of ELAN's has them, and entities can explode
        raise ValueError("it is no ELAN document")
    try:
        document = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"it is no XML: {error}") from error
    times: Dict[str, float] = {}
    for slot in document.iter("TIME_SLOT"):
        value = slot.get("TIME_VALUE", "")
        if value.isascii() and value.isdigit() and len(value) < 13:
            times[slot.get("TIME_SLOT_ID", "")] = int(value) / 1000
    tiers = {tier.get("TIER_ID", ""): list(_annotations(tier, times)) for tier in document.iter("TIER")}
    tiers = {name: labels for name, labels in tiers.items() if labels}
    if not tiers:
        raise ValueError("it holds no annotation with a start and an end")
    meant = [name for name in tiers if folded(name) == _TIER] or list(tiers)
    if len(meant) > 1:
        raise ValueError(f"it has several tiers, {', '.join(meant)}: call the one to read {_TIER!r}")
    return tiers[meant[0]]


def to_label_studio(labels: Sequence[Label], recording: str) -> str:
    """Spells one task of a time series with its annotations."""
    results = [
        {
            "id": f"cosmo{number}",
            "from_name": "label",
            "to_name": "ts",
            "type": "timeserieslabels",
            "value": {"start": start_s, "end": end_s, "instant": False, "timeserieslabels": [activity]},
        }
        for number, (start_s, end_s, activity) in enumerate(labels)
    ]
    return json.dumps([{"data": {"recording": recording}, "annotations": [{"result": results}]}], indent=2) + "\n"


def from_label_studio(content: bytes) -> List[Label]:
    """Reads the time series labels in an export of one task, of the long form or of JSON-MIN.

    Raises:
        ValueError: it is none, it has labels of several tasks, or its times are not numbers of seconds.
    """
    try:
        exported = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    tasks = [list(_values(task, 0)) for task in (exported if isinstance(exported, list) else [exported])]
    labelled = [values for values in tasks if values]
    if len(labelled) > 1:
        raise ValueError(f"it has labels of {len(labelled)} tasks: export the task of this recording alone")
    parsed: List[Label] = []
    for value in labelled[0] if labelled else ():
        names, start, end = value["timeserieslabels"], value.get("start"), value.get("end")
        if not (isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)):
            raise ValueError("one of its labels has no name, or several")
        numbers = [float(t) for t in (start, end) if isinstance(t, (int, float)) and abs(t) < _FURTHEST_S]
        if len(numbers) != 2:
            raise ValueError(f"{start!r:.40} to {end!r:.40}: its times are not seconds from the recording's start")
        parsed.append(Label(numbers[0], numbers[1], names[0]))
    if not parsed:
        raise ValueError("it holds no time series labels")
    return parsed


def _annotations(tier: ElementTree.Element, times: Dict[str, float]) -> Iterator[Label]:
    for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
        start_s = times.get(annotation.get("TIME_SLOT_REF1", ""))
        end_s = times.get(annotation.get("TIME_SLOT_REF2", ""))
        text = annotation.findtext("ANNOTATION_VALUE") or ""
        if not text.strip():
            continue
        if start_s is None or end_s is None:
            raise ValueError(f"the annotation {text.strip()!r:.40} has no start or no end")
        yield Label(start_s, end_s, text)


def _values(item: Any, depth: int) -> Iterator[Dict[str, Any]]:
    """Every object with labels of a time series, wherever a form of export has put it.

    Predictions are none, and neither is what the annotator has cancelled.
    """
    if depth > 12 or (isinstance(item, dict) and item.get("was_cancelled")):
        return
    if isinstance(item, dict):
        if "timeserieslabels" in item:
            yield item
        else:
            for name, inner in item.items():
                if name not in ("predictions", "data"):
                    yield from _values(inner, depth + 1)
    elif isinstance(item, list):
        for inner in item:
            yield from _values(inner, depth + 1)
