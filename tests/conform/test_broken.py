"""A collector that is broken on purpose is caught, and the field is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from collector.conform import FLOW, Result
from collector.corpus.case import MEASURES, OBSERVER, Manifest, Truth
from lab.conform.run import Collector, conform, way_in
from lab.corpus import find_cases, write_case
from lab.judge import decode_exports
from tests.differential import cases as generated

HERE = Path(__file__).parent
TEXT = (HERE / "broken.yaml").read_text(encoding="utf-8")


def broken(fault):
    from collector.backends.custom import Settings
    from lab.described import read_as

    settings = read_as(Settings, HERE / "broken.yaml").model_dump(mode="json", by_alias=True)
    words = {"PYTHON": sys.executable, "FAULT": fault}
    settings["command"] = [words.get(part, part) for part in settings["command"]]
    settings["environment"] = {"PYTHONPATH": str(HERE.parents[1])}
    return Collector("custom", settings)


@pytest.fixture(scope="module")
def way():
    return way_in()[0]


@pytest.fixture(scope="module")
def redefinition(tmp_path_factory):
    """A case in which a template id means something else afterwards."""
    folder = tmp_path_factory.mktemp("cases") / "ipfix-redefinition"
    folder.mkdir()
    generated.write("ipfix-redefinition", folder / "exports.pcap")
    rows = decode_exports(folder / "exports.pcap", {}).rows
    truth = [{name: row[name] for name in (*OBSERVER, "flow", *MEASURES)} for row in rows]
    manifest = Manifest("a", "b", ["ipfix"], ["template-redefinition"], "c", "d")
    return write_case(folder, manifest, Truth(truth, {}), folder / "exports.pcap")


def examine(fault, cases, way):
    return conform(cases, [broken(fault)], way, 2, lambda _: None)


def fields(outcome):
    return {one.finding.field for one in outcome.examples}


ENDS4 = {"sourceIPv4Address", "destinationIPv4Address"}
ENDS6 = {"sourceIPv6Address", "destinationIPv6Address"}


@pytest.mark.parametrize(
    ("fault", "case", "named"),
    [
        ("octets-doubled", "one-datagram", {"octets_l2", "octets_l3"}),
        ("sampling-not-applied", "mouse-beside-elephant", {"packets"}),
        (
            "direction-swapped",
            "one-datagram",
            ENDS4 | {"sourceTransportPort", "destinationTransportPort"},
        ),
        ("last-record-dropped", "pmacctd-netflow9", {FLOW}),
        ("ipv6-truncated", "pmacctd-netflow9", ENDS6),
    ],
)
def test_the_field_is_named(fault, case, named, way):
    (outcome,) = examine(fault, find_cases([case]), way)
    assert outcome.result is Result.FAIL, outcome.why
    assert fields(outcome) == named


def test_a_template_that_is_kept_for_ever_is_found_out(redefinition, way):
    (outcome,) = examine("template-cached", [redefinition], way)
    assert outcome.result is Result.FAIL, outcome.why
    assert fields(outcome) & {"sourceIPv4Address", "destinationIPv4Address", "packets", FLOW}
    first = outcome.examples[0].evidence
    assert first.datagram
    assert first.datagram > 1


def test_unbroken_it_passes(redefinition, way):
    names = ["one-datagram", "mouse-beside-elephant", "softflowd-ipfix", "pmacctd-netflow9"]
    for outcome in examine("nothing", [*find_cases(names), redefinition], way):
        assert outcome.result is Result.PASS, (outcome.case.name, outcome.why, fields(outcome))


def test_without_capsules_it_is_the_same():
    (outcome,) = examine("octets-doubled", find_cases(["one-datagram"]), None)
    assert fields(outcome) == {"octets_l2", "octets_l3"}
    (outcome,) = examine("nothing", find_cases(["softflowd-ipfix"]), None)
    assert outcome.result is Result.PASS
    assert outcome.compared.compared > 40


EXITS = "import sys; sys.exit('no licence')"
EXITS_AT_THE_END = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
while one.recv(65536):
    pass
"""
READS_NOTHING = """
import socket, sys, time
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sys.argv[1:]]
for one, port in zip(sockets, sys.argv[1:]):
    one.bind(("127.0.0.1", int(port)))
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("program", "result", "told"),
    [
        (EXITS, Result.CRASHED, "ended with status 1: no licence"),
        (EXITS_AT_THE_END, Result.CRASHED, "ended with status 3 in the end"),
        (READS_NOTHING, Result.HUNG, "is not read"),
    ],
)
def test_who_crashes_or_hangs_is_told_apart_from_who_is_wrong(program, result, told):
    settings = {
        "name": "x",
        "command": [sys.executable, "-c", program, "{netflow}"],
        "takes": ["netflow"],
        "patience_s": 3,
        "output": {"format": "json", "file": "stdout"},
        "columns": {"source": "a", "destination": "b", "packets": "c"},
    }
    cases = find_cases(["softflowd-ipfix"])
    (outcome,) = conform(cases, [Collector("custom", settings)], None, 1, lambda _: None)
    assert outcome.result is result
    assert told in outcome.why
