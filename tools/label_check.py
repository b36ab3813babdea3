"""Compares proposed labels with the truth: `python tools/label_check.py RECORDING.mcap LABELS.csv`.

The recording must be of an emulated rig, because it contains what the person really did. The labels are those that
`cosmo-runtime label` wrote for it. A true activity counts as found if its intersection over union with a labelled
segment is at least one half.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List

import numpy as np

from cosmo_runtime.names import NONE, UNCERTAIN
from cosmo_runtime.runtime.labels.rows import LabelTable
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingError


def truth_of(recording: Recording) -> List[Segment]:
    """What the person did up to the last sample, without rests."""
    truths = TruthLine()
    last_ns = 0
    for event in recording.events():
        if isinstance(event, Truth):
            truths.add(event)
        elif isinstance(event, Sample):
            last_ns = event.stamp_ns
    truths.add(Truth(last_ns, ""))
    return [segment for segment in truths.segments() if segment.activity != NONE and segment.end_ns <= last_ns]


def labels_of(path: Path, start_ns: int) -> List[Segment]:
    """The table as it is, uncorrected."""

    def clock(text: str) -> int:
        return start_ns + round(float(text) * 1e9)

    rows = [row.cells for row in LabelTable(path).rows]
    return [Segment(clock(row["start"]), clock(row["end"]), row["activity"]) for row in rows]


def share(one: Segment, other: Segment) -> float:
    """Intersection over union."""
    both_ns = min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns)
    return max(both_ns, 0) / (max(one.end_ns, other.end_ns) - min(one.start_ns, other.start_ns))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0] + ".")
    parser.add_argument("recording", type=Path, metavar="RECORDING.mcap", help="recording of an emulated rig")
    parser.add_argument("labels", type=Path, metavar="LABELS.csv", help="labels that `cosmo-runtime label` wrote")
    options = parser.parse_args()
    try:
        recording = Recording(options.recording)
        truth = truth_of(recording)
        labels = labels_of(options.labels, recording.start_ns)
    except (RecordingError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not truth or not labels:
        print("the recording holds no truth, or the table no label", file=sys.stderr)
        return 1
    pairs = [(true, max(labels, key=lambda label: share(true, label))) for true in truth]
    found = [(true, label) for true, label in pairs if share(true, label) >= 0.5]
    print(f"activities {len(truth)}, labelled {len(labels)}, found {len(found) / len(truth):.1%}")
    if found:
        errors_s = [abs(a - b) / 1e9 for true, label in found for a, b in zip(true[:2], label[:2])]
        median, most = np.percentile(errors_s, [50, 90])
        right = sum(true.activity == label.activity for true, label in found)
        unsure = sum(label.activity == UNCERTAIN for _, label in found)
        print(f"their boundaries are off by {median:.2f} s (median), {most:.2f} s (90 % at most)")
        print(f"their guesses: right {right / len(found):.1%}, {UNCERTAIN} {unsure / len(found):.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
