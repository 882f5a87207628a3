"""Where exporters of a case get their addresses from."""

from __future__ import annotations

from lab.conform.session import Network


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
