"""A collector that is described: its output, of whatever form, becomes rows."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from collector.backends.base import Given, flow
from collector.backends.custom import Custom, Output, Settings
from collector.backends.daemons import Failed
from collector.backends.protocols import NUMBERS
from collector.conform import Result, compare

KEY = {"source": "src", "destination": "dst", "protocolIdentifier": "proto"}
PORTS = {"sourceTransportPort": "sport", "destinationTransportPort": "dport"}
TCP = {
    "sourceIPv4Address": "10.0.0.1",
    "destinationIPv4Address": "10.0.0.2",
    "protocolIdentifier": 6,
    "sourceTransportPort": 40_000,
    "destinationTransportPort": 80,
}
LINE = {"src": "10.0.0.1", "dst": "10.0.0.2", "proto": 6, "sport": 40_000, "dport": 80, "n": 7}


def told(folder, text, form="jsonl", columns=None, output=None, **more):
    """The rows of an output."""
    backend = Custom(
        Settings.model_validate(
            {
                "name": "x",
                "command": ["x", "{netflow}", "{folder}/a", "{other}"],
                "output": {"format": form, "file": "{folder}/out", **(output or {})},
                "columns": {**KEY, **PORTS, "packets": "n", **(columns or {})},
                **more,
            }
        )
    )
    given = Given(folder, folder / "none.pcap", frozenset({"netflow"}))
    (daemon,) = backend.daemons(given)
    assert daemon.command[2:] == [f"{folder}/a", "{other}"]
    assert daemon.command[1] == str(daemon.ports["netflow"])
    (folder / "out").write_text(text, encoding="utf-8")
    return backend.rows(given)


def test_json_lines_among_other_lines(tmp_path):
    (row,) = told(tmp_path, f"starting up\n{json.dumps(LINE)}\n")
    assert row == {"family": "netflow", "flow": TCP, "packets": 7}


def test_csv(tmp_path):
    (row,) = told(
        tmp_path, "src,dst,proto,sport,dport,n\n10.0.0.1,10.0.0.2,TCP,40000,80,7\n", "csv"
    )
    assert row["flow"] == TCP


def test_a_document_with_a_list_in_it(tmp_path):
    text = json.dumps({"who": "192.0.2.1", "data": {"flows": [LINE, LINE]}})
    rows = told(tmp_path, text, "json", columns={"exporter": "/who"}, output={"each": "data.flows"})
    assert [row["exporter"] for row in rows] == ["192.0.2.1"] * 2


def test_flows_as_lists_of_pairs(tmp_path):
    values = {"8": "10.0.0.1", "12": "10.0.0.2", "4": 6, "7": 40_000, "11": 80, "2": 7}
    line = {"Sets": [[{"I": int(name), "V": value} for name, value in values.items()]]}
    columns = {
        "source": {"from": ["27", "8"]},
        "destination": "12",
        "protocolIdentifier": "4",
        "sourceTransportPort": "7",
        "destinationTransportPort": "11",
        "packets": "2",
    }
    output = {"each": "Sets", "pairs": ["I", "V"]}
    (row,) = told(tmp_path, json.dumps(line), columns=columns, output=output)
    assert (row["flow"], row["packets"]) == (TCP, 7)


@pytest.mark.parametrize(
    ("column", "value", "right"),
    [
        ({"from": "t", "unit": "ms"}, 1_700_000_000_123, 1_700_000_000_123_000_000),
        ({"from": "t", "unit": "s"}, 1_700_000_000.5, 1_700_000_000_500_000_000),
        ("t", "2023-11-14T22:13:20.000001Z", 1_700_000_000_000_001_000),
        ("t", "2023-11-14 22:13:20", 1_700_000_000_000_000_000),
        ("t", 0, None),
    ],
)
def test_times(tmp_path, column, value, right):
    text = json.dumps({**LINE, "t": value})
    (row,) = told(tmp_path, text, columns={"first_ns": column})
    assert row["first_ns"] == right


def test_scales_values_and_what_is_no_flow(tmp_path):
    lines = [
        {**LINE, "rate": 100, "kind": "FLOW", "dir": "egress"},
        {**LINE, "kind": "OPTIONS"},
        {"kind": "FLOW"},
    ]
    columns = {
        "packets": {"from": "n", "scale": "rate"},
        "protocol": {"from": "kind", "values": {"FLOW": "ipfix"}},
        "flowDirection": "dir",
    }
    (row,) = told(
        tmp_path,
        "\n".join(map(json.dumps, lines)),
        columns=columns,
        output={"only": {"kind": "FLOW"}},
    )
    assert (row["packets"], row["protocol"], row["flowDirection"]) == (700, "ipfix", 1)


def test_icmp_and_frames_without_ip(tmp_path):
    ping = {"src": "::1", "dst": "::2", "proto": "ipv6-icmp", "type": 128, "code": 1, "n": 1}
    frame = {"src": "00:00:00:00:00:0A", "dst": "ff:ff:ff:ff:ff:ff", "et": 2054, "n": 1}
    columns = {"icmpType": "type", "icmpCode": "code", "ethernetType": "et"}
    one, other = told(tmp_path, f"{json.dumps(ping)}\n{json.dumps(frame)}", columns=columns)
    assert one["flow"]["icmpTypeCodeIPv6"] == 128 << 8 | 1
    assert other["flow"] == {
        "sourceMacAddress": "00:00:00:00:00:0a",
        "destinationMacAddress": "ff:ff:ff:ff:ff:ff",
        "ethernetType": 2054,
    }


@pytest.mark.parametrize(
    ("text", "form"),
    [("{", "json"), ('{"src": "nobody", "dst": "10.0.0.2", "n": 1}', "jsonl"), ("[1, 2]", "json")],
)
def test_an_output_of_another_form_is_said(tmp_path, text, form):
    with pytest.raises(Failed, match="the output of x is not as described"):
        told(tmp_path, text, form)


def test_no_output_is_no_flows(tmp_path):
    assert told(tmp_path, "") == []
    assert told(tmp_path, "", "json") == []


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([LINE]).encode())

    def log_message(self, *_):
        pass


def test_an_endpoint_is_asked_until_it_says_the_same(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        backend = Custom(
            Settings.model_validate(
                {
                    "name": "x",
                    "command": ["x"],
                    "output": {"format": "json", "http": f"http://127.0.0.1:{server.server_port}/"},
                    "columns": {**KEY, **PORTS, "packets": "n"},
                }
            )
        )
        given = Given(tmp_path, tmp_path / "none.pcap", frozenset({"netflow"}))
        (daemon,) = backend.daemons(given)
        while not daemon.settled():
            pass
    finally:
        server.shutdown()
        server.server_close()
    (row,) = backend.rows(given)
    assert row["flow"] == TCP


def described(**more):
    """A collector's back end."""
    usual = {"name": "x", "command": ["x"], "output": {"format": "csv", "file": "stdout"}}
    return Custom(Settings.model_validate({**usual, **more}))


def fact(key, protocol="ipfix", **more):
    """A flow as truth has it."""
    return {"protocol": protocol, "exporter": "192.0.2.1", "flow": key, "packets": 7, **more}


def printed(folder, backend, text, families=("netflow",)):
    """The rows of what a collector prints."""
    given = Given(folder, folder / "none.pcap", frozenset(families))
    backend.daemons(given)
    (folder / "said.txt").write_text(text, encoding="utf-8")
    return backend.rows(given)


LEAST = {"source": "src", "destination": "dst", "packets": "n"}
NAMES = "src,dst,n,proto,sport,dport,version\n"


@pytest.mark.parametrize("icmp", [True, False])
def test_parts_of_the_key_that_are_not_mapped_are_not_asked_for(tmp_path, icmp):
    backend = described(columns=LEAST, icmp=icmp)
    rows = printed(tmp_path, backend, f"{NAMES}10.0.0.1,10.0.0.2,7,6,1,2,9\n10.0.0.1,10.0.0.3,7\n")
    truth = [fact(TCP), fact(flow("10.0.0.1", "10.0.0.3", 1, 0, 8 << 8))]
    assert compare(truth, rows, backend).result is Result.PASS


def test_ports_without_a_protocol_are_asked_for(tmp_path):
    backend = described(columns={**LEAST, **PORTS})
    rows = printed(tmp_path, backend, f"{NAMES}10.0.0.1,10.0.0.2,7,6,40000,81,9\n")
    (finding,) = compare([fact(TCP)], rows, backend).findings
    assert (finding.field, finding.expected, finding.observed) == (
        *("destinationTransportPort", 80, 81),
    )


def test_icmp_is_not_asked_of_who_maps_neither_its_type_nor_the_destination_port(tmp_path):
    key = flow("10.0.0.1", "10.0.0.2", 1, 0, 8 << 8)
    line = f"{NAMES}10.0.0.1,10.0.0.2,7,1,,,9\n"
    blind = described(columns={**LEAST, "protocolIdentifier": "proto"})
    assert compare([fact(key)], printed(tmp_path, blind, line), blind).result is Result.PASS
    asked = described(columns={**LEAST, **PORTS, "protocolIdentifier": "proto"})
    assert compare([fact(key)], printed(tmp_path, asked, line), asked).result is Result.FAIL


def test_who_takes_one_kind_tells_that_one(tmp_path):
    backend = described(takes=["netflow"], columns={**LEAST, **KEY, **PORTS})
    line = f"{NAMES}10.0.0.1,10.0.0.2,7,6,40000,80,9\n"
    rows = printed(tmp_path, backend, line, ["netflow", "sflow"])
    compared = compare([fact(TCP), fact(TCP, "sflow5")], rows, backend)
    assert compared.result is Result.PASS
    assert sum(compared.left_out.values()) == 1
    assert not backend.takes("sflow")


def test_an_empty_field_of_csv_says_nothing(tmp_path):
    ends = {"source": {"from": ["src", "src6"]}, "destination": {"from": ["dst", "dst6"]}}
    text = (
        "src,src6,dst,dst6,proto,sport,dport,n,version\n,::1,,::2,17,,53,05,9\n10.0.0.1,,10.0.0.2"
    )
    output = {"only": {"version": 9}}
    (row,) = told(tmp_path, f"{text},,6,40000,80,7,5\n", "csv", ends, output)
    assert (row["flow"], row["packets"]) == (flow("::1", "::2", 17, 0, 53), 5)


def test_a_field_of_csv_that_is_too_long_is_said(tmp_path):
    with pytest.raises(Failed, match="field larger than field limit"):
        told(tmp_path, "src,dst\n" + "a" * 140_000, "csv")


def test_logs_among_what_is_printed_are_no_flows(tmp_path):
    backend = described(output={"format": "jsonl", "file": "stdout"}, columns=LEAST)
    lines = ["[INFO] listening", f"  {json.dumps(LINE)}\r"]
    lines.append(json.dumps({**LINE, "says": "a\u2028b\u0085c"}, ensure_ascii=False))
    assert len(printed(tmp_path, backend, "\n".join(lines))) == 2


def test_a_line_that_is_cut_is_an_odd_one_in_a_file(tmp_path):
    with pytest.raises(Failed, match="not as described"):
        told(tmp_path, "[1, 2")


@pytest.mark.parametrize("count", [5.9, True, "5.9", "in", "tcp", "1e99999999", -1])
def test_what_is_no_whole_number_is_no_count(tmp_path, count):
    with pytest.raises(Failed, match="not as described"):
        told(tmp_path, json.dumps({**LINE, "n": count}))


@pytest.mark.parametrize("count", [5.0, "5", "05", "5.0", "0x5", " 5 "])
def test_a_whole_number_is_one_however_it_is_written(tmp_path, count):
    (row,) = told(tmp_path, json.dumps({**LINE, "n": count}))
    assert row["packets"] == 5


@pytest.mark.parametrize(
    ("column", "value", "right"),
    [
        ("t", "2026-01-01T00:00:00.123456789Z", 1_767_225_600_123_456_789),
        ("t", "2026-01-01T02:00:00,5+02:00", 1_767_225_600_500_000_000),
        ({"from": "t", "unit": "s"}, "1700000000.123456789", 1_700_000_000_123_456_789),
        ("t", 1_767_225_600_123_456_789, 1_767_225_600_123_456_789),
    ],
)
def test_times_keep_every_digit(tmp_path, column, value, right):
    text = json.dumps({**LINE, "t": value})
    (row,) = told(tmp_path, text, columns={"first_ns": column})
    assert row["first_ns"] == right


def test_a_time_that_is_a_number_with_a_fraction_keeps_every_digit(tmp_path):
    text = json.dumps(LINE).replace("{", '{"t": 1700000000123.456789, ')
    (row,) = told(tmp_path, text, columns={"first_ns": {"from": "t", "unit": "ms"}})
    assert row["first_ns"] == 1_700_000_000_123_456_789


def test_a_row_with_one_end_is_a_flow_and_one_with_none_is_counted(tmp_path):
    lines = [{**LINE, "src": None}, {**LINE, "dst": "", "src": "::1"}, {"n": 3}]
    backend = described(output={"format": "jsonl", "file": "stdout"}, columns=LEAST)
    rows = printed(tmp_path, backend, "\n".join(map(json.dumps, lines)))
    assert rows[0]["flow"]["sourceIPv4Address"] == "0.0.0.0"  # noqa: S104
    assert rows[1]["flow"]["destinationIPv6Address"] == "::"
    assert backend.remark(None) == "1 rows have neither source nor destination"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_path_that_no_row_has_is_said(tmp_path, form):
    columns = {**LEAST, "sourceTransportPort": "sprt", "source": ["srce", "source_ip"]}
    columns["source"] = {"from": columns["source"]}
    backend = described(output={"format": form, "file": "stdout"}, columns=columns)
    text = (
        json.dumps(LINE)
        if form == "jsonl"
        else f"{','.join(LINE)}\n{','.join(map(str, LINE.values()))}"
    )
    assert len(printed(tmp_path, backend, text)) == 1
    assert backend.remark(None) == (
        "no row has `srce` or `source_ip` (source); no row has `sprt` (sourceTransportPort)"
    )
    assert printed(tmp_path, backend, "") == []
    assert backend.remark(None) == ""


def test_an_empty_field_is_no_misspelt_path(tmp_path):
    backend = described(
        output={"format": "csv", "file": "stdout"}, columns={**LEAST, "sourceTransportPort": "sp"}
    )
    names = [LEAST[name] for name in ("source", "destination", "packets")]
    printed(tmp_path, backend, f"{','.join(names)},sp\n10.0.0.1,10.0.0.2,3,\n")
    assert backend.remark(None) == ""


def test_ipv4_in_ipv6_is_ipv4(tmp_path):
    line = {**LINE, "src": "::ffff:10.0.0.1", "dst": "::FFFF:10.0.0.2", "who": "::ffff:192.0.2.1"}
    columns = {"exporter": "who", "agent": "who"}
    (row,) = told(tmp_path, json.dumps(line), columns=columns)
    assert (row["flow"], row["exporter"], row["agent"]) == (TCP, "192.0.2.1", "192.0.2.1")


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_list_that_is_null_has_no_flows(tmp_path, form):
    assert told(tmp_path, '{"data": null}', form, output={"each": "data"}) == []


def test_a_packed_output_that_is_being_written_settles(tmp_path):
    whole = gzip.compress(json.dumps(LINE).encode())
    backend = described(
        output={"format": "jsonl", "file": "{folder}/out", "quiet_s": 0.01}, columns=LEAST
    )
    given = Given(tmp_path, tmp_path / "none.pcap", frozenset({"netflow"}))
    (daemon,) = backend.daemons(given)
    (tmp_path / "out").write_bytes(whole[:-9])
    while not daemon.settled():
        pass
    with pytest.raises(Failed, match="cannot be read: EOFError"):
        backend.rows(given)
    (tmp_path / "out").write_bytes(whole)
    assert len(backend.rows(given)) == 1


def test_a_file_that_is_not_there_is_said(tmp_path):
    backend = described(output={"format": "jsonl", "file": "{folder}/typo"}, columns=LEAST)
    assert printed(tmp_path, backend, "") == []
    assert backend.remark(None) == "it has written no file {folder}/typo"


def test_an_endpoint_that_does_not_answer_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    output = {"format": "json", "http": "http://127.0.0.1:{http}/"}
    backend = described(output=output, columns=LEAST)
    (daemon,) = backend.daemons(Given(tmp_path, tmp_path / "none.pcap", frozenset({"netflow"})))
    assert not daemon.settled()
    assert "refused" in daemon.settled.why


def test_protocols_have_names():
    assert [NUMBERS[name] for name in ("tcp", "gre", "esp", "ipip", "icmpv6")] == [6, 47, 50, 4, 58]


@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1.evil.example/", "http://localhost@evil.example/"),
        *("http://127.0.0.1:{http}@evil.example/", "https://127.0.0.1/", "http:///"),
    ],
)
def test_only_this_machine_is_asked(address):
    with pytest.raises(ValueError, match="is not on this machine"):
        Output.model_validate({"format": "json", "http": address})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_asked_by_any_of_its_names(host):
    Output.model_validate({"format": "json", "http": f"http://{host}:{{http}}/flows?a=@b"})


def test_an_output_without_end_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("collector.backends.custom.MOST_OCTETS", 50)
    with pytest.raises(Failed, match="larger than 50 octets"):
        told(tmp_path, json.dumps(LINE))
