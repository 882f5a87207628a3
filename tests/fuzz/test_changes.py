"""Every cut and every changed octet of every kind of datagram: records or counted faults.

Each changed copy has an exporter of its own, so that what it announces is not another's, and all
copies of a datagram are decoded together.
"""

from __future__ import annotations

import numpy as np
import pytest

from collector.decode import OPEN_VSWITCH, Decoder
from collector.flows import flows
from tests.fuzz.check import block, check_decoded, datagrams
from tests.fuzz.seeds import IPFIX_PORT, seeds

CASES = seeds()
MANY_TEMPLATES = 1_000
"""Octets."""
MASKS = (0x01, 0x80, 0xFF)


def changes(octets):
    """Cut anywhere, and with any octet changed."""
    yield from (octets[:size] for size in range(len(octets)))
    for at, octet in enumerate(octets):
        for mask in MASKS:
            yield octets[:at] + bytes([octet ^ mask]) + octets[at + 1 :]


def changed_cases():
    """A case and which of its datagrams is changed: of those full of templates, one."""
    seen = set()
    for number, case in enumerate(CASES):
        for which, (port, payload) in enumerate(datagrams(case)):
            is_templates = port == IPFIX_PORT and payload[16:18] == b"\0\2"
            kind = "templates" if is_templates and len(payload) > MANY_TEMPLATES else payload
            if kind not in seen:
                seen.add(kind)
                yield number, which


@pytest.mark.parametrize(("number", "which"), list(changed_cases()))
def test_changed(number, which):
    received = datagrams(CASES[number])
    port, payload = received[which]
    copies = [
        [*received[:which], (port, octets), *received[which + 1 :]] for octets in changes(payload)
    ]
    flat = [one for copy in copies for one in copy]
    together = block(flat)
    together.source[:, 1] = np.repeat(np.arange(len(copies)), len(received))
    decoder = Decoder(OPEN_VSWITCH)
    decoded = decoder.decode(together, last=True)
    check_decoded(decoder, flat, decoded)
    flows(decoded)
