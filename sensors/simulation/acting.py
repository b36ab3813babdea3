"""How people act on request, as data sets record them: on one spot, from standing and back, a few times at most.

Half of the ways are those of daily life. Arms move otherwise in an act: to where a camera sees them, and with more
force. ``gesture`` stands for everything that has no name here.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.activities.pose import arm, lean, leg, squatting, standing
from cosmo_runtime.sensors.simulation.activities.posture import rocked, sit_down
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import ABDUCT, CHEST, HAND, LEFT, PELVIS, RIGHT, TURN, channel
from cosmo_runtime.sensors.simulation.habits import (
    Way,
    box_fast,
    clap_with_long_arms,
    jog_gently,
    squat_once,
    stand_up_at_once,
    walk_on_the_spot,
    wave_low,
)

# An arm's angles in the order of ``pose.arm``: flex, abduct, elbow, turn, roll.
_HANGING = np.array([0.05, 0.12, 0.2, 0.0, 0.0])
_LEAST, _MOST = np.array([-0.4, -0.4, 0.1, -1.2, -0.8]), np.array([2.3, 1.0, 2.1, 1.0, 0.8])


def act(way: Way) -> Way:
    """The way, begun and ended standing with hanging arms. The act is over a little before its time is."""

    def acted(scene: Scene) -> Move:
        begin, leave = scene.rng.uniform(0.0, 0.4), scene.rng.uniform(0.4, 0.7)
        end = scene.seconds - leave - scene.rng.uniform(0.0, 0.3)
        raise_s = scene.rng.uniform(0.35, 0.6)
        move = way(scene)

        def moved(t: np.ndarray) -> np.ndarray:
            rest = standing(t, scene.place)
            share = (ramp(t, begin, raise_s) - ramp(t, end, leave))[:, None]
            return rest + share * (move(t) - rest)

        return moved

    return acted


def wave_high(scene: Scene) -> Move:
    """Waves beside or above the head, from the elbow or from the shoulder."""
    phase_of = scene.rate(1.15)
    flex, abduct, elbow = scene.rng.uniform(0.3, 1.9), scene.rng.uniform(0.1, 1.1), scene.rng.uniform(0.8, 2.1)
    from_elbow, from_shoulder = scene.rng.uniform(0.1, 0.6), scene.rng.uniform(0.05, 0.4)
    turn, sway = scene.rng.uniform(-1.4, 0.2), scene.rng.uniform(0.1, 0.6)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        beat = np.sin(phase_of(t))
        arm(
            motion,
            scene.side,
            flex=flex,
            abduct=abduct + from_shoulder * beat,
            elbow=elbow + from_elbow * beat,
            turn=turn + sway * beat,
        )
        motion[:, channel(HAND[scene.side], ABDUCT)] = 0.25 * np.sin(phase_of(t) - 0.6)
        return motion

    return move


def clap_hard(scene: Scene) -> Move:
    """Claps a few times. The hands meet with a blow that stops them at once."""
    phase_of = scene.rate(0.85)
    flex, elbow = scene.rng.uniform(0.3, 1.3), scene.rng.uniform(0.4, 1.4)
    width, rise = scene.rng.uniform(0.15, 0.5), scene.rng.uniform(-0.15, 0.25)
    reach_m = (scene.body.forearm_m + 0.06 * scene.body.height_m) * np.sin(elbow) + 1e-3
    meet = np.arcsin(min(0.95, (scene.body.shoulder_m - 0.03) / reach_m))

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        apart = np.abs(np.sin(phase_of(t)))
        for side in (LEFT, RIGHT):
            arm(
                motion,
                side,
                flex=flex + rise * apart,
                abduct=0.05 + 0.25 * width * apart,
                elbow=elbow,
                turn=meet - width * apart,
                roll=0.2,
            )
        return motion

    return move


def box_in_turn(scene: Scene) -> Move:
    """Two to four straight punches, one hand after the other, each out and back at once."""
    count, gap = int(scene.rng.integers(2, 6)), scene.rng.uniform(0.4, 0.85) / scene.pace
    first, lasting = scene.rng.uniform(0.6, 0.9), scene.rng.uniform(0.16, 0.28)
    guard, aim, twist = scene.rng.uniform(1.4, 2.3), scene.rng.uniform(1.1, 1.6), scene.rng.uniform(0.1, 0.4)
    leading = scene.side if scene.rng.random() < 0.7 else 1 - scene.side
    close, roll = scene.rng.uniform(0.1, 0.6), scene.rng.uniform(0.2, 1.2)
    settle = scene.rng.uniform(0.25, 0.5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        for number_of_side, side in enumerate((leading, 1 - leading)):
            out = np.zeros(len(t))
            for number in range(number_of_side, count, 2):
                after = t - first - number * gap
                out += np.where(after < 0, np.exp(-((after / lasting) ** 2)), np.exp(-((after / settle) ** 2)))
            out = out.clip(0, 1)
            arm(
                motion,
                side,
                flex=0.4 + (aim - 0.4) * out,
                abduct=0.2 - 0.15 * out,
                elbow=guard * (1 - out) + 0.1,
                turn=close * (1 - 0.5 * out),
                roll=roll * out,
            )
            motion[:, channel(CHEST, TURN)] += (twist if side == RIGHT else -twist) * out
        return motion

    return move


def squat_with_arms(scene: Scene) -> Move:
    """Squats once or twice, the arms stretched ahead or to the sides on the way down."""
    down_s, stay_s = scene.rng.uniform(0.6, 1.0), scene.rng.uniform(0.0, 0.4)
    start, depth, stoop = scene.rng.uniform(0.3, 0.8), scene.vary(1.45, 0.15), scene.rng.uniform(0.1, 0.4)
    flex, abduct, lead = scene.rng.uniform(0.8, 1.7), scene.rng.uniform(0.1, 0.9), scene.rng.uniform(0.0, 0.6)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        up = start + down_s + stay_s
        down = ramp(t, start, down_s) - ramp(t, up, down_s)
        arms = ramp(t, start - lead, 0.8) - ramp(t, up + 0.5 * down_s, 0.8)
        squatting(motion, down, depth, stoop)
        for side in (LEFT, RIGHT):
            arm(motion, side, flex=0.05 + flex * arms, abduct=0.1 + abduct * arms, elbow=0.2)
        return motion

    return move


def sit_slowly(scene: Scene) -> Move:
    """Sits down with care."""
    return sit_down(scene._replace(pace=scene.pace * scene.rng.uniform(0.55, 0.9)))


def stand_up_slowly(scene: Scene) -> Move:
    """Sits for a moment, then rises with care."""
    start, seconds, tip = scene.rng.uniform(0.1, 0.5), scene.rng.uniform(1.4, 2.3), scene.vary(0.6, 0.3)
    return lambda t: rocked(t, scene.before, standing(t, scene.place), ramp(t, start, seconds), tip)


def gesture(scene: Scene) -> Move:
    """Any gesture of one arm or both, through a few poses or round and round, the body following now and then."""
    times, arms = _paths(scene)
    body = _followed(scene, times)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        forward, knees, twist, step = body(t.clip(times[0], times[-1])).T
        lean(motion, 0.5 * forward, 0.5 * forward)
        for side in (LEFT, RIGHT):
            ahead = step if side == scene.side else -0.5 * step
            leg(motion, side, hip=0.04 + 0.9 * knees + ahead, knee=0.05 + 1.3 * knees + 0.6 * np.abs(step))
            arm(motion, side, *arms[side](t.clip(times[0], times[-1])).T)
        motion[:, channel(CHEST, TURN)] += twist
        motion[:, channel(PELVIS, TURN)] += 0.4 * twist
        return motion

    return move


def _paths(scene: Scene) -> Tuple[np.ndarray, Dict[int, Callable[[np.ndarray], np.ndarray]]]:
    """The times of a gesture, and each arm's angles as functions of time: (n, 5)."""
    rng = scene.rng
    grid = np.linspace(0, scene.seconds, max(8, int(50 * scene.seconds)))
    both, alike, round_and_round = rng.random() < 0.35, rng.random() < 0.6, rng.random() < 0.3
    begin, end = rng.uniform(0.1, 0.5), scene.seconds - rng.uniform(0.4, 0.9)

    def drawn() -> np.ndarray:
        count = int(rng.integers(1, 5))
        times = np.concatenate([[0, begin], np.sort(rng.uniform(begin + 0.3, end - 0.2, count)), [end, scene.seconds]])
        times = np.maximum.accumulate(times + 1e-3 * np.arange(len(times)))
        middle = rng.uniform(_LEAST, _MOST, (count, 5))
        poses = np.concatenate([[_HANGING, _HANGING], middle, [_HANGING, _HANGING]])
        path = PchipInterpolator(times, poses)(grid)
        if round_and_round:
            raised = ramp(grid, begin, 0.5) - ramp(grid, end - 0.5, 0.5)
            path = _HANGING + raised[:, None] * (_circles(rng, grid) - _HANGING)
        return gaussian_filter1d(path, rng.uniform(1.5, 5), axis=0, mode="nearest")

    first = drawn()
    other = (first if alike else drawn()) if both else np.tile(_HANGING, (len(grid), 1))
    return grid, {
        scene.side: PchipInterpolator(grid, first),
        1 - scene.side: PchipInterpolator(grid, other),
    }


def _circles(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """The angles (n, 5) of an arm whose hand goes round and round ahead."""
    turn = 2 * np.pi * rng.uniform(0.3, 1.2) * rng.choice([-1, 1]) * times + rng.uniform(0, 6)
    flex, abduct = rng.uniform(0.6, 1.6), rng.uniform(-0.1, 0.6)
    size = rng.uniform(0.2, 0.7, 2)
    angles = np.tile(_HANGING, (len(times), 1))
    angles[:, 0], angles[:, 1] = flex + size[0] * np.sin(turn), abduct + size[1] * np.cos(turn)
    angles[:, 2] = rng.uniform(0.2, 1.2)
    return angles


def _followed(scene: Scene, times: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How the body follows: forward lean, bent knees, twist, step ahead, (n, 4). Often it hardly does."""
    rng = scene.rng
    share = rng.choice([0.1, 1.0], p=[0.7, 0.3])
    most = share * np.array([rng.uniform(0, 1.3), rng.uniform(0, 0.8), rng.uniform(-0.9, 0.9), rng.uniform(0, 0.9)])
    start = rng.uniform(0.2, 0.6)
    back = max(start + 0.8, scene.seconds - rng.uniform(0.8, 1.5))
    way = ramp(times, start, rng.uniform(0.5, 1.0)) - ramp(times, back, 0.7)
    return PchipInterpolator(times, way[:, None] * most)


_usual = {name: act(ACTIVITIES[name]) for name in ("run on the spot", "squat", "jump", "wave", "clap", "punch", "bend")}

_WAYS: Dict[str, Tuple[Way, ...]] = {
    "walk": (act(walk_on_the_spot),),
    "run on the spot": (_usual["run on the spot"], act(jog_gently)),
    "clap": (_usual["clap"], act(clap_with_long_arms), act(clap_hard), act(clap_hard), act(clap_hard)),
    "wave": (_usual["wave"], act(wave_low), act(wave_high), act(wave_high)),
    "punch": (_usual["punch"], act(box_fast), act(box_in_turn), act(box_in_turn)),
    "squat": (squat_once, squat_with_arms, squat_with_arms),
    "bend": (_usual["bend"],),
    "jump": (_usual["jump"],),
    "sit down": (sit_down, sit_slowly, sit_slowly),
    "stand up": (stand_up_at_once, stand_up_slowly, stand_up_slowly),
    NONE: (gesture,),
}


def any_act(activity: str, rng: np.random.Generator) -> Way:
    """Draws a way to act an activity on request, or one of the gestures that have no name."""
    ways = _WAYS.get(activity) or (ACTIVITIES[activity],)
    return ways[int(rng.integers(len(ways)))]
