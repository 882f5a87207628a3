"""Where exporters of a case get their addresses from, and what if there is nowhere to feed it."""

from __future__ import annotations

import threading

import pytest

from collector.conform import Result
from lab.capsule.outside import Way
from lab.conform.run import Collector, conform
from lab.conform.session import Network
from lab.corpus import find_cases

LIMIT_S = 60


def test_a_stand_in_has_an_address_that_no_exporter_of_the_case_has():
    network = Network(own=True)
    senders = network.senders(["::1", "127.1.0.1", "127.1.0.3", "2001:db8::7"])
    assert senders == {
        "::1": "127.1.0.2",
        "127.1.0.1": "127.1.0.1",
        "127.1.0.3": "127.1.0.3",
        "2001:db8::7": "127.1.0.4",
    }


def test_outside_a_capsule_all_are_addresses_of_the_loopback():
    senders = Network(own=False).senders(["192.0.2.1", "127.1.0.1", "192.0.2.1"])
    assert senders == {"192.0.2.1": "127.1.0.1", "127.1.0.1": "127.1.0.2"}


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (("no-such-program",), "FileNotFoundError"),
        (("sh", "-c", "read -r it; echo nonsense", "--"), "JSONDecodeError"),
        (("sh", "-c", "read -r it; echo '{}'", "--"), "TypeError"),
        (
            ("sh", "-c", "read -r it; printf '{\"num'; echo gone >&2", "--"),
            "its capsule ended: gone",
        ),
    ],
)
def test_a_capsule_that_cannot_be_or_tells_nonsense_keeps_nobody_waiting(way, told):
    outcomes = []

    def work():
        cases = find_cases(["softflowd-ipfix"])
        outcomes.extend(conform(cases, [Collector("flowlab")], Way(way), 1, lambda _: None))

    waiting = threading.Thread(target=work, daemon=True)
    waiting.start()
    waiting.join(LIMIT_S)
    (outcome,) = outcomes
    assert outcome.result is Result.NO_RESULT
    assert told in outcome.why
