from __future__ import annotations

from cosmo_runtime.runtime.episodes.clock import ClockWatch

_S = 10**9


def test_a_clock_is_set_once_it_was_known_and_by_no_less_than_a_second() -> None:
    offset_ns = slept_ns = 0
    clock = ClockWatch(lambda at_ns: offset_ns, lambda: slept_ns)
    offset_ns = 5 * _S
    assert clock.set_by_ns(0) == 0, "nothing depends on it yet"
    clock.note()
    offset_ns += 3600 * _S
    slept_ns = 3600 * _S
    assert clock.set_by_ns(1) == 0, "the computer slept"
    offset_ns -= _S - 1
    assert clock.set_by_ns(2) == 0
    offset_ns -= 1
    assert (clock.set_by_ns(3), clock.set_by_ns(3)) == (-_S, -_S), "until it is noted"
    clock.note()
    assert clock.set_by_ns(4) == 0
