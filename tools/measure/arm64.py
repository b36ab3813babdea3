"""The same recordings on this machine and on an emulated arm64, compared: windows, answers, instructions.

python tools/measure/arm64.py            # records and compares; needs root and tools/arm64.sh's packages
python tools/measure/arm64.py --count    # counts instructions too: needs qemu-user 7.2 and a C compiler
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

PROJECT = Path(__file__).resolve().parents[2]
ARM64 = str(PROJECT / "tools" / "arm64.sh")
MACHINES = {"x86-64": [sys.executable], "arm64": [ARM64, "python3"]}
BUNDLES = ("everyday", "person")
SENSORS = "imu,depth,radar"
KEPT = "tests/data/format-1.mcap"  # all sensors see somebody in it
TOLERANCE = 1e-5
_SKIPPED = 77  # arm64.sh's exit code where its tools are missing
_COUNTED = 20  # answers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true", help="count the instructions of an answer")
    parser.add_argument("--live", type=float, default=20, help="seconds of a live run on arm64 (20)")
    parser.add_argument("--answers", type=Path, nargs="+", help=argparse.SUPPRESS)  # these three run on both
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.answers:
        print(json.dumps(answers(asked.answers)))
    elif asked.record:
        record(asked.record)
    elif asked.repeat:
        repeat(asked.repeat)
    elif subprocess.run([ARM64]).returncode != _SKIPPED:
        with tempfile.TemporaryDirectory() as folder:
            right = compare(Path(folder))
            say(live(Path(folder), asked.live))
            if asked.count:
                say(*counted(Path(folder)))
            return 0 if right else 1
    return 0


def answers(paths: Sequence[Path]) -> Dict[str, Any]:
    """What this machine makes of recordings, and with which libraries."""
    import numpy as np
    import onnxruntime

    import cosmo_runtime as cosmo

    versions = {"Python": platform.python_version(), "NumPy": np.__version__, "ONNX Runtime": onnxruntime.__version__}
    found: Dict[str, Any] = {"versions": versions}
    for path in paths:
        found[path.name] = {}
        for name in BUNDLES:
            model = cosmo.load_model(str(PROJECT / "models" / "bundles" / name))
            windows = list(cosmo.read_recording(path).windows(model))
            predictions = [model.predict(window) for window in windows]
            found[path.name][name] = {
                "digests": {window.end_ns: window.digest() for window in windows},
                "activities": [prediction.activity for prediction in predictions],
                "probabilities": [list(prediction.probabilities.values()) for prediction in predictions],
            }
    return found


def record(path: Path) -> None:
    """Records as a live run does, with windows and predictions; but what the sensors saw comes from a recording.

    So it needs no emulated rig in real time, and both machines record the same.
    """
    from cosmo_runtime.models.bundle import load_bundle
    from cosmo_runtime.runtime.engines.choose import open_engine
    from cosmo_runtime.runtime.recognition.loop import recognise
    from cosmo_runtime.runtime.recognition.recognizer import Recognizer
    from cosmo_runtime.runtime.run import open_replay
    from cosmo_runtime.runtime.sinks.recording import RecordingSink
    from cosmo_runtime.runtime.sources.replay import windows_key
    from cosmo_runtime.runtime.windows.aligner import Aligner
    from cosmo_runtime.sensors.recording import Recording, RecordingWriter

    bundle = load_bundle(PROJECT / "models" / "bundles" / BUNDLES[0])
    run = open_replay(Recording(PROJECT / KEPT), SENSORS.split(","), bundle.spec, 300.0, paced=False)
    with RecordingWriter(path, run.infos, {"windows": windows_key(bundle.spec, 300.0)}) as writer:
        sink = RecordingSink(writer)
        recognizer = Recognizer(bundle, open_engine(bundle, "auto", 1))
        recognise(run.events, Aligner(bundle.spec, run.infos), recognizer, run.infos, [sink], live=False)
        sink.close()


def repeat(answers: int) -> None:
    """Answers the first whole window of the kept recording a number of times."""
    import cosmo_runtime as cosmo

    model = cosmo.load_model(str(PROJECT / "models" / "bundles" / BUNDLES[0]))
    windows = cosmo.read_recording(PROJECT / KEPT).windows(model)
    whole = next(window for window in windows if all(window.present.values()))
    for _ in range(answers):
        model.predict(whole)


def compare(folder: Path) -> bool:
    """Records on each machine, lets both answer all recordings, and says what differs. Returns whether it is right."""
    recordings = {name: folder / f"{name}.mcap" for name in MACHINES}
    for name, path in recordings.items():
        measure(MACHINES[name], "--record", str(path))
    asked = ["--answers", KEPT, *map(str, recordings.values())]
    one, other = (json.loads(measure(python, *asked).stdout) for python in MACHINES.values())
    say(f"x86-64: {one.pop('versions')}", f"arm64: {other.pop('versions')}")
    right = True
    for recording, bundles in one.items():
        for bundle, mine in bundles.items():
            same, line = compared(mine, other[recording][bundle])
            say(f"{recording}, {bundle}: {line}")
            right &= same
    for recorded, replayed in ("x86-64", "arm64"), ("arm64", "x86-64"):
        words = ["--sensors", SENSORS, "--bundle", BUNDLES[0], "--replay", str(recordings[recorded]), "--speed", "max"]
        done = cosmo(MACHINES[replayed], *words, "--output", str(folder / f"{replayed}.jsonl"))
        verdict = re.search(r"bit for bit: .*", done.stderr)
        say(f"recorded on {recorded}, replayed on {replayed}: {verdict[0] if verdict else done.stderr}")
        right &= done.returncode == 0 and verdict is not None
    return right


def compared(one: Dict[str, Any], other: Dict[str, Any]) -> Tuple[bool, str]:
    """Whether two machines made the same of a recording, and how far they are apart."""
    same_windows, same_activities = (one[key] == other[key] for key in ("digests", "activities"))
    pairs = zip(one["probabilities"], other["probabilities"])
    apart = max((abs(a - b) for left, right in pairs for a, b in zip(left, right)), default=0.0)
    said = "the same" if same_activities else "OTHER"
    line = (
        f"{len(one['digests'])} windows, {'equal bit for bit' if same_windows else 'DIFFERENT'}; {said} activities; "
        f"probabilities at most {apart:.1e} apart"
    )
    return bool(one["digests"]) and same_windows and same_activities and apart <= TOLERANCE, line


def live(folder: Path, seconds: float) -> str:
    """What an emulated rig brings on arm64 in real time, in words. An emulated processor is too slow for much of it."""
    rig = ["--sensors", SENSORS, "--at-least", "1", "--emulate", "person", "--duration", str(seconds)]
    done = cosmo(MACHINES["arm64"], *rig, "--bundle", BUNDLES[0], "--output", str(folder / "live.jsonl"))
    return f"live on arm64, {seconds:g} s:\n{done.stderr}"


def counted(folder: Path) -> Iterator[str]:
    """Counts the instructions of one answer, from a window to a prediction, on both machines.

    qemu counts on both, with the same plugin: what a run of 21 answers takes more than a run of one, per answer.
    """
    missing = [tool for tool in ("qemu-x86_64", "qemu-aarch64", "cc") if not shutil.which(tool)]
    if missing:
        yield f"not counted: there is no {', '.join(missing)}; apt-get install qemu-user gcc"
        return
    plugin = str(folder / "count.so")
    source = str(PROJECT / "tools" / "measure" / "count_instructions.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, source], check=True)
    root = subprocess.run([ARM64, "--root"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    wheels = {"PYTHONPATH": f"{PROJECT / 'src'}:{root}/opt/wheels", "PYTHONPYCACHEPREFIX": str(folder)}
    arm64 = ["qemu-aarch64", "-cpu", "cortex-a57", "-L", root, "-plugin", plugin, f"{root}/usr/bin/python3"]
    pythons = {
        "x86-64": (["qemu-x86_64", "-cpu", "max", "-plugin", plugin, sys.executable], {}),
        "arm64": (arm64, wheels),
    }
    for name, (python, variables) in pythons.items():
        few, many = (_instructions(python, variables, answers) for answers in (1, 1 + _COUNTED))
        yield f"{name}: {(many - few) / _COUNTED / 1e6:.2f} million instructions an answer"


def _instructions(python: List[str], variables: Dict[str, str], answers: int) -> int:
    done = measure(python, "--repeat", str(answers), **variables)
    found = re.search(r"^instructions (\d+)$", done.stderr, re.MULTILINE)
    if not found:
        raise SystemExit(f"{' '.join(python)} did not count:\n{done.stderr}")
    return int(found[1])


def measure(python: List[str], *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs this file on one of the machines."""
    done = _run([*python, "tools/measure/arm64.py", *words], variables)
    if done.returncode:
        raise SystemExit(f"{' '.join(done.args)} failed:\n{done.stderr}")
    return done


def cosmo(python: List[str], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the project on one of the machines."""
    return _run([*python, "-m", "cosmo_runtime.runtime.cli", *words], {})


def _run(command: List[str], variables: Dict[str, str]) -> subprocess.CompletedProcess[str]:
    fixed = {"PYTHONPATH": str(PROJECT / "src"), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    env = {**os.environ, **fixed, **variables}
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=env)


def say(*lines: str) -> None:
    """Prints lines at once."""
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
