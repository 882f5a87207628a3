"""A collector that is described: its output, of whatever form, becomes rows."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from collector.backends.base import Given
from collector.backends.custom import Custom, Settings
from collector.backends.daemons import Failed

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
