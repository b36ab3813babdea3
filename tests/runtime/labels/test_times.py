"""What a time may mean is known whoever wrote it; what is none is refused."""

from __future__ import annotations

from datetime import date
from typing import List, Tuple

import pytest

from cosmo_runtime.runtime.labels.times import readings

DAY = date(2026, 11, 23)
S = 10**9


def meant(text: str, day: date = DAY) -> List[Tuple[bool, int]]:
    return [(reading.is_wall, reading.at_ns) for reading in readings(text, day)]


@pytest.mark.parametrize(
    ("text", "elapsed_ns"),
    [
        ("12.5", 12_500_000_000),
        ("12,5", 12_500_000_000),
        ("-1", -1 * S),
        (".25", 250_000_000),
        ("1e-05", 10_000),
        ("12.000000001", 12_000_000_001),
    ],
)
def test_a_small_number_is_seconds_from_the_start(text: str, elapsed_ns: int) -> None:
    assert meant(text) == [(False, elapsed_ns)]


@pytest.mark.parametrize("text", ["1795464696.25", "1795464696250", "1795464696250000", "1795464696250000000"])
def test_a_large_number_counts_from_1970_in_seconds_or_in_parts_of_them(text: str) -> None:
    assert meant(text)[-1] == (True, 1_795_464_696_250_000_000)


def test_a_time_of_day_may_count_from_the_start_too(berlin: None) -> None:
    monday_ns = 1795388400 * S  # 2026-11-23T00:00:00+01:00
    day_ns = 86400 * S
    assert meant("00:01:12.5") == [
        (False, 72_500_000_000),
        (True, monday_ns + 72_500_000_000),
        (True, monday_ns + day_ns + 72_500_000_000),
    ]
    assert meant("25:00:00") == [(False, 90_000 * S)]
    assert [reading.whole for reading in readings("20:19:32", DAY)] == [False, True, True]
    assert [reading.is_wall for reading in readings("9:00:00", None)] == [False]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T20:19:32.25+01:00",
        "2026-11-23T19:19:32.250Z",
        "2026-11-23 20:19:32,25",
        "2026/11/23 20:19:32.250000000",
        "2026-11-24T00:49:32.25+0530",
        "2026-11-23T14:19:32.25-05",
    ],
)
def test_a_date_and_a_time_are_read_as_far_as_they_are_written(berlin: None, text: str) -> None:
    assert meant(text) == [(True, 1_795_461_572_250_000_000)]


def test_what_leaves_out_the_fraction_is_known() -> None:
    texts = ("2026-11-23T20:19:32Z", "2026-11-23T20:19:32.0Z", "1795464696", "1795464696.0", "1795464696000")
    assert [readings(text, DAY)[-1].whole for text in texts] == [True, False, True, False, False]


def test_the_hour_that_clocks_repeat_is_read_twice(berlin: None) -> None:
    first_ns = 1792888200 * S  # 2026-10-25T02:30:00+02:00
    both = [(True, first_ns), (True, first_ns + 3600 * S)]
    assert meant("2026-10-25T02:30:00") == both
    assert meant("2:30:00", date(2026, 10, 25))[1:3] == both
    assert meant("2026-10-25T02:30:00+01:00") == both[1:]


def test_the_hour_that_clocks_leave_out_does_not_exist(berlin: None) -> None:
    with pytest.raises(ValueError, match=r"'2026-03-29T02:30:00' does not exist here: .* Add the zone"):
        readings("2026-03-29T02:30:00", DAY)
    assert [wall for wall, _ in meant("02:30:00", date(2026, 3, 29))] == [False, True], "the next day has that time"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "nan",
        "-inf",
        "1.2.3",
        "1,2,3",
        "1 2",
        "23.11.2026 20:19",
        "20:61:00",
        "2026-02-30T00:00:00",
        "1e400",
        "0000-01-01T00:00:00",
        "2026-11-23T20:19:32+99:00",
        "9" * 40,
        "8:00 PM",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time; write seconds \(12.5\), hh:mm:ss or 2026-11-23T20:19:32\+"):
        readings(text, DAY)
