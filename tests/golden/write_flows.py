"""Write openvswitch.flows.json: what the flow table of openvswitch.pcap is today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from collector import pcap
from collector.decode import OPEN_VSWITCH, decode
from collector.flows import flow_json, flows

HERE = Path(__file__).parent
EXPECTED = HERE / "openvswitch.flows.json"


def rows() -> list[dict[str, Any]]:
    """The flows, in an order that does not change."""
    table = flows(decode(pcap.datagrams(pcap.read(HERE / "openvswitch.pcap")), OPEN_VSWITCH))
    found = [{**row, "flow": flow_json(row)} for row in table.iter_rows(named=True)]
    return sorted(found, key=lambda row: json.dumps(row["flow"]) + json.dumps(row))


if __name__ == "__main__":
    EXPECTED.write_text("".join(json.dumps(row) + "\n" for row in rows()))
