"""How people act on request, as data sets record them: on one spot, from standing and back, a few times at most.

Some ways are those of daily life. In an act, arms move to where a camera sees them, and with more force. How far they
reach, how deep people sink and how fast they step was set by skeletons of real people who act
(``tools/acting_check.py``).
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.activities.pose import (
    alternating,
    arm,
    hands_meet,
    lean,
    squatting,
    standing,
    step_on_the_spot,
)
from cosmo_runtime.sensors.simulation.activities.posture import rocked, sit_down
from cosmo_runtime.sensors.simulation.activities.scene import Move, Scene, ramp
from cosmo_runtime.sensors.simulation.body import (
    ABDUCT,
    CHEST,
    FLEX,
    FOOT,
    HAND,
    LEFT,
    LIFT,
    RIGHT,
    SHANK,
    THIGH,
    TURN,
    UPPER_ARM,
    channel,
)
from cosmo_runtime.sensors.simulation.gesture import gesture
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

Phase = Callable[[np.ndarray], np.ndarray]
"""From times to a phase in radians."""
Swing = Tuple[float, float]
"""The middle of an angle, and how far it swings; radians."""


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
    return _waving(scene, phase_of, flex, (abduct, from_shoulder), (elbow, from_elbow), (turn, sway))


def wave_across(scene: Scene) -> Move:
    """Waves with the arm reaching ahead, at the height of the head, from side to side."""
    phase_of = scene.rate(1.6)
    flex, elbow = scene.rng.uniform(1.4, 2.2), scene.rng.uniform(0.5, 1.4)
    aside, sway = scene.rng.uniform(-0.15, 0.35), scene.rng.uniform(0.15, 0.45)
    forearm, turn = scene.rng.uniform(0.0, 0.4), scene.rng.uniform(-0.8, 0.2)
    return _waving(scene, phase_of, flex, (aside, sway), (elbow, 0.1), (turn, -forearm))


def _waving(scene: Scene, phase_of: Phase, flex: float, abduct: Swing, elbow: Swing, turn: Swing) -> Move:
    """An arm that is held up, its angles swinging about a middle, each by its own amount."""

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        beat = np.sin(phase_of(t))
        angles = [middle + swing * beat for middle, swing in (abduct, elbow, turn)]
        arm(motion, scene.side, flex, *angles)
        motion[:, channel(HAND[scene.side], ABDUCT)] = 0.25 * np.sin(phase_of(t) - 0.6)
        return motion

    return move


def clap_hard(scene: Scene) -> Move:
    """Claps a few times. The hands meet with a blow that stops them at once."""
    phase_of = scene.rate(0.85)
    flex, elbow = scene.rng.uniform(0.3, 0.9), scene.rng.uniform(0.9, 2.2)
    width, rise = scene.rng.uniform(0.15, 0.9), scene.rng.uniform(-0.15, 0.25)
    opened = scene.rng.uniform(0.0, 0.8)
    reach_m = (scene.body.forearm_m + 0.06 * scene.body.height_m) * np.sin(elbow) + 1e-3
    meet = np.arcsin(min(0.95, (scene.body.shoulder_m - 0.03) / reach_m)) + scene.rng.uniform(0.0, 0.25)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        apart = np.abs(np.sin(phase_of(t)))
        for side in (LEFT, RIGHT):
            arm(
                motion,
                side,
                flex=flex + rise * apart,
                abduct=0.05 + 0.25 * width * apart,
                elbow=elbow * (1 - 0.4 * opened * apart),
                turn=meet - width * apart,
                roll=0.2,
            )
        return motion

    return move


def box_in_turn(scene: Scene) -> Move:
    """Two to four straight punches, one hand after the other, each out and back at once."""
    count, gap = int(scene.rng.integers(2, 6)), scene.rng.uniform(0.4, 0.85) / scene.pace
    first, lasting = scene.rng.uniform(0.6, 0.9), scene.rng.uniform(0.16, 0.28)
    guard, aim, twist = scene.rng.uniform(1.8, 2.5), scene.rng.uniform(1.3, 1.75), scene.rng.uniform(0.1, 0.4)
    raised, aside = scene.rng.uniform(0.4, 1.1), scene.rng.uniform(0.1, 0.5)
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
                flex=raised + (aim - raised) * out,
                abduct=aside * (1 - 0.75 * out),
                elbow=guard * (1 - out) + 0.25,
                turn=close * (1 - 0.5 * out),
                roll=roll * out,
            )
            motion[:, channel(CHEST, TURN)] += (twist if side == RIGHT else -twist) * out
        return motion

    return move


def squat_with_arms(scene: Scene) -> Move:
    """Squats once, the arms stretched ahead, hands often together, or to the sides from before it until after it."""
    down_s, stay_s = scene.rng.uniform(0.6, 1.0), scene.rng.uniform(0.0, 0.4)
    start, depth, stoop = scene.rng.uniform(0.6, 1.3), scene.vary(1.3, 0.2), scene.rng.uniform(0.1, 0.4)
    flex, elbow, lead = scene.rng.uniform(1.1, 1.75), scene.rng.uniform(0.1, 0.5), scene.rng.uniform(0.2, 0.9)
    meet = hands_meet(scene.body, elbow)
    abduct = scene.rng.uniform(0.5, 1.1) * meet if scene.rng.random() < 0.7 else scene.rng.uniform(0.0, 0.9)
    lowered = scene.rng.uniform(-0.3, 0.5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        up = start + down_s + stay_s
        down = ramp(t, start, down_s) - ramp(t, up, down_s)
        arms = ramp(t, start - lead, 0.6) - ramp(t, up + down_s + lowered, 0.8)
        squatting(motion, down, depth, stoop)
        for side in (LEFT, RIGHT):
            arm(motion, side, flex=0.05 + flex * arms, abduct=0.1 + (abduct - 0.1) * arms, elbow=0.2 + elbow * arms)
        return motion

    return move


def sit_slowly(scene: Scene) -> Move:
    """Sits down with care on a seat that may be high, the arms often left hanging."""
    move = sit_down(scene._replace(pace=scene.pace * scene.rng.uniform(0.6, 1.1)))
    hang, flex, elbow = scene.rng.random() < 0.7, scene.rng.uniform(-0.2, 0.5), scene.rng.uniform(0.1, 0.6)
    low = scene.rng.uniform(0.78, 1.0)
    legs = [channel(bone[side], FLEX) for bone in (THIGH, SHANK, FOOT) for side in (LEFT, RIGHT)]

    def moved(t: np.ndarray) -> np.ndarray:
        motion = move(t)
        motion[:, legs] *= low
        for side in (LEFT, RIGHT) if hang else ():
            down = (motion[:, channel(UPPER_ARM[side], FLEX)] - 0.05).clip(0, 1)
            arm(motion, side, flex=0.05 + flex * down, abduct=0.15, elbow=0.2 + elbow * down)
        return motion

    return moved


def stand_up_slowly(scene: Scene) -> Move:
    """Sits for a moment, then rises with care."""
    start, seconds, tip = scene.rng.uniform(0.1, 0.5), scene.rng.uniform(1.0, 2.0), scene.vary(0.6, 0.3)
    return lambda t: rocked(t, scene.before, standing(t, scene.place), ramp(t, start, seconds), tip)


def march(scene: Scene) -> Move:
    """Walks on the spot, the arms nearly straight and swinging far or hardly."""
    phase_of = scene.rate(0.85)
    knees, swing, elbow = scene.rng.uniform(0.2, 0.55), scene.rng.uniform(0.1, 0.9), scene.rng.uniform(0.1, 0.5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        step_on_the_spot(motion, phase, knees, heels=1.7)
        for side, beat in alternating(phase):
            ahead = -np.sin(beat)
            arm(motion, side, flex=swing * (ahead + 0.2), abduct=0.15, elbow=elbow * (1 + ahead))
        motion[:, channel(CHEST, TURN)] = 0.06 * np.sin(phase)
        return motion

    return move


def jog_with_loose_arms(scene: Scene) -> Move:
    """Jogs on the spot, the forearms swinging up and down."""
    phase_of = scene.rate(1.4)
    knees, swing, elbow = scene.rng.uniform(0.25, 0.6), scene.rng.uniform(0.1, 0.5), scene.rng.uniform(1.0, 1.5)
    loose, hop_m, heels = scene.rng.uniform(0.2, 0.9), scene.rng.uniform(0.0, 0.05), scene.rng.uniform(1.2, 2.2)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        motion[:, LIFT] = hop_m * np.cos(phase) ** 2
        lean(motion, 0.03, 0.06)
        step_on_the_spot(motion, phase, knees, heels, hip=0.06, knee=0.15)
        for side, beat in alternating(phase):
            ahead = -np.sin(beat)
            arm(motion, side, flex=swing * ahead, abduct=0.18, elbow=elbow + loose * ahead, turn=0.3)
        motion[:, channel(CHEST, TURN)] = 0.1 * np.sin(phase)
        return motion

    return move


_usual = {name: act(ACTIVITIES[name]) for name in ("run on the spot", "jump", "clap", "punch", "bend")}

_WAYS: Dict[str, Tuple[Way, ...]] = {
    "walk": (act(walk_on_the_spot), act(march)),
    "run on the spot": (_usual["run on the spot"], act(jog_gently), act(jog_with_loose_arms)),
    "clap": (_usual["clap"], act(clap_with_long_arms), *(act(clap_hard),) * 4),
    "wave": (act(wave_low), act(wave_high), act(wave_across), act(wave_across)),
    "punch": (_usual["punch"], act(box_fast), act(box_in_turn), act(box_in_turn)),
    "squat": (squat_once, squat_with_arms, squat_with_arms, squat_with_arms),
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
