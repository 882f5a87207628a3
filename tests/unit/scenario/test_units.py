"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lab.scenario.units import Count, Octets, Rate, Seconds

OCTETS = TypeAdapter(Octets)
COUNT = TypeAdapter(Count)
RATE = TypeAdapter(Rate)
SECONDS = TypeAdapter(Seconds)


@pytest.mark.parametrize(
    ("adapter", "written", "meant"),
    [
        (OCTETS, 1500, 1500),
        (OCTETS, "1500", 1500),
        (OCTETS, "1_000", 1000),
        (OCTETS, "12B", 12),
        (OCTETS, "1k", 1000),
        (OCTETS, "1kB", 1000),
        (OCTETS, "64KiB", 65536),
        (OCTETS, "1 MiB", 1048576),
        (OCTETS, "1.5MiB", 1572864),
        (OCTETS, "10MB", 10_000_000),
        (OCTETS, "2GiB", 2**31),
        (OCTETS, " 5 ", 5),
        (COUNT, "10k", 10_000),
        (COUNT, "1.5M", 1_500_000),
        (RATE, 500, 500),
        (RATE, 0.5, 0.5),
        (RATE, "10k", 10_000),
        (RATE, "1.5M", 1_500_000),
        (RATE, "1G", 1_000_000_000),
        (SECONDS, 2, 2),
        (SECONDS, 0, 0),
        (SECONDS, "500ms", 0.5),
        (SECONDS, "1.5 s", 1.5),
        (SECONDS, "2min", 120),
        (SECONDS, "1h", 3600),
    ],
)
def test_what_a_quantity_means(adapter, written, meant):
    value = adapter.validate_python(written)
    assert value == meant
    assert isinstance(value, int if adapter in (OCTETS, COUNT) else int | float)


@pytest.mark.parametrize(
    ("adapter", "written", "message", "hint"),
    [
        (OCTETS, "1mib", "unknown unit 'mib' in '1mib'", "did you mean 1MiB?"),
        (OCTETS, "1Mb", "unknown unit 'Mb' in '1Mb'", "did you mean 1MB?"),
        (
            OCTETS,
            "3 packets",
            "unknown unit 'packets' in '3 packets'",
            "the units are B, k, kB, KB, KiB, M, MB, MiB, G, GB, GiB",
        ),
        (OCTETS, "0.5", "'0.5' is not a whole number of octets", "write 0 or 1"),
        (
            OCTETS,
            "-1",
            "expected a number such as 1500, 64KiB or 10MB, found the text '-1'",
            "write 1500, 64KiB or 10MB",
        ),
        (
            OCTETS,
            "",
            "expected a number such as 1500, 64KiB or 10MB, found the text ''",
            "write 1500, 64KiB or 10MB",
        ),
        (RATE, "10KB", "unknown unit 'KB' in '10KB'", "the units are k, M, G"),
        (SECONDS, "1m", "unknown unit 'm' in '1m'", "the units are ms, s, min, h"),
        (COUNT, "0.0005k", "'0.0005k' is not a whole number of things", "write 0 or 1"),
    ],
)
def test_what_is_said_of_a_wrong_quantity(adapter, written, message, hint):
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(written)
    (error,) = caught.value.errors()
    assert (error["msg"], error["ctx"]["hint"]) == (message, hint)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 0])
def test_a_rate_is_a_positive_finite_number(value):
    with pytest.raises(ValidationError):
        RATE.validate_python(value)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=60))
def test_any_text_is_a_quantity_or_a_fault_in_words(text):
    for adapter in (OCTETS, COUNT, RATE, SECONDS):
        try:
            assert adapter.validate_python(text) >= 0
        except ValidationError:
            continue


@settings(deadline=None)  # the machine may be busy
@given(st.integers(min_value=0, max_value=10**12))
def test_numbers_mean_themselves(number):
    assert OCTETS.validate_python(number) == OCTETS.validate_python(str(number)) == number
    assert OCTETS.validate_python(f"{number}KiB") == number * 1024
