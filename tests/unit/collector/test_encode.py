"""Any table of records, encoded with any layout, decodes to itself: NetFlow v5, v9 and IPFIX."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import headers, pcap
from collector.decode import OPEN_VSWITCH, Decoder, Habits, decode
from collector.decode import ipfix as of_ipfix
from collector.decode import netflow5 as of_netflow5
from collector.decode import netflow9 as of_netflow9
from collector.decode.elements import elements, netflow9_number, number_of
from collector.decode.layout import VARIABLE
from collector.decode.lists import Nested, read_list
from collector.decode.templates import IPFIX, NETFLOW9, read_templates
from collector.decode.times import ntp_ns
from collector.encode import (
    Division,
    NotEncodableError,
    Session,
    Template,
    all_withdrawn,
    announced,
    data,
    ipfix,
    lists,
    netflow5,
    netflow9,
    pcap_records,
    repeating,
    template,
    time_columns,
    withdrawn,
)
from collector.encode.division import UDP_OCTETS, divide
from collector.encode.pieces import render
from collector.encode.templates import record
from collector.encode.times import ntp
from collector.flows import flows
from collector.pcap import Writer
from tests.unit.collector.tables import NAMES, assert_same, tables, templates

GOLDEN = Path(__file__).parents[2] / "golden"
ENCODERS = {IPFIX: ipfix.messages, NETFLOW9: netflow9.packets}
SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
divisions = st.builds(
    Division, st.one_of(st.none(), st.integers(1, 7)), st.sampled_from([40, 100, 300, 1_472])
)
sessions = st.builds(
    Session, sequence=st.sampled_from([0, 7, 2**32 - 2]), domain=st.integers(0, 2**16 - 1)
)


def records_of(decoded, number):
    """All records of a template, in order, as one table."""
    # Templates that say the same are decoded together.
    (batch,) = (batch for batch in decoded.batches if (batch.template == number).any())
    order = np.lexsort([batch.offset, batch.datagram])
    order = order[batch.template[order] == number]
    return {name: batch.columns[name][order] for name in batch.columns}


def octets_of(sent):
    """Each datagram's octets."""
    spans = zip(sent.offset.tolist(), sent.length.tolist(), strict=True)
    return [sent.buffer[at : at + size].tobytes() for at, size in spans]


@pytest.mark.parametrize("version", [IPFIX, NETFLOW9])
@settings(max_examples=80, deadline=None)
@given(draw=st.data(), division=divisions, session=sessions, align=st.sampled_from([1, 4, 8]))
def test_round_trip(version, draw, division, session, align):
    known = [draw.draw(templates(300 + n, version)) for n in range(draw.draw(st.integers(1, 3)))]
    counts = [draw.draw(st.integers(0, 6)) for _ in known]
    pairs = list(zip(known, counts, strict=True))
    wanted = [draw.draw(tables(one.layout, count)) for one, count in pairs]
    announcements = announced(known)
    first = [part for part, one in enumerate(announcements) for _ in one.pieces.length]
    records = [len(announcements) + part for part, count in enumerate(counts) for _ in range(count)]
    order = np.array(first + draw.draw(st.permutations(records)), np.int64)
    fresh = st.lists(st.booleans(), min_size=len(order), max_size=len(order))
    sent, after = ENCODERS[version](
        announcements + [data(*part) for part in zip(known, wanted, counts, strict=True)],
        session,
        NOW_NS,
        order=order,
        fresh=np.array(draw.draw(fresh)),
        division=division,
        align=align,
    )
    decoded = decode(sent.datagrams(2055))
    assert not decoded.summary.faults
    assert decoded.summary.records == sum(counts) == sent.records.sum()
    assert (decoded.summary.templates, decoded.summary.lost) == (len(known), 0)
    assert int(sent.records.max()) <= (division.most_records or len(order))
    units = sum(counts) if version == IPFIX else len(sent.offset)
    assert after.sequence == (session.sequence + units) % 2**32
    for (one, count), columns in zip(pairs, wanted, strict=True):
        if count:
            assert_same(records_of(decoded, one.id), columns)


@settings(max_examples=80, deadline=None)
@given(draw=st.data(), division=divisions, session=sessions, boot_s=st.integers(0, 2**31))
@pytest.mark.parametrize("sequence", ["first record", "last record"])
def test_netflow5_round_trip(sequence, draw, division, session, boot_s):
    count = draw.draw(st.integers(1, 12))
    wanted = draw.draw(tables(of_netflow5.layout(), count))
    wanted = {name: column for name, column in wanted.items() if not name.startswith("padding")}
    session = Session(session.sequence, session.domain, boot_s * 1_000)
    habits = Habits(netflow5_sequence=sequence)
    sent, after = netflow5.datagrams(
        wanted,
        session,
        NOW_NS + 123_456_789,
        division=division,
        sampling_interval=1_000,
        sampling_algorithm=2,
        habits=habits,
    )
    decoded = decode(sent.datagrams(2055), habits)
    assert not decoded.summary.faults
    assert decoded.summary.lost == 0
    assert after.sequence == (session.sequence + count) % 2**32
    found = records_of(decoded, 5)
    assert_same(found, wanted)
    assert set(found["samplingInterval"].tolist()) == {1_000}
    assert set(found["samplingAlgorithm"].tolist()) == {2}
    (batch,) = decoded.batches
    assert set(batch.observation_domain.tolist()) == {session.domain}
    assert set(batch.export_time_ns.tolist()) == {NOW_NS + 123_456_789}


def test_netflow5_times_are_uptimes_that_wrap():
    start = np.array([NOW_NS // 1_000_000 - 2**32 + 5, NOW_NS // 1_000_000 - 1])
    columns = {"flowStartMilliseconds": start, "flowEndMilliseconds": start + 1}
    session = Session(boot_ms=NOW_NS // 1_000_000 - 5 * 2**32 - 77)
    sent, _ = netflow5.datagrams(columns, session, NOW_NS)
    found = records_of(decode(sent.datagrams(2055)), 5)
    # What is more than half a wrap ago cannot be told from what is to come.
    assert found["flowStartMilliseconds"].tolist() == [start[0] + 2**32, start[1]]
    assert found["flowEndMilliseconds"].tolist()[1] == start[1] + 1


def naive(division, octets, first_octets, counted, fresh):
    """Fill datagram after datagram, item by item."""
    starts, size, records = [], 0, 0
    most_octets = min(division.most_octets, UDP_OCTETS)
    for item in range(len(octets)):
        most = division.most_records or len(octets)
        full = records == most
        long = size + octets[item] > most_octets
        if not starts or fresh[item] or full or long:
            starts.append(item)
            size, records = int(first_octets[item]), 0
        else:
            size += int(octets[item])
        records += bool(counted[item])
    return starts


def test_headers_are_as_long_as_the_decoders_think():
    assert headers.NETFLOW5.minimum_octets == of_netflow5.HEADER_OCTETS
    assert headers.NETFLOW9.minimum_octets == of_netflow9.HEADER_OCTETS
    assert headers.IPFIX.minimum_octets == of_ipfix.HEADER_OCTETS
    assert of_netflow5.layout().minimum_octets == of_netflow5.RECORD_OCTETS


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 20), st.booleans(), st.booleans()), max_size=30
    ),
    st.one_of(st.none(), st.integers(1, 5)),
    st.sampled_from([1, 50, 100, 1_000, 1_000_000]),
)
def test_datagrams_are_filled_one_after_the_other(items, most_records, most_octets):
    octets, more, counted, fresh = np.array(items, np.int64).reshape(-1, 4).T
    if most_octets > UDP_OCTETS:
        octets = octets * 1_000
    division = Division(most_records, most_octets)
    arguments = (octets, octets + more, counted.astype(bool), fresh.astype(bool))
    assert divide(division, *arguments).tolist() == naive(division, *arguments)


def column(*values):
    """A column of Python bytes."""
    made = np.empty(len(values), object)
    made[:] = values
    return made


NAMED = template(300, ["interfaceName"])


def test_an_item_that_no_datagram_can_carry_is_refused():
    names = {"interfaceName": column(b"x" * 65_500)}
    with pytest.raises(NotEncodableError, match="a datagram has 65507"):
        ipfix.messages([data(NAMED, names)], Session(), NOW_NS)


def test_an_item_that_is_long_by_itself_is_alone():
    names = {"interfaceName": column(b"a", b"x" * 65_000, b"b", b"c")}
    parts = [*announced([NAMED]), data(NAMED, names)]
    sent, _ = ipfix.messages(parts, Session(), NOW_NS)
    assert sent.length.tolist() == [16 + 12 + 6, 16 + 4 + 65_003, 16 + 4 + 4]
    assert_same(records_of(decode(sent.datagrams(4739)), 300), names)


def test_every_element_can_be_announced():
    for name in (*NAMES, "0/9999", "6871/14", "9/1"):
        made = template(300, [(name, VARIABLE)] if "/" in name else [name])
        assert [field.name for field in made.layout.fields] == [name]
    for name in ("scopeSystem", "scopeCache", "scope9", "lineCardId", "ingressInterface"):
        made = template(300, [(name, 4), "octetDeltaCount"], scopes=1, version=NETFLOW9)
        assert [field.name for field in made.layout.fields] == [name, "octetDeltaCount"]
    known = Counter(one.name for one in elements().values())
    for key, one in elements().items():
        assert number_of(one.name) == key or known[one.name] > 1
    assert netflow9_number("35632/80", scope=False) == 57_472 + 80


@pytest.mark.parametrize(
    ("fields", "version", "reason"),
    [
        (["flowBegin"], IPFIX, "how many octets has flowBegin"),
        ([("flowBegin", 4)], IPFIX, "IPFIX has no number for an element flowBegin"),
        ([("0/40000", 4)], IPFIX, "IPFIX has no number for an element 0/40000: ids end at 32767"),
        (["tcpSynTotalCountIngress"], NETFLOW9, "how many octets"),
        (["reverseOctetDeltaCount"], NETFLOW9, "NetFlow v9 has no number for an element reverse"),
    ],
)
def test_elements_that_cannot_be_announced(fields, version, reason):
    with pytest.raises(NotEncodableError, match=reason):
        template(300, fields, version=version)


MIXED = template(
    300,
    [("octetDeltaCount", 4), "sourceIPv6Address", ("interfaceName", 4), "wlanSSID"],
)
GOOD = {
    "octetDeltaCount": np.array([1, 2]),
    "sourceIPv6Address": np.ones((2, 2), np.uint64),
    "interfaceName": column(b"eth0", b"lo"),
    "wlanSSID": column(b"", b"home"),
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"octetDeltaCount": np.array([1, 2**32])}, "octetDeltaCount is 4294967296, and its field"),
        (
            {"octetDeltaCount": np.array([1, -1])},
            "octetDeltaCount is -1, and its field of 4 octets",
        ),
        ({"octetDeltaCount": np.array([1.5, 2])}, "its column is of fractions"),
        ({"octetDeltaCount": column(b"1", b"2")}, "octetDeltaCount is unsigned64, and its column"),
        ({"octetDeltaCount": np.array([1])}, "has 2 values, but|has 1 values, but"),
        ({"sourceIPv6Address": np.array([1, 2])}, "two halves of 64 bits"),
        ({"interfaceName": column(b"eth00", b"")}, "interfaceName has 5 octets, and its field 4"),
        ({"interfaceName": column("eth0", b"")}, "its column is not of bytes"),
        ({"wlanSSID": column(b"", b"x" * 65_536)}, "a value can have 65535"),
        ({"wlanSSID": np.array([1, 2])}, "its column is not of bytes"),
    ],
)
def test_values_that_do_not_fit(changed, reason):
    with pytest.raises(NotEncodableError, match=reason):
        data(MIXED, GOOD | changed)


def test_a_column_that_is_missing_is_named_but_for_padding():
    with pytest.raises(NotEncodableError, match="have no column wlanSSID"):
        data(MIXED, {name: GOOD[name] for name in GOOD if name != "wlanSSID"})
    with pytest.raises(NotEncodableError, match="all are single values"):
        data(template(300, ["octetDeltaCount"]), {"octetDeltaCount": 5})
    padded = template(300, ["octetDeltaCount", ("paddingOctets", 3), "paddingOctets"])
    assert render(data(padded, {"octetDeltaCount": 5}, 1).pieces).buffer.tolist() == [
        *(0, 0, 0, 0, 0, 0, 0, 5),
        *(0, 0, 0, 0),
    ]


def test_single_values_stand_for_columns():
    of = template(
        300, ["octetDeltaCount", "interfaceName", ("wlanSSID", 3), "dataRecordsReliability"]
    )
    columns = {
        "octetDeltaCount": np.arange(3),
        "interfaceName": b"eth0",
        "wlanSSID": b"abc",
        "dataRecordsReliability": np.array([True, False, True]),
    }
    sent, _ = ipfix.messages([*announced([of]), data(of, columns)], Session(), NOW_NS)
    found = records_of(decode(sent.datagrams(4739)), 300)
    assert found["interfaceName"].tolist() == [b"eth0"] * 3
    assert found["wlanSSID"].tobytes() == b"abcabcabc"
    assert found["dataRecordsReliability"].tolist() == [1, 2, 1]


COUNT = template(300, ["octetDeltaCount"])


def one(value):
    return data(COUNT, {"octetDeltaCount": np.array([value])})


@pytest.mark.parametrize("withdrawal", [withdrawn([300]), all_withdrawn()])
def test_withdrawals(withdrawal):
    parts = [*announced([COUNT]), one(1), withdrawal, one(2)]
    decoded = decode(ipfix.messages(parts, Session(7), NOW_NS)[0].datagrams(4739))
    assert decoded.batches[0].columns["octetDeltaCount"].tolist() == [1]
    assert decoded.summary.undecodable_by_reason == {"no template 300 in observation domain 0": 1}


@pytest.mark.parametrize("version", [IPFIX, NETFLOW9])
def test_templates_and_options_are_sent_again_and_again(version):
    of = template(300, ["octetDeltaCount"], version=version)
    names = [("ingressInterface", 4), ("interfaceName", 4)]
    ports = template(301, names, scopes=1, version=version)
    named = data(ports, {"ingressInterface": np.arange(2), "interfaceName": b"eth0"})
    times = NOW_NS + np.arange(10) * SECOND_NS
    stream = repeating(
        [*announced([of, ports]), named],
        [data(of, {"octetDeltaCount": np.arange(10)})],
        times,
        np.flatnonzero(np.diff(times // (4 * SECOND_NS), prepend=0)),
    )
    sent, _ = ENCODERS[version](
        stream.parts, Session(), stream.export_time_ns, order=stream.order, division=Division(1)
    )
    decoded = decode(sent.datagrams(2055))
    assert records_of(decoded, 300)["octetDeltaCount"].tolist() == list(range(10))
    assert records_of(decoded, 301)["ingressInterface"].tolist() == [0, 1] * 3
    (flow,) = (batch for batch in decoded.batches if batch.kind == "data")
    assert flow.export_time_ns.tolist() == times.tolist()
    octets = octets_of(sent)
    assert [at for at, one in enumerate(octets) if len(one) > len(octets[-1])] == [0, 6, 12]


def test_redefinition():
    other = template(300, [("packetDeltaCount", 2)])
    parts = [*announced([COUNT]), one(1), *announced([other])]
    parts.append(data(other, {"packetDeltaCount": np.array([2, 3])}))
    decoded = decode(ipfix.messages(parts, Session(), NOW_NS)[0].datagrams(4739))
    assert [
        (name, batch.columns[name].tolist()) for batch in decoded.batches for name in batch.columns
    ] == [("octetDeltaCount", [1]), ("packetDeltaCount", [2, 3])]


SAMPLERS = [
    (["samplingInterval", "samplingAlgorithm"], {"samplingInterval": 64, "samplingAlgorithm": 2}),
    (["samplerRandomInterval"], {"samplerRandomInterval": 64}),
    (
        ["selectorAlgorithm", "samplingPacketInterval", "samplingPacketSpace"],
        {"selectorAlgorithm": 1, "samplingPacketInterval": 1, "samplingPacketSpace": 63},
    ),
    (["samplingProbability"], {"samplingProbability": 1 / 64}),
]


@pytest.mark.parametrize("version", [IPFIX, NETFLOW9])
@pytest.mark.parametrize(("names", "values"), SAMPLERS)
def test_options_tell_of_sampling_and_of_interfaces(version, names, values):
    scope = "observationDomainId" if version == IPFIX else "scopeSystem"
    width = 4
    sampling = template(400, [(scope, width), *names], scopes=1, version=version)
    name = ("interfaceName", 8) if version == NETFLOW9 else "interfaceName"
    ports = template(401, [("ingressInterface", 4), name], scopes=1, version=version)
    flow = template(
        300,
        ["sourceIPv4Address", "destinationIPv4Address", "packetDeltaCount", "octetDeltaCount"],
        version=version,
    )
    scoped = {scope: b"\0" * 4 if version == NETFLOW9 else 0}
    parts = announced([sampling, ports, flow])
    parts += [
        data(sampling, scoped | values, 1),
        data(
            ports,
            {"ingressInterface": np.array([1, 2]), "interfaceName": column(b"eth1", b"eth22")},
        ),
        data(flow, dict.fromkeys(flow.layout.places, 5), 1),
    ]
    decoder = Decoder()
    decoded = decoder.decode(ENCODERS[version](parts, Session(), NOW_NS)[0].datagrams(2055))
    assert flows(decoded)["packets"].to_list() == [320]
    assert list(decoder.learned.interfaces.values()) == [{1: "eth1", 2: "eth22"}]


FIRST_NS = np.array([NOW_NS - 9_123_456_789, NOW_NS - 1])
LAST_NS = np.array([NOW_NS - 123_456_789, NOW_NS])


@pytest.mark.parametrize(
    ("unit", "version", "exact_to_ns"),
    [
        ("Seconds", IPFIX, 1_000_000_000),
        ("Milliseconds", IPFIX, 1_000_000),
        ("Microseconds", IPFIX, 239),
        ("Nanoseconds", IPFIX, 1),
        ("DeltaMicroseconds", IPFIX, 1_000),
        ("SysUpTime", IPFIX, 1_000_000),
        ("SysUpTime", NETFLOW9, 1_000_000),
    ],
)
def test_times_of_flows(unit, version, exact_to_ns):
    names = ["sourceIPv4Address", "destinationIPv4Address", "packetDeltaCount", "octetDeltaCount"]
    stamps = [f"flowStart{unit}", f"flowEnd{unit}"]
    if (unit, version) == ("SysUpTime", IPFIX):
        stamps.append("systemInitTimeMilliseconds")
    of = template(300, [*names, *stamps], version=version)
    boot_ms = NOW_NS // 1_000_000 - 2**32 - 10_000
    columns = dict.fromkeys(names, 1) | {"sourceIPv4Address": np.arange(2)}
    if (unit, version) == ("SysUpTime", IPFIX):
        boot_ms += 2**32 - 10_000
    columns |= time_columns(of.layout, FIRST_NS, LAST_NS, NOW_NS, boot_ms)
    parts = [*announced([of]), data(of, columns)]
    sent, _ = ENCODERS[version](parts, Session(boot_ms=boot_ms), NOW_NS)
    found = flows(decode(sent.datagrams(2055))).sort("source")
    assert abs(found["first_ns"].to_numpy() - FIRST_NS).max() <= exact_to_ns
    assert abs(found["last_ns"].to_numpy() - LAST_NS).max() <= exact_to_ns


NTP_WRAPS_NS = 2_085_978_496 * SECOND_NS
"""The instant in February 2036 whose stamp is 0, which says that a time is not known."""


@given(
    st.integers(0, 4_233_000_000 * SECOND_NS).filter(lambda ns: abs(ns - NTP_WRAPS_NS) > 240),
    st.booleans(),
)
def test_ntp_stamps(then_ns, microseconds):
    stamps = ntp(np.array([then_ns]), microseconds=microseconds)
    back = int(ntp_ns(stamps, microseconds=microseconds)[0])
    assert abs(back - then_ns) <= (239 if microseconds else 0)


def test_lists():
    pair = template(300, ["sourceTransportPort", "interfaceName"])
    holder = template(301, ["basicList"])
    layouts = {300: pair.layout, 301: holder.layout}
    ports = np.array([80, 443])
    basic = lists.basic_list(ports, "sourceTransportPort", "allOf")
    assert read_list("basicList", basic, layouts.get) == Nested("allOf", (80, 443))
    names = lists.basic_list(column(b"eth0", b""), "interfaceName")
    assert read_list("basicList", names, layouts.get) == Nested("undefined", (b"eth0", b""))
    records = {"sourceTransportPort": ports, "interfaceName": column(b"eth0", b"lo")}
    plain = tuple(
        {"sourceTransportPort": port, "interfaceName": name}
        for port, name in ((80, b"eth0"), (443, b"lo"))
    )
    some = lists.sub_template_list(pair, records, 2, "ordered")
    assert read_list("subTemplateList", some, layouts.get) == Nested("ordered", plain)
    parts = [(pair, records, 2), (holder, {"basicList": basic}, 1)]
    several = lists.sub_template_multi_list(parts, "exactlyOneOf")
    assert read_list("subTemplateMultiList", several, layouts.get) == Nested(
        "exactlyOneOf", (*plain, {"basicList": Nested("allOf", (80, 443))})
    )
    with pytest.raises(NotEncodableError, match="no list is 'some': it can be noneOf, exactly"):
        lists.basic_list(ports, "sourceTransportPort", "some")


def golden():
    """All that Open vSwitch sent."""
    return pcap.datagrams(pcap.read(GOLDEN / "openvswitch.pcap"))


def payloads(found, rows):
    return [
        found.buffer[at : at + size].tobytes()
        for at, size in zip(found.offset[rows].tolist(), found.length[rows].tolist(), strict=True)
    ]


def batches_of(decoded, protocol):
    """The records of each datagram: number, kind, template, columns, export time."""
    for batch in decoded.batches:
        if batch.protocol == protocol:
            for number in np.unique(batch.datagram).tolist():
                rows = np.flatnonzero(batch.datagram == number)
                columns = {name: batch.columns[name][rows] for name in batch.columns}
                yield number, batch, rows[0], columns


def test_what_open_vswitch_sent_by_netflow5_is_written_octet_by_octet():
    found = golden()
    done = 0
    for number, batch, row, columns in batches_of(decode(found, OPEN_VSWITCH), "netflow5"):
        (payload,) = payloads(found, [number - 1])
        uptime, sequence = (int.from_bytes(payload[at : at + 4], "big") for at in (4, 16))
        session = Session(
            sequence=sequence - len(columns["octetDeltaCount"]) + 1,
            domain=int(batch.observation_domain[row]),
            boot_ms=int(batch.export_time_ns[row]) // 1_000_000 - uptime,
        )
        export_time_ns = int(batch.export_time_ns[row])
        sent, _ = netflow5.datagrams(columns, session, export_time_ns, habits=OPEN_VSWITCH)
        assert octets_of(sent) == [payload]
        done += 1
    assert done == 8


def test_what_open_vswitch_sent_by_ipfix_is_written_octet_by_octet():
    found = golden()
    done = 0
    for number, batch, row, columns in batches_of(decode(found, OPEN_VSWITCH), "ipfix"):
        (payload,) = payloads(found, [number - 1])
        session = Session(
            sequence=int.from_bytes(payload[8:12], "big"),
            domain=int(batch.observation_domain[row]),
        )
        of = Template(int(batch.template[row]), batch.columns.layout)
        sent, _ = ipfix.messages([data(of, columns)], session, int(batch.export_time_ns[row]))
        assert octets_of(sent) == [payload]
        done += 1
    assert done > 50


def test_templates_of_open_vswitch_are_written_octet_by_octet():
    done = 0
    for payload in payloads(golden(), slice(None)):
        kind, size = (int.from_bytes(payload[at : at + 2], "big") for at in (16, 18))
        if payload[:2] != b"\0\x0a" or kind not in (2, 3):
            continue
        content = payload[20 : 16 + size]
        for one in read_templates(content, options=kind == 3):
            octets = record(Template(one.template, one.layout))
            assert content.startswith(octets)
            content = content[len(octets) :]
            done += 1
        assert not content
    assert done > 88


def tshark(found, folder, names):
    """What tshark says of datagrams: these fields, per frame."""
    with Writer(folder / "x.pcap") as writer:
        writer.write_records(pcap_records(found).data)
    command = ["tshark", "-r", str(folder / "x.pcap"), "-T", "fields"]
    command += ["-d", "udp.port==2055,cflow", "-o", "udp.check_checksum:true"]
    command += [part for name in names for part in ("-e", name)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in shown.splitlines()]


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
@pytest.mark.parametrize("version", [5, NETFLOW9, IPFIX])
def test_tshark_reads_the_same_and_finds_no_fault(version, tmp_path):
    count = 100
    columns = {
        "sourceIPv4Address": np.arange(count) + 0x0A000000,
        "destinationIPv4Address": np.arange(count) + 0x0B000000,
        "packetDeltaCount": np.arange(count),
        "octetDeltaCount": np.arange(count) * 1_000,
        "flowStartSysUpTime": 1_000,
        "flowEndSysUpTime": 2_000,
        "interfaceName": column(*(b"x" * (n % 7) for n in range(count))),
    }
    session = Session(boot_ms=NOW_NS // 1_000_000 - 5_000)
    if version == 5:
        sent, _ = netflow5.datagrams(columns, session, NOW_NS)
    else:
        names = [*list(columns)[:6], ("interfaceName", 7 if version == NETFLOW9 else VARIABLE)]
        of = template(300, names, version=version)
        parts = [*announced([of]), data(of, columns)]
        sent, _ = ENCODERS[version](parts, session, NOW_NS, division=Division(25), align=4)
    fields = ["cflow.packets", "cflow.octets", "_ws.expert.severity", "udp.checksum.status"]
    shown = tshark(sent.datagrams(2055), tmp_path, fields)
    packets, octets = (
        [int(value) for row in shown for value in row[index].split(",")] for index in (0, 1)
    )
    assert packets == columns["packetDeltaCount"].tolist()
    assert octets == columns["octetDeltaCount"].tolist()
    assert {row[3] for row in shown} == {"1"}
    assert {row[2] for row in shown} == {""}


def test_no_records_are_no_datagrams():
    none = {"octetDeltaCount": np.zeros(0, np.int64)}
    for made in (
        ipfix.messages([data(COUNT, none)], Session(7), NOW_NS),
        netflow9.packets([data(COUNT, none)], Session(7), NOW_NS),
        netflow5.datagrams(none, Session(7), NOW_NS),
        ipfix.messages([], Session(7), NOW_NS),
    ):
        sent, after = made
        assert (len(sent.offset), len(sent.buffer), after.sequence) == (0, 0, 7)
        assert len(pcap_records(sent.datagrams(2055))) == 0
