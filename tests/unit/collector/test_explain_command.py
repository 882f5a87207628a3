"""``flowlab explain``: every octet once, and every value the decoders' own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from collector import headers, pcap, source
from collector.decode import NETFLOW, OPEN_VSWITCH, SFLOW, Decoder, decode
from collector.decode.octets import Octets
from collector.decode.packet import dissect
from collector.decode.template_store import Templates
from collector.explain import explain
from collector.explain.find import _explained
from collector.explain.walk import Walk
from collector.records import OFFSET, WHERE_FROM, table
from collector.texts import with_texts
from lab.cli import main

CAPTURE = str(Path(__file__).parents[2] / "golden" / "openvswitch.pcap")
DATAGRAMS = pcap.datagrams(pcap.read(CAPTURE))
NOT_IN_THE_OCTETS = {
    *WHERE_FROM,
    OFFSET,
    "sampleOffset",
    "sourceIdType",
    "sourceIdIndex",
    "ingressInterfaceFormat",
    "egressInterfaceFormat",
    "icmpTypeCodeIPv4",
    "icmpTypeCodeIPv6",
    "tcpControlBits",
    "vlanId",
    "ipVersion",
}


@pytest.fixture(scope="module")
def everything():
    opened, decoder, found = source.open_source(CAPTURE, OPEN_VSWITCH), Decoder(OPEN_VSWITCH), {}
    for row in range(len(DATAGRAMS)):
        decoder.decode(DATAGRAMS.take(np.array([row])))
        found[row + 1] = _explained(opened, decoder, DATAGRAMS, row, row + 1)
    assert found[60] == explain(opened, 60)
    return found


def covered(payload, lines):
    at = 0
    for line in lines:
        if line.octets:
            assert line.offset == at
            at += len(line.octets)
    assert b"".join(line.octets for line in lines) == payload


def test_every_octet_is_in_one_line(everything):
    for found in everything.values():
        covered(found.payload, found.lines)
        rest = [line for line in found.lines if line.name == "rest"]
        # Open vSwitch does not fill up the names of its ports with zeros.
        assert all(len(line.octets) < 4 and not line.meaning for line in rest)


def test_the_values_are_the_decoders(everything):
    """Every field of every record that was decoded is told, with the same value."""
    told = defaultdict(set)
    for number, found in everything.items():
        for line in found.lines:
            told[number].add((line.name, line.value))
    count = 0
    for batch in decode(DATAGRAMS, OPEN_VSWITCH).batches:
        computed = {
            "samplingAlgorithm",
            "samplingInterval",
            "flowStartMilliseconds",
            "flowEndMilliseconds",
        }
        leave_out = NOT_IN_THE_OCTETS | (computed if batch.protocol == "netflow5" else set())
        if batch.kind == "flow sample":
            leave_out |= {
                "ipTotalLength",
                "protocolIdentifier",
                "ingressInterface",
                "egressInterface",
            }
        elif batch.kind == "data":
            leave_out -= {"tcpControlBits", "icmpTypeCodeIPv4", "icmpTypeCodeIPv6", "vlanId"}
        for row in with_texts(table(batch)).iter_rows(named=True):
            for name, value in row.items():
                told_of = name not in leave_out and not name.startswith("inner")
                if told_of and value is not None:
                    assert (name, str(value)) in told[row["datagram"]]
                    count += 1
    assert count > 4000


def test_records_begin_where_the_decoders_say(everything):
    for batch in decode(DATAGRAMS, OPEN_VSWITCH).batches:
        if batch.kind in ("data", "options"):
            for number, offset in zip(batch.datagram.tolist(), batch.offset.tolist(), strict=True):
                heads = [
                    line.offset
                    for line in everything[number].lines
                    if not line.octets and "record " in line.name
                ]
                assert offset in heads


@pytest.mark.parametrize("port", [2055, 4739, 6343])
def test_any_truncation_is_covered(port):
    rows = np.flatnonzero(DATAGRAMS.destination_port == port)
    row = rows[np.argmax(DATAGRAMS.length[rows])]
    payload = DATAGRAMS.buffer[DATAGRAMS.offset[row] :][: DATAGRAMS.length[row]].tobytes()
    decoder = Decoder(OPEN_VSWITCH)
    decoder.decode(DATAGRAMS)
    upper, lower = map(int, DATAGRAMS.source[row])
    for length in range(0, len(payload), 1 + len(payload) // 60):
        cut = payload[:length]
        for templates in (decoder.templates, Templates()):
            walk = Walk(cut, templates, exporter=upper << 64 | lower, socket=0, lend=True)
            covered(cut, list(walk.lines(SFLOW if port == 6343 else NETFLOW)))


@pytest.mark.parametrize("family", [NETFLOW, SFLOW, None])
def test_any_octets_are_covered(family):
    rng = np.random.default_rng(7)
    heads = {NETFLOW: [b"\0\5", b"\0\x09", b"\0\x0a"], SFLOW: [b"\0\0\0\5\0\0\0\1"], None: [b""]}[
        family
    ]
    for _ in range(300):
        data = heads[int(rng.integers(len(heads)))] + rng.bytes(int(rng.integers(120)))
        walk = Walk(data, Templates(), exporter=0, socket=0, lend=False)
        covered(data, list(walk.lines(family)))


def test_headers_of_packets_are_where_the_decoder_finds_them():
    """The tables of `collector.headers` against `dissect`, which has no tables."""
    capture = pcap.read(Path(CAPTURE).with_name("openvswitch-s1-eth1-in.pcap"))
    packets = dissect(Octets(capture.buffer), capture.offsets, capture.lengths)
    for row in range(len(capture)):
        frame = capture.buffer[capture.offsets[row] :][: capture.lengths[row]].tobytes()
        walk = Walk(frame, Templates(), exporter=0, socket=0, lend=False)
        lines = list(walk._ethernet(0, len(frame), 0))
        covered(frame, lines)
        values = {line.name: line.value for line in lines}
        assert int(values["ethernetType"]) == packets.ethernet_type[row]
        if packets.ip_version[row] == 4:
            assert int(values["ipTotalLength"]) == packets.ip_octets[row]
        if packets.has_tcp[row]:
            assert int(values["tcpSequenceNumber"]) == packets.tcp_sequence[row]
        if packets.payload[row] and not packets.fragment[row]:
            assert int(values["sourceTransportPort"]) == packets.source_port[row]


def test_headers_have_their_lengths():
    lengths = {
        headers.NETFLOW5: 24,
        headers.NETFLOW9: 20,
        headers.NETFLOW9_SET: 4,
        headers.IPFIX: 16,
        headers.IPFIX_SET: 4,
        headers.SFLOW[1]: 28,
        headers.SFLOW[2]: 40,
        headers.ETHERNET: 14,
        headers.IPV4: 20,
        headers.IPV6: 40,
        headers.TCP: 20,
        headers.UDP: 8,
    }
    assert {layout: layout.minimum_octets for layout in lengths} == lengths


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (
            1,
            ["    12  00 00 00 01                subAgentId  1  (which part of the agent)", "IEEE"],
        ),
        (27, ["tcpControlBits  27  (FIN SYN PSH ACK; ", "[Cisco v5, table B-4]", "record 6 of 6"]),
        (58, ["options record 1", "[RFC 7011 section 3.4.3; element 144]"]),
    ],
)
def test_what_is_shown(number, parts):
    arguments = ["explain", CAPTURE, "--datagram", str(number)]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    for part in parts:
        assert part in shown.stdout
    assert "\x1b" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([CAPTURE, "--datagram", "179"], "there is no datagram 179: the capture has 178"),
        ([CAPTURE, "--datagram", "0"], "0"),
        ([CAPTURE], "--datagram"),
    ],
)
def test_wrong_input_is_told(arguments, words):
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
