"""Daily activities as motions of a body, each drawn anew within what people vary.

An activity takes a ``Scene`` and returns a ``Move``: seconds since its start in, a motion (n, ``CHANNELS``) out.
Moves are smooth and defined at every time, so that the next activity can blend in from the one before.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from sensors.emulation.body import (
    ABDUCT,
    CHANNELS,
    CHEST,
    FLEX,
    FOOT,
    FOREARM,
    HAND,
    HEAD,
    HEADING,
    LEFT,
    LIFT,
    PELVIS,
    PLANTED,
    RIGHT,
    SHANK,
    THIGH,
    TURN,
    UPPER_ARM,
    Body,
    X,
    Y,
    channel,
)

Move = Callable[[np.ndarray], np.ndarray]

_SOFT_LANDING = 25.0  # who falls is stopped within about a tenth of a second


class Place(NamedTuple):
    """Where someone stands (metres in the room) and faces (radians; 0 is away from the rig)."""

    x: float
    y: float
    heading: float


class Scene(NamedTuple):
    """What an activity is drawn from.

    Attributes:
        rng: of its variation.
        body: of the person.
        pace: the person's speed; 1 is the average.
        place: where it happens.
        loop: half axes (sideways, ahead) in metres of the free floor in front of ``place``, for walking.
        seconds: how long it lasts.
        settle_s: how long the person takes to get into it from the activity before.
        topple: where there is room to fall to: 0 ahead, pi / 2 to the left, pi behind.
        side: the hand that does what one hand does, ``LEFT`` or ``RIGHT``.
        before: the person's pose (CHANNELS,) at its start.
    """

    rng: np.random.Generator
    body: Body
    pace: float
    place: Place
    loop: tuple[float, float]
    seconds: float
    settle_s: float
    topple: float
    side: int
    before: np.ndarray

    def vary(self, mean: float, share: float = 0.15) -> float:
        """Draws around a mean, never further than 2.5 times the share."""
        return mean * (1 + share * float(np.clip(self.rng.normal(), -2.5, 2.5)))

    def rate(self, mean_hz: float) -> Callable[[np.ndarray], np.ndarray]:
        """Draws a rhythm that is not quite even; returns its phase in radians over time."""
        rate = 2 * np.pi * self.vary(mean_hz * self.pace, 0.1)
        drift, period, start = self.rng.uniform(0.1, 0.35), self.rng.uniform(2, 5), self.rng.uniform(0, 2 * np.pi)
        return lambda t: rate * t + drift * (np.sin(2 * np.pi * t / period + start) - np.sin(start))


def ramp(t: np.ndarray, start: float, seconds: float) -> np.ndarray:
    """From 0 to 1 with no jerk at either end."""
    s = np.clip((t - start) / seconds, 0, 1)
    return s * s * s * (10 + s * (6 * s - 15))


def glide(t: np.ndarray, start: float, seconds: float, ease: float) -> np.ndarray:
    """From 0 to 1 at an even speed, reached and left over ``ease`` seconds."""
    s = np.clip(t - start, 0, seconds)
    slow = np.clip(s - (seconds - ease), 0, ease)
    begun = np.clip(s, 0, ease)
    lag = ease / (2 * np.pi) * (np.sin(np.pi * begun / ease) - np.sin(np.pi * slow / ease))
    return (s - begun / 2 - slow / 2 - lag) / (seconds - ease)


def standing(t: np.ndarray, place: Place) -> np.ndarray:
    """Upright with the arms hanging."""
    motion = np.zeros((len(t), CHANNELS))
    motion[:, [X, Y, HEADING]] = place
    motion[:, PLANTED] = 1
    for side in (LEFT, RIGHT):
        arm(motion, side, flex=0.05, abduct=0.12, elbow=0.2)
        leg(motion, side, hip=0.04, knee=0.05)
    return motion


def arm(
    motion: np.ndarray,
    side: int,
    flex: np.ndarray | float,
    abduct: np.ndarray | float,
    elbow: np.ndarray | float,
    turn: np.ndarray | float = 0.0,
    roll: np.ndarray | float = 0.0,
) -> None:
    """Sets one arm: ``turn`` of the upper arm inward, ``roll`` of the forearm inward."""
    motion[:, channel(UPPER_ARM[side], FLEX)] = flex
    motion[:, channel(UPPER_ARM[side], ABDUCT)] = abduct
    motion[:, channel(UPPER_ARM[side], TURN)] = turn
    motion[:, channel(FOREARM[side], FLEX)] = elbow
    motion[:, channel(FOREARM[side], TURN)] = roll


def leg(motion: np.ndarray, side: int, hip: np.ndarray | float, knee: np.ndarray | float, flat: float = 1.0) -> None:
    """Sets one leg: ``hip`` from the vertical of the room, and the share by which the foot stays level."""
    motion[:, channel(THIGH[side], FLEX)] = hip + motion[:, channel(PELVIS, FLEX)]
    motion[:, channel(SHANK[side], FLEX)] = knee
    motion[:, channel(FOOT[side], FLEX)] = flat * (knee - hip)


def lean(motion: np.ndarray, pelvis: np.ndarray | float, chest: np.ndarray | float) -> None:
    """Bends the trunk forward; ``leg`` comes after it."""
    motion[:, channel(PELVIS, FLEX)] = pelvis
    motion[:, channel(CHEST, FLEX)] = chest
    motion[:, channel(HEAD, FLEX)] = -0.4 * (pelvis + chest)


def stand_still(scene: Scene) -> Move:
    """Stands, and fidgets now and then: a hand to the face, a shift of weight."""
    fidgets = [
        (scene.rng.uniform(0.8, scene.seconds), scene.rng.uniform(0.7, 1.4), scene.rng.integers(2))
        for _ in range(scene.rng.poisson(0.6))
    ]
    reach, shift = scene.rng.uniform(0.15, 0.8, len(fidgets)), scene.rng.normal(0, 0.06, len(fidgets))

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        for (start, seconds, side), amount, weight in zip(fidgets, reach, shift):
            there = ramp(t, start, seconds) * ramp(-t, -start - 2.2 * seconds, seconds)
            motion[:, channel(UPPER_ARM[side], FLEX)] += 0.6 * amount * there
            motion[:, channel(FOREARM[side], FLEX)] += 2.2 * amount * there
            motion[:, channel(UPPER_ARM[side], TURN)] += 0.5 * amount * there
            motion[:, channel(CHEST, ABDUCT)] += weight * there
        return motion

    return move


def walk(scene: Scene) -> Move:
    """Walks around an ellipse in front of the place and comes back to it, in a gait that fits the speed."""
    across, ahead = np.array(scene.loop) * scene.rng.uniform(0.75, 1)
    round_m = np.pi * (3 * (across + ahead) - np.sqrt((3 * across + ahead) * (across + 3 * ahead)))
    moving_s = scene.seconds - 0.7
    rounds = max(1, round(scene.vary(1.15 * scene.pace, 0.1) * moving_s / round_m))
    way = scene.rng.choice([-1, 1])
    stride_m = scene.vary(0.78) * scene.body.height_m * np.clip(rounds * round_m / moving_s / 1.2, 0.55, 1.2) ** 0.5
    swing = min(1.15 * stride_m / (4 * (scene.body.thigh_m + scene.body.shank_m)), 0.5)
    arms, elbow, knee = scene.vary(0.65, 0.35) * swing, scene.vary(0.35, 0.3), scene.vary(0.9, 0.1)
    stoop = scene.rng.uniform(0, 0.12)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        done = glide(t, 0.2, moving_s, 0.8) * rounds
        gait = ramp(t, 0.1, 0.7) * ramp(-t, -moving_s - 0.3, 0.7)
        angle = 2 * np.pi * done
        aside, forward = way * across * np.sin(angle), ahead * (1 - np.cos(angle))
        tangent = np.arctan2(ahead * np.sin(angle), across * np.cos(angle))
        tangent += 2 * np.pi * np.round((angle - tangent) / (2 * np.pi))
        cos, sin = np.cos(scene.place.heading), np.sin(scene.place.heading)
        motion[:, X] += aside * cos - forward * sin
        motion[:, Y] += aside * sin + forward * cos
        motion[:, HEADING] += way * (tangent - np.pi / 2 * (ramp(t, 0.0, 0.8) - ramp(t, moving_s - 0.2, 0.8)))
        motion[:, PLANTED] = 1 - gait
        phase = 2 * np.pi * done * round_m / stride_m
        lean(motion, 0.03 * gait, stoop * gait)
        for side, beat in ((LEFT, phase), (RIGHT, phase + np.pi)):
            lifted = (0.5 + 0.5 * np.cos(beat + 0.45)) ** 2
            leg(motion, side, hip=gait * (swing * np.sin(beat) + 0.08), knee=0.08 + gait * knee * lifted, flat=0.75)
            arm(
                motion,
                side,
                flex=-gait * arms * np.sin(beat) + 0.05,
                abduct=0.12,
                elbow=0.2 + gait * (elbow - 0.35 * arms * np.sin(beat)),
            )
        motion[:, channel(PELVIS, TURN)] = 0.07 * gait * np.sin(phase)
        motion[:, channel(CHEST, TURN)] = -0.14 * gait * np.sin(phase)
        motion[:, channel(CHEST, ABDUCT)] = 0.04 * gait * np.cos(phase)
        return motion

    return move


def run_on_the_spot(scene: Scene) -> Move:
    """Runs without getting anywhere: knees high, elbows bent."""
    phase_of = scene.rate(1.35)
    knees, swing, elbow = scene.vary(0.75, 0.3), scene.vary(0.5, 0.25), scene.vary(1.45, 0.12)
    hop_m = scene.rng.uniform(0.02, 0.07)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        motion[:, PLANTED] = 0
        motion[:, LIFT] = hop_m * np.cos(phase) ** 2
        lean(motion, 0.05, 0.08)
        for side, beat in ((LEFT, phase), (RIGHT, phase + np.pi)):
            up = (0.5 + 0.5 * np.sin(beat)) ** 1.5
            leg(motion, side, hip=0.1 + knees * up, knee=0.25 + 1.5 * knees * up, flat=0.6)
            arm(motion, side, flex=-swing * np.sin(beat) - 0.1, abduct=0.2, elbow=elbow - 0.2 * np.sin(beat), turn=0.3)
        motion[:, channel(CHEST, TURN)] = 0.15 * np.sin(phase)
        return motion

    return move


def squat(scene: Scene) -> Move:
    """Squats again and again, arms stretched out ahead."""
    phase_of = scene.rate(0.47)
    depth, arms, stoop = scene.vary(1.5, 0.2), scene.vary(1.2, 0.2), scene.vary(0.35, 0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        down = 0.5 - 0.5 * np.cos(phase_of(t))
        lean(motion, stoop * down, 0.6 * stoop * down)
        for side in (LEFT, RIGHT):
            leg(motion, side, hip=0.04 + 0.95 * depth * down, knee=0.05 + 1.3 * depth * down)
            arm(motion, side, flex=0.1 + arms * down, abduct=0.1, elbow=0.2)
        return motion

    return move


def jump(scene: Scene) -> Move:
    """Jumps up again and again: crouches, swings the arms, flies, lands."""
    period, crouch = scene.vary(1.15 / scene.pace, 0.12), scene.vary(0.75, 0.2)
    flight_s = scene.rng.uniform(0.3, 0.46)
    arms, start = scene.vary(0.7, 0.4), scene.rng.uniform(0, 0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        flown = np.clip(np.mod(t - start, period), 0, flight_s)
        motion[:, LIFT] = 9.81 / 2 * flown * (flight_s - flown)
        tuck = np.sin(np.pi * flown / flight_s)

        def around(seconds: float, width: float) -> np.ndarray:
            away = np.mod(t - start - seconds + period / 2, period) - period / 2
            return np.exp(-((away / width) ** 2))

        sink = 0.6 * around(flight_s + 0.15, 0.12) + around(-0.2, 0.13)  # lands, and pushes off again
        lean(motion, 0.3 * crouch * sink, 0.3 * crouch * sink)
        throw = around(0.05, 0.26) - 0.5 * around(-0.3, 0.2)
        for side in (LEFT, RIGHT):
            leg(motion, side, hip=0.04 + 0.75 * crouch * sink + 0.1 * tuck, knee=0.06 + 1.35 * crouch * sink, flat=0.9)
            motion[:, channel(FOOT[side], FLEX)] -= 0.5 * tuck
            arm(motion, side, flex=0.1 + arms * throw, abduct=0.15, elbow=0.5 + 0.3 * sink)
        return motion

    return move


def wave(scene: Scene) -> Move:
    """Waves with one hand, seldom with both."""
    phase_of = scene.rate(1.6)
    raised, reach = scene.rng.uniform(1.1, 1.75), scene.vary(0.45, 0.25)
    both = scene.rng.random() < 0.15
    ahead = scene.rng.uniform(0.0, 0.5)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        for side in (LEFT, RIGHT) if both else (scene.side,):
            arm(
                motion,
                side,
                flex=ahead,
                abduct=raised + 0.12 * np.sin(phase - 0.5),
                elbow=1.5 + reach * np.sin(phase),
                turn=-1.45,
                roll=0.3 * np.sin(phase + 0.4),
            )
            motion[:, channel(HAND[side], ABDUCT)] = 0.3 * np.sin(phase - 0.8)
        return motion

    return move


def clap(scene: Scene) -> Move:
    """Claps in front of the chest; the hands stop hard where they meet."""
    phase_of = scene.rate(1.2)
    flex, elbow, width = scene.rng.uniform(0.4, 1.0), scene.vary(1.35, 0.1), scene.vary(0.55, 0.25)
    reach_m = scene.body.forearm_m + 0.06 * scene.body.height_m
    meet = np.arcsin(min(0.95, (scene.body.shoulder_m - 0.03) / (reach_m * np.sin(elbow))))

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        apart = np.sqrt(np.sin(phase_of(t)) ** 2 + 0.03)
        for side in (LEFT, RIGHT):
            arm(
                motion,
                side,
                flex=flex + 0.08 * apart,
                abduct=0.05 + 0.1 * apart,
                elbow=elbow,
                turn=meet - width * apart,
            )
        return motion

    return move


def punch(scene: Scene) -> Move:
    """Boxes at the air with one hand after the other, from a guard."""
    phase_of = scene.rate(0.75)
    reach, guard, twist = scene.vary(1.0, 0.1), scene.rng.uniform(1.9, 2.3), scene.vary(0.35, 0.3)
    aim = scene.rng.uniform(1.25, 1.6)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        phase = phase_of(t)
        lean(motion, 0.05, 0.1)
        for side, beat in ((LEFT, phase), (RIGHT, phase + np.pi)):
            out = reach * (0.5 + 0.5 * np.cos(beat + 0.35 * np.sin(beat))) ** 6
            leg(motion, side, hip=0.15 + (0.1 if side == scene.side else -0.2), knee=0.25)
            arm(
                motion,
                side,
                flex=0.45 + (aim - 0.45) * out,
                abduct=0.25 - 0.2 * out,
                elbow=guard * (1 - out) + 0.1,
                turn=0.45 - 0.2 * out,
                roll=0.9 * out,
            )
        motion[:, channel(CHEST, TURN)] = -twist * np.cos(phase)
        motion[:, channel(PELVIS, TURN)] = -0.3 * twist * np.cos(phase)
        return motion

    return move


def bend(scene: Scene) -> Move:
    """Bends down to pick something up, again and again."""
    phase_of = scene.rate(0.36)
    back, knees = scene.rng.uniform(0.9, 1.4), scene.rng.uniform(0.2, 0.8)
    aside = scene.rng.normal(0, 0.15)
    both = scene.rng.random() < 0.4

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        down = 0.5 - 0.5 * np.cos(phase_of(t))
        down = down * down * (3 - 2 * down)  # stays a moment at either end
        lean(motion, 0.5 * back * down, 0.55 * back * down)
        motion[:, channel(CHEST, TURN)] = aside * down
        for side in (LEFT, RIGHT):
            leg(motion, side, hip=0.04 + 0.6 * knees * down - 0.12 * back * down, knee=0.05 + 1.1 * knees * down)
            reach = (0.75 if both or side == scene.side else 0.3) * back
            arm(motion, side, flex=0.05 + reach * down, abduct=0.1, elbow=0.2 + 0.15 * np.sin(2 * phase_of(t)) * down)
        return motion

    return move


def _seated(t: np.ndarray, scene: Scene, slump: float, hands: float) -> np.ndarray:
    motion = standing(t, scene.place)
    lean(motion, -0.08, slump)
    for side in (LEFT, RIGHT):
        leg(motion, side, hip=np.pi / 2 - 0.03, knee=np.pi / 2 + 0.02)
        arm(motion, side, flex=0.35 + hands, abduct=0.12, elbow=0.75, turn=0.25)
    return motion


def _rocked(t: np.ndarray, start: np.ndarray, end: np.ndarray, way: np.ndarray, tip: float) -> np.ndarray:
    """From one pose to another with the trunk tipped forward on the way, as for sitting down and standing up."""
    motion = start + way[:, None] * (end - start)
    tipped = tip * np.sin(np.pi * way) ** 2
    motion[:, channel(PELVIS, FLEX)] += 0.7 * tipped
    motion[:, channel(CHEST, FLEX)] += 0.5 * tipped
    for side in (LEFT, RIGHT):
        motion[:, channel(THIGH[side], FLEX)] += 0.7 * tipped
        motion[:, channel(UPPER_ARM[side], FLEX)] += 0.5 * tipped
    return motion


def sit_down(scene: Scene) -> Move:
    """Sits down on the chair behind and stays seated."""
    start, seconds = 0.7 * scene.settle_s + scene.rng.uniform(0, 0.2), scene.vary(1.5 / scene.pace, 0.12)
    tip, slump, hands = scene.vary(0.6, 0.25), scene.rng.uniform(0, 0.25), scene.rng.uniform(-0.1, 0.35)

    def move(t: np.ndarray) -> np.ndarray:
        upright, seated = standing(t, scene.place), _seated(t, scene, slump, hands)
        return _rocked(t, upright, seated, ramp(t, start, seconds), tip)

    return move


def stand_up(scene: Scene) -> Move:
    """Rises from the chair, over most of the activity."""
    seconds, tip = scene.seconds - scene.rng.uniform(0.9, 1.1), scene.vary(0.75, 0.2)

    def move(t: np.ndarray) -> np.ndarray:
        return _rocked(t, scene.before, standing(t, scene.place), ramp(t, 0.05, seconds), tip)

    return move


def fall(scene: Scene) -> Move:
    """Topples ahead, backward or sideways, gives way at the knees, hits the floor and stays there."""
    sideways = abs(np.sin(scene.topple)) > 0.5
    axis, way = (ABDUCT, -np.sign(np.sin(scene.topple))) if sideways else (FLEX, np.cos(scene.topple))
    start, seconds = 0.8 * scene.settle_s + scene.rng.uniform(0, 0.3), scene.rng.uniform(0.75, 1.1)
    prone, under = not sideways and way > 0, (RIGHT if way > 0 else LEFT) if sideways else None
    knees, aside = scene.rng.uniform(0.2, 1.0), scene.rng.uniform(0.1, 1.0)
    ahead = scene.rng.uniform(2.9, 3.2) if prone else scene.rng.uniform(0.0, 0.5)
    reach = scene.rng.uniform(0.9, 1.6)  # of the arm that comes to lie under the body
    curl, twist = scene.rng.uniform(0.0, 0.3), scene.rng.normal(0, 0.12)
    stir = scene.rate(0.3)

    def move(t: np.ndarray) -> np.ndarray:
        motion = standing(t, scene.place)
        tipping = np.clip((t - start) / seconds, 0, 2) ** 2.2
        toppled = -np.log(np.exp(-_SOFT_LANDING * tipping) + np.exp(-_SOFT_LANDING)) / _SOFT_LANDING
        limp = ramp(t, start, 0.8 * seconds)
        give = ramp(t, start, 0.6 * seconds)
        stirring = 0.03 * np.sin(stir(t)) * limp
        motion[:, channel(PELVIS, axis)] = way * np.pi / 2 * toppled
        motion[:, channel(PELVIS, TURN)] = twist * limp
        motion[:, channel(CHEST, FLEX)] = curl * limp + stirring
        motion[:, channel(HEAD, FLEX)] = -0.3 * limp * (way if axis == FLEX else 0)
        for side in (LEFT, RIGHT):
            uneven = 0.6 if side == scene.side else 1.0
            motion[:, channel(THIGH[side], FLEX)] += knees * uneven * (give - 0.9 * limp if prone else give)
            motion[:, channel(SHANK[side], FLEX)] += 1.4 * knees * uneven * give
            motion[:, channel(FOOT[side], FLEX)] -= 0.6 * limp
            arm(
                motion,
                side,
                flex=0.05 + (reach if side == under else ahead) * limp,
                abduct=0.12 + (-0.2 if side == under else 0.1 if sideways else aside) * limp,
                elbow=0.2 + 0.4 * uneven * limp + stirring,
                turn=0.3 * limp,
            )
        return motion

    return move


def get_up(scene: Scene) -> Move:
    """Gets from the floor to the feet by way of hands and knees, or of sitting, and a crouch."""
    whole = scene.seconds - scene.rng.uniform(0.2, 0.5)
    lying = scene.before
    t0 = np.zeros(1)

    propped = standing(t0, scene.place)
    pitch = 1.0 if lying[channel(PELVIS, FLEX)] > -0.5 else -0.45  # from the back: sits up first
    lean(propped, pitch, 0.3)
    for side in (LEFT, RIGHT):
        leg(propped, side, hip=0.45 if pitch > 0 else 1.6, knee=1.9 if pitch > 0 else 1.3, flat=0.3)
        arm(propped, side, flex=1.3 if pitch > 0 else -0.6, abduct=0.25, elbow=0.15)

    crouched = standing(t0, scene.place)
    lean(crouched, 0.5, 0.4)
    for side in (LEFT, RIGHT):
        leg(crouched, side, hip=1.5 + (0.15 if side == scene.side else -0.15), knee=2.1)
        arm(crouched, side, flex=0.7, abduct=0.15, elbow=0.6)

    times = np.array([0.0, 0.1, 0.42, 0.7, 1.0]) * whole
    times[2:4] += scene.rng.normal(0, 0.04, 2) * whole
    poses = np.concatenate([lying[None], lying[None], propped, crouched, standing(t0, scene.place)])
    path = PchipInterpolator(times, poses)
    return lambda t: path(np.clip(t, 0, times[-1]))


ACTIVITIES: dict[str, Callable[[Scene], Move]] = {
    "walk": walk,
    "run on the spot": run_on_the_spot,
    "sit down": sit_down,
    "stand up": stand_up,
    "squat": squat,
    "jump": jump,
    "wave": wave,
    "clap": clap,
    "punch": punch,
    "bend": bend,
    "fall": fall,
    "get up": get_up,
    "stand still": stand_still,
}
