"""Measures the CPU time of a replay at full speed: of whole processes, and without their start.

    python tools/measure/replay.py run.mcap --runs 5 --against ../other-worktree

Each process replays the recording twice. The first time also starts Python and loads libraries, the second does not.
CPU time of all threads counts, so that other work on the machine counts little. Two versions of the code take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Dict, List, Tuple

from cosmo_runtime.sensors.recording import Recording

_HERE = Path(__file__).parents[2]
_TWICE = """
import sys, time
from cosmo_runtime.runtime.cli import main
codes = [main(sys.argv[2:])]
whole_s = time.process_time()
codes.append(main(sys.argv[2:]))
with open(sys.argv[1], "w") as file:
    print(whole_s, time.process_time() - whole_s, *codes, file=file)
"""


def replay(recording: Path, tree: Path, bytecode: Path, options: List[str]) -> Tuple[float, float]:
    """CPU seconds of a whole process, and of a second replay in it."""
    words = ["--sensors", "imu,depth,radar", "--replay", str(recording), "--speed", "max", "--output", "-", *options]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "src"),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "PYTHONDONTWRITEBYTECODE": "",
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.NamedTemporaryFile("r") as figures:
        command = [sys.executable, "-c", _TWICE, figures.name, *words]
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        numbers = figures.read().split()
    if done.returncode or len(numbers) != 4 or numbers[2:] != ["0", "0"]:
        raise SystemExit(f"{tree}: the replay failed: {done.stderr}")
    return float(numbers[0]), float(numbers[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="of each version (default: 5)")
    parser.add_argument("--against", type=Path, metavar="WORKTREE", help="a checkout of another version")
    parser.add_argument("--bundle", default="person", help="name or folder of the model (default: person)")
    options = parser.parse_args()
    recorded_s = Recording(options.recording).duration_s
    trees: Dict[str, Path] = {"here": _HERE}
    if options.against:
        trees["there"] = options.against.resolve()
    took: Dict[str, List[Tuple[float, float]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as bytecode:
        for run in range(-1, options.runs):  # the first one compiles
            for name, tree in trees.items():
                times = replay(options.recording, tree, Path(bytecode) / name, ["--bundle", options.bundle])
                if run >= 0:
                    took[name].append(times)
    for name, runs in took.items():
        whole_s, again_s = (median(column) for column in zip(*runs))
        figures = {
            "recorded_s": round(recorded_s, 1),
            "whole_process_cpu_s": round(whole_s, 2),
            "without_start_cpu_s": round(again_s, 3),
            "whole_process_times_real_time": round(recorded_s / whole_s, 1),
            "without_start_times_real_time": round(recorded_s / again_s, 1),
            "runs_cpu_s": [[round(value, 3) for value in run] for run in runs],
        }
        print(json.dumps({name: figures}))


if __name__ == "__main__":
    main()
