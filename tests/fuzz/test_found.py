"""What the fuzzer has found goes well, and leaves nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise

from tests.fuzz.check import check
from tests.fuzz.found import cases

GROWTH_OCTETS = 100_000


def test_what_was_found_goes_well():
    for name, octets in cases().items():
        try:
            check(octets)
        except Exception as error:
            message = f"{name}: {octets.hex()}"
            raise AssertionError(message) from error


def test_memory_stays_flat():
    some = list(cases().values())[::24]
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(4):
            for octets in some:
                check(octets)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # What the first pass leaves are layouts and elements that are remembered; so may a later one,
    # where tests before this one had filled what remembers. What leaks leaks in each.
    assert min(after - before for before, after in pairwise(sizes)) < GROWTH_OCTETS
