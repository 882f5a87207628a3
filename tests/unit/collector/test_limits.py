"""What a stranger's datagrams can make grow: measured, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GROWTH_OCTETS = 64 << 20
"""What a flood may cost; it has cost 16 MB."""

PROGRAM = """
import json, resource, struct, sys
from collector.decode import Datagrams, Decoder
from collector.decode.address import IPV4_MAPPED
from tests.unit.collector.test_layouts import message, template

def of(payload, exporter):
    made = Datagrams.of(payload, 4739)
    made.source[:, 1] = [IPV4_MAPPED | one for one in exporter]
    return made

def peak_octets():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def fields(number):
    return [(0, 8, 4), (0, 12, 4), (0, 2, 8), (0, 1, 8), (0, 10 + number % 5, 2)]

decoder = Decoder()
honest = message((2, template(300, fields(0))))
record = message((300, struct.pack("!IIQQH", 1, 2, 3, 4, 5)), sequence=0)
decoder.decode(of([honest, record], [1, 1]))
before = peak_octets()
kind, count = sys.argv[1], int(sys.argv[2])
reached, block = {}, []
for number in range(count):
    if kind == "templates":
        exporter, domain, name = 2, number >> 15, 256 + (number & 0x7FFF)
    else:
        exporter, domain, name = 1000 + number, 1, 300
    block.append((message((2, template(name, fields(number))), domain=domain), exporter))
    if len(block) == 1000:
        summary = decoder.decode(of(*zip(*block))).summary
        reached |= summary.limits
        block = []
served = decoder.decode(of([record], [1])).summary
print(json.dumps({
    "growth": peak_octets() - before, "records": served.records, "faults": served.faults,
    "templates": served.templates, "reached": reached,
}))
"""


@pytest.mark.parametrize(
    ("kind", "count", "limits", "kept"),
    [
        ("templates", 100_000, {"templates of one exporter"}, 4_096 + 1),
        ("exporters", 10_000, set(), 10_000 + 1),
        ("exporters", 67_000, {"templates"}, None),
    ],
)
def test_a_flood_costs_little(kind, count, limits, kept):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(count)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    told = json.loads(done.stdout)
    assert told["growth"] < GROWTH_OCTETS
    assert set(told["reached"]) == limits
    if kept is not None:  # Others are still served.
        assert (told["templates"], told["records"], told["faults"]) == (kept, 1, 0)


def test_a_flood_of_waiting_data_costs_little():
    program = PROGRAM.replace(
        "message((2, template(name, fields(number))), domain=domain)",
        ("message((500 + number % 1000, bytes(1400)), domain=domain)"),
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "exporters", "10000"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    told = json.loads(done.stdout)
    assert told["growth"] < GROWTH_OCTETS
    assert set(told["reached"]) == {"sets waiting for a template"}
    assert (told["records"], told["faults"]) == (1, 0)
